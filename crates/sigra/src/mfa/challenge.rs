use crate::{
    base::{error::Error, telemetry},
    browser::cookie_session::CookieSession,
    mfa::{backup_codes::BackupCode, handle::Mfa},
    model::{
        audit::{self, Audit},
        checked::Checked,
        scope::{MfaChallenge, Scope},
        second_factor::{Factor, MfaCode, SecondFactor},
        session::Proof,
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sigra::transact,
    store,
};

/// What a user has answered with.
enum Answer<'a> {
    Code(&'a MfaCode),
    /// The passkey that has signed, if it is one of theirs.
    #[cfg(feature = "passkeys")]
    Passkey(Option<Box<super::passkeys::UsedPasskey>>),
}

/// Showing a second factor.
impl<U: AuthUser> Mfa<'_, U> {
    /// Completes a log-in whose second factor is pending, and [renews](crate::Sigra::renew_session) the session. With
    /// `trust_browser` this browser is asked for no second factor for [a while](crate::Config::mfa_trust_ttl).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`], and [`Error::SessionEnded`] if the session is gone by now.
    pub async fn complete(
        self,
        session: &CookieSession,
        challenge: &MfaChallenge<U>,
        answer: SecondFactor<'_>,
        trust_browser: bool,
    ) -> Result<Checked<Factor>, Error> {
        self.complete_with(session, challenge, answer, trust_browser, async |_, _| Ok(())).await
    }

    /// The same, with statements and mails of the host's in the transaction of the log-in, as in
    /// [`log_in_with`](crate::Sigra::log_in_with): that a backup code was used, say.
    ///
    /// # Errors
    ///
    /// As above, and whatever the statements fail with.
    pub async fn complete_with(
        self,
        session: &CookieSession,
        challenge: &MfaChallenge<U>,
        answer: SecondFactor<'_>,
        trust_browser: bool,
        also: impl AsyncFnOnce(&mut Transaction<U>, Factor) -> Result<(), Error>,
    ) -> Result<Checked<Factor>, Error> {
        self.present(session, &challenge.0, answer, telemetry::LOGIN_SUCCESS, trust_browser, also).await
    }

    /// Notes that the user has proved who they are once more, by their second factor, and
    /// [renews](crate::Sigra::renew_session) the session.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`], and [`Error::SessionEnded`] if the session is gone by now.
    pub async fn reauthenticate(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'_>,
    ) -> Result<Checked<Factor>, Error> {
        self.reauthenticate_with(session, scope, answer, async |_, _| Ok(())).await
    }

    /// The same, with statements and mails of the host's in its transaction: that a backup code was used, say.
    ///
    /// # Errors
    ///
    /// As above, and whatever the statements fail with.
    pub async fn reauthenticate_with(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'_>,
        also: impl AsyncFnOnce(&mut Transaction<U>, Factor) -> Result<(), Error>,
    ) -> Result<Checked<Factor>, Error> {
        self.present(session, scope, answer, telemetry::REAUTHENTICATION_SUCCESS, false, also).await
    }

    /// Presents a second factor, for what the event names: counted, used up, noted, and the session renewed.
    async fn present(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'_>,
        event: &'static str,
        trust_browser: bool,
        also: impl AsyncFnOnce(&mut Transaction<U>, Factor) -> Result<(), Error>,
    ) -> Result<Checked<Factor>, Error> {
        let (answer, mut also) = (self.limit_answer(session, scope, answer).await?, Some(also));
        let user = scope.user().id();
        let passed = transact!(self.sigra, if also.is_some(), tx => {
            let Some(factor) = self.take(tx, session, scope, &answer).await? else { return Ok(None) };
            if trust_browser {
                self.sigra.trusted_browsers().trust_in(tx, session, scope, factor.kind()).await?;
            }
            let audit = audit::own_event(event, &user, &session.client());
            self.sigra.audit().record(tx, &audit.with(serde_json::json!({ "second_factor": factor.name() }))).await?;
            self.sigra.renew_session_with(tx, session, scope, Some(Proof::SecondFactor(factor.kind()))).await?;
            self.sigra.remember_browser_with(tx, session, &user, Some(self.sigra.now())).await?;
            if let Some(also) = also.take() {
                also(tx, factor).await?;
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

    /// Counts an answer, and takes out the challenge that a passkey has signed: both are done once, however often the
    /// transaction is tried that follows.
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
            // There is nothing to guess at a passkey, and nobody else's guesses are to keep its owner waiting.
            #[cfg(feature = "passkeys")]
            SecondFactor::Passkey(response) => {
                Ok(Answer::Passkey(self.sigra.passkeys().check(session, &user, response).await?.map(Box::new)))
            }
        }
    }

    /// Uses a second factor up, in the transaction of what it is for.
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

    /// A code that was used while a clock was ahead would keep out all others until that time has come.
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
            "a clock was ahead when a code was used; codes are good again from the present one on"
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
        transact!(self.sigra, conn => self.sigra.audit().record(conn, &event).await)
    }
}

/// A code of so many steps ahead, an hour, was used by a clock that is wrong. Less may be a code that is used again
/// where the clock is behind.
const LATEST_STEP: i64 = 120;
