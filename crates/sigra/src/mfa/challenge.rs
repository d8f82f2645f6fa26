//! Presenting a second factor, to complete a login or to reauthenticate.

use crate::{
    base::{error::Error, telemetry},
    browser::cookie_session::CookieSession,
    mfa::{backup_codes::BackupCode, handle::Mfa},
    model::{
        audit::{self, Audit},
        checked::Checked,
        scope::{MfaChallenge, Scope},
        second_factor::{Factor, MfaCode, SecondFactor, TrustBrowser},
        session::{Proof, SessionRow},
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sigra::transact,
    store,
};

/// A user's answer to a challenge.
enum Answer<'a> {
    Code(&'a MfaCode),
    /// The passkey that signed the challenge. `None` if it isn't one of the user's.
    #[cfg(feature = "passkeys")]
    Passkey(Option<Box<super::passkeys::UsedPasskey>>),
}

/// Presenting a second factor.
impl<U: AuthUser> Mfa<'_, U> {
    /// Completes a login whose second factor is pending, and [renews](crate::Sigra::renew_session) the session.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`], and [`Error::SessionEnded`] if the session has ended.
    pub async fn complete(
        self,
        session: &CookieSession,
        challenge: &MfaChallenge<U>,
        answer: SecondFactor<'_>,
        trust_browser: TrustBrowser,
    ) -> Result<Checked<Factor>, Error> {
        self.complete_with(session, challenge, answer, trust_browser, async |_, _, _| Ok(())).await
    }

    /// Like [`complete`](Self::complete), but runs `also` in the transaction of the login, as in
    /// [`log_in_with`](crate::Sigra::log_in_with): to send an email about a used backup code, for example.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{
    ///     Checked, CookieSession, Sigra,
    ///     mfa::{Factor, MfaChallenge, SecondFactor, TrustBrowser},
    /// };
    ///
    /// async fn complete(
    ///     sigra: &Sigra<User>, session: &CookieSession, challenge: &MfaChallenge<User>, answer: SecondFactor<'_>,
    /// ) -> sigra::Result<Checked<Factor>> {
    ///     let user = challenge.user();
    ///     sigra
    ///         .mfa()
    ///         .complete_with(session, challenge, answer, TrustBrowser::No, async |tx, opened, _factor| {
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
    /// Those of [`complete`](Self::complete), and any error that `also` returns.
    pub async fn complete_with(
        self,
        session: &CookieSession,
        challenge: &MfaChallenge<U>,
        answer: SecondFactor<'_>,
        trust_browser: TrustBrowser,
        also: impl AsyncFnOnce(&mut Transaction<U>, &SessionRow, Factor) -> Result<(), Error>,
    ) -> Result<Checked<Factor>, Error> {
        self.present(session, &challenge.0, answer, telemetry::LOGIN_SUCCESS, trust_browser, also).await
    }

    /// Reauthenticates the user by their second factor, and [renews](crate::Sigra::renew_session) the session.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`], and [`Error::SessionEnded`] if the session has ended.
    pub async fn reauthenticate(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'_>,
    ) -> Result<Checked<Factor>, Error> {
        self.reauthenticate_with(session, scope, answer, async |_, _| Ok(())).await
    }

    /// Like [`reauthenticate`](Self::reauthenticate), but runs `also` in its transaction: to send an email about a used
    /// backup code, for example.
    ///
    /// # Errors
    ///
    /// Those of [`reauthenticate`](Self::reauthenticate), and any error that `also` returns.
    pub async fn reauthenticate_with(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'_>,
        also: impl AsyncFnOnce(&mut Transaction<U>, Factor) -> Result<(), Error>,
    ) -> Result<Checked<Factor>, Error> {
        let also = async |tx: &mut Transaction<U>, _: &SessionRow, factor| also(tx, factor).await;
        self.present(session, scope, answer, telemetry::REAUTHENTICATION_SUCCESS, TrustBrowser::No, also).await
    }

    /// Counts the attempt, uses the second factor up, records `event` and renews the session.
    async fn present(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'_>,
        event: &'static str,
        trust_browser: TrustBrowser,
        also: impl AsyncFnOnce(&mut Transaction<U>, &SessionRow, Factor) -> Result<(), Error>,
    ) -> Result<Checked<Factor>, Error> {
        let (answer, mut also) = (self.limit_answer(session, scope, answer).await?, Some(also));
        let user = scope.user().id();
        let passed = transact!(self.sigra, if also.is_some(), tx => {
            let Some(factor) = self.take(tx, session, scope, &answer).await? else { return Ok(None) };
            if trust_browser == TrustBrowser::Yes {
                self.sigra.trusted_browsers().trust_in(tx, session, scope, factor.kind()).await?;
            }
            let audit = audit::own_event(event, &user, &session.client());
            self.sigra.audit().record_in(tx, &audit.with(serde_json::json!({ "second_factor": factor.name() }))).await?;
            let proof = Some(Proof::SecondFactor(factor.kind()));
            let row = self.sigra.renew_session_with(tx, session, scope, proof).await?;
            self.sigra.remember_browser_with(tx, session, &user, Some(self.sigra.now())).await?;
            if let Some(also) = also.take() {
                also(tx, &row, factor).await?;
            }
            Ok(Some(factor))
        })?;
        let Some(factor) = passed else { return self.refuse(session, scope, &answer).await };
        let row = scope.session();
        tracing::info!(
            target: "sigra", event, user_id = %user, session_id = %row.id,
            remembered = (event == telemetry::LOGIN_SUCCESS).then_some(row.remembered), second_factor = factor.name(),
        );
        Ok(Checked::Valid(factor))
    }

    /// Counts the attempt, or takes the challenge that a passkey answered out of the database. This happens once, even
    /// if the transaction that follows is retried.
    async fn limit_answer<'a>(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'a>,
    ) -> Result<Answer<'a>, Error> {
        let user = scope.user().id();
        match answer {
            SecondFactor::Code(code) => {
                self.sigra.limits().check_second_factor(session, &user).await?;
                Ok(Answer::Code(code))
            }
            // A passkey can't be guessed, and other people's guesses must not slow its owner down.
            #[cfg(feature = "passkeys")]
            SecondFactor::Passkey(response) => {
                Ok(Answer::Passkey(self.sigra.passkeys().check(session, &user, response).await?.map(Box::new)))
            }
        }
    }

    /// Uses the second factor up, in the transaction of what it is presented for.
    async fn take(
        self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: &Answer<'_>,
    ) -> Result<Option<Factor>, Error> {
        let user = scope.user().id();
        self.sigra.lock_scope(conn, scope).await?;
        let factor = match answer {
            Answer::Code(code) => self.take_code(conn, &user, code).await?,
            #[cfg(feature = "passkeys")]
            Answer::Passkey(Some(used)) if self.sigra.passkeys().note(conn, used).await? => Some(Factor::Passkey),
            #[cfg(feature = "passkeys")]
            Answer::Passkey(_) => None,
        };
        if factor.is_some() {
            self.sigra.limits().forget_second_factors(conn, session, &user).await?;
        }
        Ok(factor)
    }

    async fn refuse(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: &Answer<'_>,
    ) -> Result<Checked<Factor>, Error> {
        if matches!(answer, Answer::Code(_)) {
            self.note_wrong_code(session, scope).await?;
        }
        Ok(Checked::Invalid)
    }

    async fn take_code(self, conn: &mut Connection<U>, user: &U::Id, code: &MfaCode) -> Result<Option<Factor>, Error> {
        if let Some(code) = BackupCode::parse(code) {
            return self.take_backup_code(conn, user, &code).await;
        }
        let Some(totp) = store::totp::find::<U>(conn, user).await? else { return Ok(None) };
        let secret = self.decrypt_totp(&totp.secret, user);
        let Some(step) = secret.and_then(|secret| secret.step_of(code, self.sigra.now())) else { return Ok(None) };
        let is_first = store::totp::use_step::<U>(conn, user, step, self.sigra.now()).await?
            || self.use_totp_step_after_a_wrong_clock(conn, user, step).await?;
        Ok(is_first.then_some(Factor::Totp))
    }

    /// Accepts a code after an earlier one was used while a clock was ahead, which would otherwise block all codes
    /// until that time.
    async fn use_totp_step_after_a_wrong_clock(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        step: i64,
    ) -> Result<bool, Error> {
        let latest = step + LATEST_STEP;
        if !store::totp::use_step_after_a_wrong_clock::<U>(conn, user, step, latest, self.sigra.now()).await? {
            return Ok(false);
        }
        tracing::warn!(
            target: "sigra", user_id = %user,
            "a clock was ahead when a code was used; codes from the current one on are accepted again"
        );
        Ok(true)
    }

    async fn take_backup_code(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        code: &BackupCode,
    ) -> Result<Option<Factor>, Error> {
        if !store::backup_codes::take::<U>(conn, user, code.hash()).await? {
            return Ok(None);
        }
        let left = store::backup_codes::count::<U>(conn, user).await?;
        Ok(Some(Factor::BackupCode { left }))
    }

    async fn note_wrong_code(self, session: &CookieSession, scope: &Scope<U>) -> Result<(), Error> {
        let user = scope.user().id();
        tracing::info!(target: "sigra", event = telemetry::MFA_FAILURE, user_id = %user);
        let event = Audit::new(telemetry::MFA_FAILURE).of(user).from(&session.client());
        transact!(self.sigra, conn => self.sigra.audit().record_in(conn, &event).await)
    }
}

/// If the last used step is at least this many ahead, an hour, a wrong clock used it. If it is fewer, the code may be a
/// replay where the clock is behind.
const LATEST_STEP: i64 = 120;
