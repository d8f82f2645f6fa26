use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    base::{
        error::Error,
        token::{Context, EmailToken, SentToken},
    },
    model::{
        checked::Checked,
        user::{AuthUser, Connection},
        window::Window,
    },
    sigra::{Sigra, handle},
    store::{self, NewEmailToken},
};

handle! {
    /// Creates, finds and deletes one-time tokens. Returned by [`Sigra::email_tokens`].
    EmailTokens,
    /// Returns the handle for one-time tokens, which are sent by email.
    email_tokens
}

/// One-time tokens, which are sent by email. Settings such as [`Config::reset_ttl`](crate::Config::reset_ttl) say when
/// they expire.
impl<U: AuthUser> EmailTokens<'_, U> {
    /// Creates a token and returns it in plain text, which is not stored. Put it into a link in an email to `sent_to`,
    /// and nowhere else.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::token::Context;
    ///
    /// async fn link(sigra: &sigra::Sigra<User>, user: &User) -> sigra::Result<String> {
    ///     let mut tx = sigra.begin().await?;
    ///     let token = sigra.email_tokens().create_in(&mut tx, &user.id, Context::ResetPassword, &user.email).await?;
    ///     tx.commit().await?;
    ///     Ok(format!("https://app.example.com/users/reset-password/{}", *token.encode()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::Random`].
    pub async fn create_in(
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

    /// Returns the user of a valid token. The token stays valid, because mail scanners open links too.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn find(self, token: &EmailToken, context: Context<'_>) -> Result<Checked<SentToken<U>>, Error> {
        let (mut conn, name) = (self.sigra.pool().acquire().await?, context.name());
        let found = store::email_tokens::find::<U>(&mut conn, token.hash(), &name, self.sent_within(context)).await?;
        Ok(found.filter(|sent| sent.user.is_active()).into())
    }

    /// Uses a token up, in the transaction of the change that it allows. Of several concurrent calls, only one gets it.
    ///
    /// Compare [`SentToken::to`] with the user's email address: a token proves only that its user has the mailbox it
    /// was sent to.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{Checked, Sigra, token::{Context, EmailToken}};
    ///
    /// async fn confirm(sigra: &Sigra<User>, token: &EmailToken) -> sigra::Result<bool> {
    ///     let mut tx = sigra.begin().await?;
    ///     let sent = sigra.email_tokens().take_in(&mut tx, token, Context::Confirm).await?;
    ///     let Checked::Valid(sent) = sent.filter(|sent| sent.to == sent.user.email) else { return Ok(false) };
    ///     let confirm = sqlx::query("UPDATE users SET confirmed_at = unixepoch() WHERE id = $1").bind(sent.user.id);
    ///     confirm.execute(&mut *tx).await?;
    ///     tx.commit().await?;
    ///     Ok(true)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn take_in(
        self,
        conn: &mut Connection<U>,
        token: &EmailToken,
        context: Context<'_>,
    ) -> Result<Checked<SentToken<U>>, Error> {
        let name = context.name();
        let found = store::email_tokens::lock::<U>(conn, token.hash(), &name, self.sent_within(context)).await?;
        let taken = store::email_tokens::delete::<U>(conn, token.hash(), &name).await?;
        Ok(found.filter(|sent| taken && sent.user.is_active()).into())
    }

    /// Finds a token, and locks its user's row until the end of the transaction. The token stays valid. Use it if the
    /// user's row shows that a link was used, so that submitting its form again can report success.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn lock_in(
        self,
        conn: &mut Connection<U>,
        token: &EmailToken,
        context: Context<'_>,
    ) -> Result<Checked<SentToken<U>>, Error> {
        let name = context.name();
        let found = store::email_tokens::lock::<U>(conn, token.hash(), &name, self.sent_within(context)).await?;
        Ok(found.filter(|sent| sent.user.is_active()).into())
    }

    /// Deletes the tokens of one context that were sent to a user, such as before a newer one is sent. Don't delete
    /// those of [`Context::Recovery`] because of what somebody in the account does: that may be the thief whom the user
    /// locks out with them.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_in(self, conn: &mut Connection<U>, user: &U::Id, context: Context<'_>) -> Result<(), Error> {
        Ok(store::email_tokens::delete_all::<U>(conn, user, Some(&context.name()), None).await?)
    }

    /// Returns how long a token is valid, for the text of its email.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::token::Context;
    ///
    /// fn small_print(sigra: &sigra::Sigra<User>) -> String {
    ///     let minutes = sigra.email_tokens().ttl(Context::Login).as_secs() / 60;
    ///     format!("The link works once, for {minutes} minutes.")
    /// }
    /// ```
    #[must_use]
    pub fn ttl(self, context: Context<'_>) -> Duration {
        let links = &self.sigra.parts.config.links;
        match context {
            Context::Confirm => links.confirm,
            Context::ResetPassword => links.reset,
            Context::Login => links.login,
            Context::ChangeEmail(_) => links.change_email,
            Context::Recovery => links.recovery,
        }
    }

    /// Returns a time for a recovery link that is later than that of the user's earlier links, so that their order
    /// doesn't depend on the clocks of servers.
    async fn after_recovery_links(self, conn: &mut Connection<U>, user: &U::Id) -> Result<OffsetDateTime, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        let sent = self.sent_within(Context::Recovery);
        let newest = store::email_tokens::newest_recovery_token::<U>(conn, user, sent).await?;
        let after = newest.map(|newest| newest.saturating_add(time::Duration::milliseconds(1)));
        Ok(after.map_or(self.sigra.now(), |after| after.max(self.sigra.now())))
    }

    /// Returns the time of the earliest valid recovery link that was sent to the same email address, or of the link
    /// itself.
    pub(crate) async fn earliest_recovery_in(
        self,
        conn: &mut Connection<U>,
        link: &SentToken<U>,
    ) -> Result<OffsetDateTime, Error> {
        let sent = self.sent_within(Context::Recovery);
        let oldest = store::email_tokens::oldest_recovery_token_to::<U>(conn, &link.user.id(), &link.to, sent).await?;
        Ok(oldest.map_or(link.at, |oldest| oldest.min(link.at)))
    }

    /// Returns the window in which a token must have been sent to be valid now.
    fn sent_within(self, context: Context<'_>) -> Window {
        Window::of(self.ttl(context), self.sigra.now())
    }
}
