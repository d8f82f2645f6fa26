//! Logging in with a link sent by email.

use sigra::{
    Client, CookieSession, EmailToken, LoginMethod, RememberMe, Revoked, Scope, SessionRow, audit, token::Context,
};

use super::{AccountError, Accounts, NextStep, Transaction, User};

/// A login link that was used up.
struct UsedLink {
    owner: User,
    /// Whether the account's password was removed, because someone else may have registered the account.
    password_removed: bool,
    /// The sessions that were ended with it.
    revoked: Option<Revoked>,
}

impl Accounts {
    /// Sends a login link, if the address has an account.
    pub async fn deliver_login_link(&self, email: &str, client: Client) -> Result<(), sigra::Error> {
        self.deliver_to(email, |accounts, user| async move {
            let mut tx = accounts.sigra.begin().await?;
            if accounts.notifier.may_mail_user(&mut tx, "log in", &user).await? {
                accounts.record_attempt(&mut tx, audit::LOGIN_LINK_REQUESTED, &user, &client).await?;
                let token =
                    accounts.sigra.email_tokens().create_in(&mut tx, &user.id, Context::Login, &user.email).await?;
                accounts.mailer().send_in(&mut tx, accounts.notifier.login_link(&user, &token)).await?;
            }
            tx.commit().await
        })
        .await
    }

    /// Returns the user whom a link logs in.
    pub async fn get_user_by_login_token(&self, token: &str) -> Result<Option<User>, sigra::Error> {
        self.get_user_by_email_token(token, Context::Login).await
    }

    /// Logs in the user of a link, which works once. The transaction that logs in uses the link up, so a failure leaves
    /// it valid.
    pub async fn log_in_with_link(
        &self,
        session: &CookieSession,
        scope: Option<&Scope<User>>,
        token: &str,
        remember_me: RememberMe,
    ) -> Result<NextStep, AccountError> {
        let found = self.get_user_by_login_token(token).await?.ok_or(AccountError::InvalidLink)?;
        let token = EmailToken::parse(token).ok_or(AccountError::InvalidLink)?;
        let (mut used, mut deletion_canceled) = (None, false);
        let first = async |tx: &mut Transaction| {
            used = self.take_login_link(tx, session, scope, &token).await?;
            Ok(used.as_ref().map(|used: &UsedLink| used.owner.clone()))
        };
        let also = async |tx: &mut Transaction, opened: &SessionRow| {
            deletion_canceled = self.complete_log_in(tx, session, &found, opened).await?;
            Ok(())
        };
        let logged_in = self.sigra.log_in_after(session, &found, LoginMethod::Link, remember_me, first, also).await?;
        let (Some(outcome), Some(used)) = (logged_in, used) else { return Err(AccountError::InvalidLink) };
        self.sigra.sessions().announce_change(&used.owner.id);
        used.revoked.into_iter().for_each(|sessions| self.sigra.sessions().announce(sessions));
        let mut next_step = self.next_step(session, &used.owner, outcome, deletion_canceled).await?;
        if let NextStep::LoggedIn(login) = &mut next_step {
            login.password_removed = used.password_removed;
        }
        Ok(next_step)
    }

    /// Uses up a link, and returns the user to log in.
    ///
    /// The link proves that the user has the mailbox, and so confirms the address. If it wasn't confirmed before,
    /// someone else may have registered it: unless [this browser did](Self::is_registrant), the password is removed,
    /// and so is everything else that could log someone in.
    async fn take_login_link(
        &self,
        tx: &mut Transaction,
        session: &CookieSession,
        scope: Option<&Scope<User>>,
        token: &EmailToken,
    ) -> Result<Option<UsedLink>, sigra::Error> {
        let client = session.client();
        let sent = self.sigra.email_tokens().take_in(tx, token, Context::Login).await?;
        let Some(sent) = sent.filter(|sent| sent.to == sent.user.email).valid() else { return Ok(None) };
        if sent.user.confirmed_at.is_some() {
            return Ok(Some(UsedLink { owner: sent.user, password_removed: false, revoked: None }));
        }
        if self.is_registrant(session, scope, &sent.user) {
            let owner = self.confirm_in(tx, &sent.user, &client).await?;
            return Ok(Some(UsedLink { owner, password_removed: false, revoked: None }));
        }
        sqlx::query("UPDATE users SET hashed_password = NULL, updated_at = $1 WHERE id = $2")
            .bind(self.sigra.now())
            .bind(sent.user.id)
            .execute(&mut **tx)
            .await?;
        let revoked = self.sigra.recovery().take_over_in(tx, &sent.user.id, &client).await?;
        let owner = self.confirm_in(tx, &sent.user, &client).await?;
        let password_removed = sent.user.hashed_password.is_some();
        if password_removed {
            self.notifier.notify_in(tx, &owner, "password", self.notifier.password_removed(&owner)).await?;
        }
        Ok(Some(UsedLink { owner, password_removed, revoked: Some(revoked) }))
    }
}
