use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    base::{
        error::Error,
        token::{Context, EmailToken},
    },
    model::{
        session::SessionId,
        user::{AuthUser, Connection},
        window::Window,
    },
    sessions::revoke::Revoked,
    sigra::{Sigra, handle},
    store::{self, NewEmailToken, Sent},
};

handle! {
    /// Tokens that are sent by email and work once. From [`Sigra::email_tokens`].
    EmailTokens,
    /// Tokens that are sent by email and work once.
    email_tokens
}

/// Tokens that are sent by mail, and work once. How long each is good is a setting, such as
/// [`Config::reset_ttl`](crate::Config::reset_ttl).
impl<U: AuthUser> EmailTokens<'_, U> {
    /// Writes a token, and gives it: the only time that the raw token is seen. It goes into a link that is
    /// sent to an address, and nowhere else.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, email: String }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use sigra::token::Context;
    ///
    /// async fn link(sigra: &sigra::Sigra<User>, user: &User) -> sigra::Result<String> {
    ///     let mut tx = sigra.begin().await?;
    ///     let token = sigra.email_tokens().create(&mut tx, &user.id, Context::ResetPassword, &user.email).await?;
    ///     tx.commit().await?;
    ///     Ok(format!("https://app.example.com/users/reset-password/{}", *token.encode()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::Random`].
    pub async fn create(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        context: Context<'_>,
        sent_to: &str,
    ) -> Result<EmailToken, Error> {
        let token = EmailToken::generate()?;
        let now = match context {
            Context::Recovery => self.after_recovery_links(conn, user).await?,
            _ => self.sigra.now(),
        };
        let context = context.name();
        let new = NewEmailToken { token: token.hash(), context: &context, user, sent_to, now };
        store::email_tokens::insert::<U>(conn, &new).await?;
        Ok(token)
    }

    /// Whose token it is, if it is good. It stays so: opening a link changes nothing, for mail scanners open
    /// them too.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn find(self, token: &EmailToken, context: Context<'_>) -> Result<Option<Sent<U>>, Error> {
        let Some(sent) = self.sent_within(context) else { return Ok(None) };
        let (mut conn, name) = (self.sigra.pool().acquire().await?, context.name());
        let found = store::email_tokens::find::<U>(&mut conn, token.hash(), &name, sent).await?;
        Ok(found.filter(|sent| sent.user.is_active()))
    }

    /// Uses a token up, in the transaction of what it is for. Of several who try at once, one is given it.
    ///
    /// Compare [`Sent::to`] with the user's address: a mail that was sent to an address proves nothing about
    /// another.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn take(
        self,
        conn: &mut Connection<U>,
        token: &EmailToken,
        context: Context<'_>,
    ) -> Result<Option<Sent<U>>, Error> {
        let Some(sent) = self.sent_within(context) else { return Ok(None) };
        let name = context.name();
        let found = store::email_tokens::lock::<U>(conn, token.hash(), &name, sent).await?;
        let taken = store::email_tokens::delete::<U>(conn, token.hash(), &name).await?;
        Ok(found.filter(|sent| taken && sent.user.is_active()))
    }

    /// Finds a token in the transaction of what it is for, and locks its user's row until its end. It stays good: for
    /// a link whose use shows in the user's row, so that pressing its button once more can say that all is done.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn lock(
        self,
        conn: &mut Connection<U>,
        token: &EmailToken,
        context: Context<'_>,
    ) -> Result<Option<Sent<U>>, Error> {
        let Some(sent) = self.sent_within(context) else { return Ok(None) };
        let name = context.name();
        let found = store::email_tokens::lock::<U>(conn, token.hash(), &name, sent).await?;
        Ok(found.filter(|sent| sent.user.is_active()))
    }

    /// Deletes the tokens of one context that were sent to a user, as when a newer one takes their place.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete(self, conn: &mut Connection<U>, user: &U::Id, context: Context<'_>) -> Result<(), Error> {
        // Sessions are ended, not only deleted.
        debug_assert_ne!(context, Context::Session);
        Ok(store::email_tokens::delete_all::<U>(conn, user, Some(&context.name()), None).await?)
    }

    /// Deletes every token of a user: sessions, all or all but one, and whatever was sent to them. For a change
    /// of password, in its transaction; [`announce`](crate::session::Sessions::announce) what it returns after the commit. Links to
    /// [take the account back](crate::Recovery::recover_in) stay, for whoever changes the password may be a thief.
    ///
    /// The user's row is locked, so that of several who do this at once one is first.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the one to be kept is gone by now. Roll the transaction back then: a request
    /// from before a reset must not change the password after it.
    pub async fn delete_all_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        store::email_tokens::delete_all::<U>(conn, user, None, None).await?;
        self.sigra.sessions().delete_all_in(conn, user, except).await
    }

    /// Deletes what a change of password by a user who is logged in ends, in its transaction: their other sessions,
    /// and whatever was sent to them but for links to reset the password. Those are the way back for an owner whose
    /// session was stolen, and the thief must not be able to void them by changing the password again and again.
    /// [`announce`](crate::session::Sessions::announce) what it returns after the commit.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the one to be kept is gone by now. Roll the transaction back then.
    pub async fn delete_others_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        kept: SessionId,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        let resets = Context::ResetPassword.name();
        store::email_tokens::delete_all::<U>(conn, user, None, Some(&resets)).await?;
        self.sigra.sessions().delete_all_in(conn, user, Some(kept)).await
    }

    /// How long a token is good, for its mail to say. `None` for a session's, which no mail has.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use sigra::token::Context;
    ///
    /// fn small_print(sigra: &sigra::Sigra<User>) -> String {
    ///     let minutes = sigra.email_tokens().ttl(Context::LogIn).unwrap_or_default().as_secs() / 60;
    ///     format!("The link works once, for {minutes} minutes.")
    /// }
    /// ```
    #[must_use]
    pub fn ttl(self, context: Context<'_>) -> Option<Duration> {
        let config = &self.sigra.parts.config;
        match context {
            Context::Session => None,
            Context::Confirm => Some(config.confirm_ttl),
            Context::ResetPassword => Some(config.reset_ttl),
            Context::LogIn => Some(config.log_in_link_ttl),
            Context::ChangeEmail(_) => Some(config.change_email_ttl),
            Context::Recovery => Some(config.recovery_ttl),
        }
    }

    /// A time for a recovery link, later than that of all others of the user: what was sent later must not depend on
    /// whose clock is ahead.
    async fn after_recovery_links(self, conn: &mut Connection<U>, user: &U::Id) -> Result<OffsetDateTime, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        let good = Window::of(self.sigra.parts.config.recovery_ttl, self.sigra.now());
        let newest = store::email_tokens::newest_recovery_token::<U>(conn, user, good).await?;
        let after = newest.map(|newest| newest.saturating_add(time::Duration::milliseconds(1)));
        Ok(after.map_or(self.sigra.now(), |after| after.max(self.sigra.now())))
    }

    /// When a token must have been sent to be good now.
    fn sent_within(self, context: Context<'_>) -> Option<Window> {
        self.ttl(context).map(|ttl| Window::of(ttl, self.sigra.now()))
    }
}
