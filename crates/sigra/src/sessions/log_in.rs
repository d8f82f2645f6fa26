//! Logging in: opens a session in place of the browser's earlier one.

use crate::{
    base::{error::Error, telemetry, token::SessionToken},
    browser::cookie_session::CookieSession,
    model::{
        audit::own_event,
        client::Client,
        log_in::{LoginMethod, LoginOutcome, RememberMe},
        session::{NewSession, SessionRow},
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sessions::trusted_browser::PresentedFactor,
    sigra::{Sigra, transact},
    store,
};

/// A login by a first factor.
pub(crate) struct LogIn<'a> {
    pub method: LoginMethod,
    /// The provider, if the user logged in at one.
    pub provider: Option<&'a str>,
    pub remember_me: RememberMe,
    /// The second factor that the user already presented, if any.
    pub presented: Option<PresentedFactor>,
}

impl<U: AuthUser> Sigra<U> {
    /// Logs in a user whose first factor you have verified. A user who has a second factor is logged in once they have
    /// [presented it](crate::mfa::Mfa::complete), unless they trust this browser.
    ///
    /// One transaction deletes the browser's earlier session and writes a new one. The cookie session is renewed: of
    /// its entries, only the path to return to and those that the host [listed](crate::Config::survives_renewal)
    /// survive (session fixation, CWE-384). The log and the audit trail have the `method`.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsChanged`] if the user [isn't active](AuthUser::is_active), was deleted, or has another
    /// password since `user` was read. Respond as to a wrong password.
    #[tracing::instrument(level = "debug", name = "sigra.log_in", skip_all)]
    pub async fn log_in(
        &self,
        session: &CookieSession,
        user: &U,
        method: LoginMethod,
        remember_me: RememberMe,
    ) -> Result<LoginOutcome, Error> {
        self.log_in_with(session, user, method, remember_me, async |_, _| Ok(())).await
    }

    /// Like [`log_in`](Self::log_in), but runs `also` in the transaction of the login, with the new session: the host's
    /// statements and [emails](crate::mail::Mailer::send_in) are committed with it, or not at all. `also` doesn't run while
    /// the second factor is pending; pass it to [`complete_with`](crate::mfa::Mfa::complete_with) too.
    ///
    /// This login ends the user's other sessions:
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{CookieSession, LoginMethod, LoginOutcome, RememberMe, Sigra};
    ///
    /// async fn log_in(sigra: &Sigra<User>, session: &CookieSession, user: &User) -> sigra::Result<LoginOutcome> {
    ///     sigra
    ///         .log_in_with(session, user, LoginMethod::Password, RememberMe::No, async |tx, opened| {
    ///             let others = sigra.sessions().delete_all_in(tx, &user.id, Some(opened.id)).await?;
    ///             sigra.sessions().announce_in(tx, others);
    ///             Ok(())
    ///         })
    ///         .await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`log_in`](Self::log_in), and any error that `also` returns.
    pub async fn log_in_with(
        &self,
        session: &CookieSession,
        user: &U,
        method: LoginMethod,
        remember_me: RememberMe,
        also: impl AsyncFnOnce(&mut Transaction<U>, &SessionRow) -> Result<(), Error>,
    ) -> Result<LoginOutcome, Error> {
        let mut also = Some(also);
        transact!(self, if also.is_some(), tx => {
            self.lock_presented(tx, session, user).await?;
            self.lock_user(tx, user).await?;
            let presented = self.presented_before(tx, session, &user.id()).await?;
            self.log_in_in(tx, session, user, LogIn { method, provider: None, remember_me, presented }, &mut also).await
        })
    }

    /// Like [`log_in_with`](Self::log_in_with), but first runs `first` in the same transaction: to use up a one-time
    /// token, for example, which is then used up and logs the user in, or neither. `first` returns the user as they are
    /// after it, or `None` if they can't log in. Then, or if the user isn't active or is another one than `user`,
    /// nothing is committed, and `None` is returned. It runs even if the second factor is pending.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{
    ///     Checked, CookieSession, EmailToken, LoginMethod, LoginOutcome, RememberMe, SessionRow, Sigra, Transaction,
    ///     token::Context,
    /// };
    ///
    /// async fn log_in_by_link(
    ///     sigra: &Sigra<User>, session: &CookieSession, token: &EmailToken,
    /// ) -> sigra::Result<Option<LoginOutcome>> {
    ///     let Checked::Valid(found) = sigra.email_tokens().find(token, Context::Login).await? else {
    ///         return Ok(None);
    ///     };
    ///     let take = async |tx: &mut Transaction<User>| {
    ///         let taken = sigra.email_tokens().take_in(tx, token, Context::Login).await?;
    ///         Ok(taken.filter(|taken| taken.to == taken.user.email).valid().map(|taken| taken.user))
    ///     };
    ///     let also = async |_: &mut Transaction<User>, _: &SessionRow| Ok(());
    ///     sigra.log_in_after(session, &found.user, LoginMethod::Link, RememberMe::No, take, also).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`log_in`](Self::log_in), and any error that `first` or `also` returns.
    pub async fn log_in_after(
        &self,
        session: &CookieSession,
        user: &U,
        method: LoginMethod,
        remember_me: RememberMe,
        first: impl AsyncFnOnce(&mut Transaction<U>) -> Result<Option<U>, Error>,
        also: impl AsyncFnOnce(&mut Transaction<U>, &SessionRow) -> Result<(), Error>,
    ) -> Result<Option<LoginOutcome>, Error> {
        let mut also = Some(also);
        let mut tx = self.begin().await?;
        self.lock_presented(&mut tx, session, user).await?;
        self.lock_user(&mut tx, user).await?;
        let locked = user.id();
        let user = first(&mut tx).await?.filter(|user| user.id() == locked && user.is_active());
        let Some(user) = user else { return Ok(None) };
        let presented = self.presented_before(&mut tx, session, &user.id()).await?;
        let log_in = LogIn { method, provider: None, remember_me, presented };
        let outcome = self.log_in_in(&mut tx, session, &user, log_in, &mut also).await?;
        tx.commit().await?;
        Ok(Some(outcome))
    }

