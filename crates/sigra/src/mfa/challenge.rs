use crate::{
    base::{error::Error, telemetry},
    browser::cookie_session::CookieSession,
    mfa::backup_codes::BackupCode,
    model::{
        audit::{self, Audit},
        checked::Checked,
        scope::{MfaChallenge, Scope},
        second_factor::{Factor, MfaCode, SecondFactor},
        session::Proof,
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sigra::{Sigra, transact},
    store::SecondFactors as _,
};

/// What a user has answered with.
enum Answer<'a> {
    Code(&'a MfaCode),
    /// The passkey that has signed, if it is one of theirs.
    #[cfg(feature = "passkeys")]
    Passkey(Option<Box<super::passkeys::UsedPasskey>>),
}

/// Showing a second factor.
impl<U: AuthUser> Sigra<U> {
    /// Completes a log-in whose second factor is pending, and [renews](Self::renew_session) the session. With
    /// `trust_browser` this browser is asked for no second factor for [a while](crate::Config::mfa_trust_ttl).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`], and [`Error::SessionEnded`] if the session is gone by now.
    pub async fn complete_mfa_challenge(
        &self,
        session: &CookieSession,
        challenge: &MfaChallenge<U>,
        answer: SecondFactor<'_>,
        trust_browser: bool,
    ) -> Result<Checked<Factor>, Error> {
        self.complete_mfa_challenge_with(session, challenge, answer, trust_browser, async |_, _| Ok(())).await
    }

    /// The same, with statements and mails of the host's in the transaction of the log-in, as in
    /// [`log_in_user_with`](Self::log_in_user_with): that a backup code was used, say.
    ///
    /// # Errors
    ///
    /// As above, and whatever the statements fail with.
    pub async fn complete_mfa_challenge_with(
        &self,
        session: &CookieSession,
        challenge: &MfaChallenge<U>,
        answer: SecondFactor<'_>,
        trust_browser: bool,
        also: impl AsyncFnOnce(&mut Transaction<U>, Factor) -> Result<(), Error>,
    ) -> Result<Checked<Factor>, Error> {
        let scope = &challenge.0;
        let (answer, mut also) = (self.limit_answer(session, scope, answer).await?, Some(also));
        let passed = transact!(self, if also.is_some(), tx => {
            let Some(factor) = self.take_second_factor(tx, session, scope, &answer).await? else { return Ok(None) };
            if trust_browser {
                let (token, before) = self.insert_trusted_browser(tx, session, scope, factor.kind()).await?;
                let session = session.clone();
                tx.after_commit(move || session.keep_trust_token(token, before));
            }
            self.record(tx, &own_event(telemetry::LOGIN_SUCCESS, scope, session, factor)).await?;
            self.renew_with_second_factor(tx, session, scope, factor).await?;
            if let Some(also) = also.take() {
                also(tx, factor).await?;
            }
            Ok(Some(factor))
        })?;
        let Some(factor) = passed else { return self.refuse_answer(session, scope, &answer).await };
        tracing::info!(
            target: "sigra", event = telemetry::LOGIN_SUCCESS, user_id = %scope.user().id(),
            session_id = %scope.session().id, remembered = scope.session().remembered, second_factor = factor.name(),
        );
        Ok(Checked::Valid(factor))
    }

    /// Notes that the user has proved who they are once more, by their second factor, and
    /// [renews](Self::renew_session) the session.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`], and [`Error::SessionEnded`] if the session is gone by now.
    pub async fn reauthenticate_user_with_second_factor(
        &self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'_>,
    ) -> Result<Checked<Factor>, Error> {
        self.reauthenticate_user_with_second_factor_and(session, scope, answer, async |_, _| Ok(())).await
    }

    /// The same, with statements and mails of the host's in its transaction: that a backup code was used, say.
    ///
    /// # Errors
    ///
    /// As above, and whatever the statements fail with.
    pub async fn reauthenticate_user_with_second_factor_and(
        &self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'_>,
        also: impl AsyncFnOnce(&mut Transaction<U>, Factor) -> Result<(), Error>,
    ) -> Result<Checked<Factor>, Error> {
        let (answer, mut also) = (self.limit_answer(session, scope, answer).await?, Some(also));
        let passed = transact!(self, if also.is_some(), tx => {
            let Some(factor) = self.take_second_factor(tx, session, scope, &answer).await? else { return Ok(None) };
            self.record(tx, &own_event(telemetry::REAUTHENTICATION_SUCCESS, scope, session, factor)).await?;
            self.renew_with_second_factor(tx, session, scope, factor).await?;
            if let Some(also) = also.take() {
                also(tx, factor).await?;
            }
            Ok(Some(factor))
        })?;
        let Some(factor) = passed else { return self.refuse_answer(session, scope, &answer).await };
        tracing::info!(
            target: "sigra", event = telemetry::REAUTHENTICATION_SUCCESS, user_id = %scope.user().id(),
            session_id = %scope.session().id, second_factor = factor.name(),
        );
        Ok(Checked::Valid(factor))
    }

    /// The browser gets the new token once it is committed.
    async fn renew_with_second_factor(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        factor: Factor,
    ) -> Result<(), Error> {
        let proof = Proof::SecondFactor(factor.kind());
        self.renew_session_with(tx, session, scope, Some(proof)).await?;
        self.remember_browser_with(tx, session, &scope.user().id(), Some(self.now())).await
    }

    /// Counts an answer, and takes out the challenge that a passkey has signed: both are done once, however often the
    /// transaction is tried that follows.
    async fn limit_answer<'a>(
        &self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: SecondFactor<'a>,
    ) -> Result<Answer<'a>, Error> {
        let user = scope.user().id();
        match answer {
            SecondFactor::Code(code) => {
                self.limit_second_factor(session, &user).await?;
                Ok(Answer::Code(code))
            }
            // There is nothing to guess at a passkey, and nobody else's guesses are to keep its owner waiting.
            #[cfg(feature = "passkeys")]
            SecondFactor::Passkey(response) => {
                Ok(Answer::Passkey(self.check_passkey(session, &user, response).await?.map(Box::new)))
            }
        }
    }

    /// Uses a second factor up, in the transaction of what it is for.
    async fn take_second_factor(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: &Answer<'_>,
    ) -> Result<Option<Factor>, Error> {
        let user = scope.user().id();
        self.lock_scope(conn, scope).await?;
        let factor = match answer {
            Answer::Code(code) => self.take_code(conn, &user, code).await?,
            #[cfg(feature = "passkeys")]
            Answer::Passkey(Some(used)) if self.note_passkey(conn, used).await? => Some(Factor::Passkey),
            #[cfg(feature = "passkeys")]
            Answer::Passkey(_) => None,
        };
        if factor.is_some() {
            self.forget_second_factors(conn, session, &user).await?;
        }
        Ok(factor)
    }

    async fn refuse_answer(
        &self,
        session: &CookieSession,
        scope: &Scope<U>,
        answer: &Answer<'_>,
    ) -> Result<Checked<Factor>, Error> {
        if matches!(answer, Answer::Code(_)) {
            self.note_wrong_code(session, scope).await?;
        }
        Ok(Checked::Invalid)
    }

    async fn take_code(&self, conn: &mut Connection<U>, user: &U::Id, code: &MfaCode) -> Result<Option<Factor>, Error> {
        if let Some(code) = BackupCode::parse(code) {
            return self.take_backup_code(conn, user, &code).await;
        }
        let Some(totp) = U::Database::find_totp(conn, user).await? else { return Ok(None) };
        let secret = self.decrypt_totp(&totp.secret, user);
        let Some(step) = secret.and_then(|secret| secret.step_of(code, self.now())) else { return Ok(None) };
        let is_first = U::Database::use_totp_step(conn, user, step, self.now()).await?
            || self.use_totp_step_after_a_wrong_clock(conn, user, step).await?;
        Ok(is_first.then_some(Factor::Totp))
    }

    /// A code that was used while a clock was ahead would keep out all others until that time has come.
    async fn use_totp_step_after_a_wrong_clock(
        &self,
        conn: &mut Connection<U>,
        user: &U::Id,
        step: i64,
    ) -> Result<bool, Error> {
        let latest = step + LATEST_STEP;
        if !U::Database::use_totp_step_after_a_wrong_clock(conn, user, step, latest, self.now()).await? {
            return Ok(false);
        }
        tracing::warn!(
            target: "sigra", user_id = %user,
            "a clock was ahead when a code was used; codes are good again from the present one on"
        );
        Ok(true)
    }

    async fn take_backup_code(
        &self,
        conn: &mut Connection<U>,
        user: &U::Id,
        code: &BackupCode,
    ) -> Result<Option<Factor>, Error> {
        if !U::Database::take_backup_code(conn, user, code.hash()).await? {
            return Ok(None);
        }
        let left = U::Database::count_backup_codes(conn, user).await?;
        Ok(Some(Factor::BackupCode { left }))
    }

    async fn note_wrong_code(&self, session: &CookieSession, scope: &Scope<U>) -> Result<(), Error> {
        let user = scope.user().id();
        tracing::info!(target: "sigra", event = telemetry::MFA_FAILURE, user_id = %user);
        let event = Audit::new(telemetry::MFA_FAILURE).of(user).from(&session.client());
        transact!(self, conn => self.record(conn, &event).await)
    }
}

/// A code of so many steps ahead, an hour, was used by a clock that is wrong. Less may be a code that is used again
/// where the clock is behind.
const LATEST_STEP: i64 = 120;

fn own_event<U: AuthUser>(
    action: &'static str,
    scope: &Scope<U>,
    session: &CookieSession,
    factor: Factor,
) -> Audit<U::Id> {
    let with = serde_json::json!({ "second_factor": factor.name() });
    audit::own_event(action, &scope.user().id(), &session.client()).with(with)
}