    /// Opens a session in place of the browser's earlier one. The rows of the user and of those whose sessions the
    /// browser presents must be locked. The browser gets the token after the commit.
    pub(crate) async fn log_in_in(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        user: &U,
        log_in: LogIn<'_>,
        also: &mut Option<impl AsyncFnOnce(&mut Transaction<U>, &SessionRow) -> Result<(), Error>>,
    ) -> Result<LoginOutcome, Error> {
        let presented = session.presented();
        let client = session.client();
        let new = NewSession {
            replaces: presented.first().map(SessionToken::hash),
            method: Some(log_in.method),
            mfa_verified_at: log_in.presented.map(|presented| presented.at),
            mfa_verified_by: log_in.presented.and_then(|presented| presented.kind),
            ..NewSession::of(user, log_in.remember_me, &client, self.now())
        };
        let (token, row) = insert_session::<U>(tx, new).await?;
        if let Some(trusted) = log_in.presented.and_then(|presented| presented.trusted) {
            store::browsers::note_session::<U>(tx, trusted, row.id).await?;
        }
        let replaced = self.end_presented_in(tx, session).await?;
        if !row.mfa_pending {
            self.remember_browser_with(tx, session, &user.id(), log_in.presented.map(|presented| presented.at)).await?;
        }
        let event = if row.mfa_pending { telemetry::MFA_CHALLENGED } else { telemetry::LOGIN_SUCCESS };
        let audit = own_event(event, &user.id(), &client).by_method(log_in.method, log_in.provider);
        self.audit().record_in(tx, &audit).await?;
        if !row.mfa_pending
            && let Some(also) = also.take()
        {
            also(tx, &row).await?;
        }
        let outcome = if row.mfa_pending { LoginOutcome::SecondFactorPending } else { LoginOutcome::Complete };
        let (sigra, session, user) = (self.clone(), session.clone(), user.id());
        let (method, provider) = (log_in.method.name(), log_in.provider.map(str::to_owned));
        tx.after_commit(move || {
            sigra.ended(&replaced);
            session.renew(token, sigra.remember_for(&row), &sigra.parts.config.cookies.survives_renewal);
            #[cfg(feature = "device-bound")]
            sigra.offer_binding(&session, &row);
            tracing::info!(
                target: "sigra", event, user_id = %user, session_id = %row.id, method, provider,
                remembered = row.remembered,
            );
        });
        Ok(outcome)
    }

    /// Creates a session and returns its raw token, which is not stored. If the user has a second factor, the session
    /// [is pending](SessionRow::mfa_pending), and doesn't log them in.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsChanged`] if the user [isn't active](AuthUser::is_active), was deleted, or has another
    /// password since `user` was read.
    pub async fn create_session(
        &self,
        user: &U,
        remember_me: RememberMe,
        client: &Client,
    ) -> Result<(SessionToken, SessionRow), Error> {
        self.open_session(NewSession::of(user, remember_me, client, self.now())).await
    }

    pub(crate) async fn open_session(&self, new: NewSession<'_, U>) -> Result<(SessionToken, SessionRow), Error> {
        transact!(self, conn => {
            self.lock_user(conn, new.user).await?;
            insert_session::<U>(conn, new.clone()).await
        })
    }
}

async fn insert_session<U: AuthUser>(
    conn: &mut Connection<U>,
    new: NewSession<'_, U>,
) -> Result<(SessionToken, SessionRow), Error> {
    let token = SessionToken::generate()?;
    let row = store::sessions::insert::<U>(conn, token.hashes(), &new).await?.ok_or(Error::CredentialsChanged)?;
    Ok((token, row))
}
