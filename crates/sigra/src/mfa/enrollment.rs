//! Setting up, listing and removing second factors.

use time::OffsetDateTime;

use crate::{
    base::{
        error::Error,
        token::{Context, EmailToken},
    },
    browser::cookie_session::CookieSession,
    mfa::{backup_codes::BackupCodes, handle::Mfa},
    model::{
        audit::{self, Audit},
        checked::Checked,
        client::Client,
        scope::{MfaEnrollment, Scope, Sudo},
        second_factor::{FactorKind, MfaCode, SecondFactors, Totp},
        session::Proof,
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sigra::transact,
    store::{self, BrowserKind},
};

/// The result of setting up a second factor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Enrolled {
    /// The backup codes that come with the user's first factor, to be shown once. `None` if they already had a second
    /// factor.
    pub backup_codes: Option<BackupCodes>,
    /// The token for a link that [takes the account back](crate::Recovery::recover_in), with the user's first factor.
    /// Send it in the email about the new factor: a new password doesn't remove a factor that a thief set up.
    pub recovery: Option<EmailToken>,
}

/// Setting up and removing second factors.
impl<U: AuthUser> Mfa<'_, U> {
    /// Returns the second factors of a user.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// async fn uses_an_app(sigra: &sigra::Sigra<User>, user: &User) -> sigra::Result<bool> {
    ///     Ok(sigra.mfa().list(&user.id).await?.totp.is_some())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list(self, user: &U::Id) -> Result<SecondFactors, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        let totp = store::totp::find::<U>(&mut conn, user).await?;
        let backup_codes = store::backup_codes::count::<U>(&mut conn, user).await?;
        Ok(SecondFactors {
            totp: totp.map(|row| Totp { inserted_at: row.inserted_at, last_used_at: row.last_used_at }),
            #[cfg(feature = "passkeys")]
            passkeys: self.sigra.passkeys().list_in(&mut conn, user).await?,
            backup_codes,
        })
    }

    /// Sets up the authenticator app that [`begin_totp`](crate::mfa::Mfa::begin_totp) began in this browser. It
    /// replaces the user's earlier one. If none was begun, every code is invalid.
    ///
    /// A user's first factor ends all their other sessions, which were opened without it, and comes with backup codes.
    /// Every new factor ends the trust in all browsers and [renews](crate::Sigra::renew_session) the session. `email`
    /// is the user's email address: with the first factor, they get a link there to [take the account
    /// back](crate::Recovery::recover_in) if somebody else set it up.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session has ended.
    pub async fn confirm_totp(
        self,
        session: &CookieSession,
        enrollment: &MfaEnrollment<U>,
        email: &str,
        code: &MfaCode,
    ) -> Result<Checked<Enrolled>, Error> {
        self.confirm_totp_with(session, enrollment, email, code, async |_, _| Ok(())).await
    }

    /// Like [`confirm_totp`](Self::confirm_totp), but runs `also` in its transaction: to [send an
    /// email](crate::mail::Mailer::send_in) that informs the user, for example.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{Checked, CookieSession, Sigra, mail::{Mail, Mailer}, mfa::{Enrolled, MfaCode, MfaEnrollment}};
    ///
    /// async fn set_up(
    ///     sigra: &Sigra<User>,
    ///     mailer: &Mailer,
    ///     session: &CookieSession,
    ///     enrollment: &MfaEnrollment<User>,
    ///     code: &MfaCode,
    /// ) -> sigra::Result<Checked<Enrolled>> {
    ///     let email = &enrollment.scope().user().email;
    ///     let notify = async |tx: &mut sigra::Transaction<User>, enrolled: &Enrolled| {
    ///         let token = enrolled.recovery.as_ref().map(|token| token.encode().to_string());
    ///         let link = token.map(|token| format!("https://app.example.com/recover/{token}"));
    ///         let text = format!("An app was set up. It wasn't you? {}", link.unwrap_or_default());
    ///         mailer.send_in(tx, Mail::new(email, "A second factor was added", text)).await
    ///     };
    ///     sigra.mfa().confirm_totp_with(session, enrollment, email, code, notify).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`confirm_totp`](Self::confirm_totp), and any error that `also` returns.
    pub async fn confirm_totp_with(
        self,
        session: &CookieSession,
        enrollment: &MfaEnrollment<U>,
        email: &str,
        code: &MfaCode,
        also: impl AsyncFnOnce(&mut Transaction<U>, &Enrolled) -> Result<(), Error>,
    ) -> Result<Checked<Enrolled>, Error> {
        let (scope, now) = (enrollment.scope(), self.sigra.now());
        let user = scope.user().id();
        let under_way = self.totps_under_way(session, scope.user());
        let confirmed = under_way.into_iter().find_map(|secret| Some((secret.step_of(code, now)?, secret)));
        let Some((step, secret)) = confirmed else { return Ok(Checked::Invalid) };
        let encrypted = self.encrypt_totp(&secret, &user)?;

        let mut also = Some(also);
        transact!(self.sigra, if also.is_some(), tx => {
            self.sigra.lock_scope(tx, scope).await?;
            let is_first = !store::second_factors::exist::<U>(tx, &user).await?;
            store::totp::delete::<U>(tx, &user).await?;
            store::totp::insert::<U>(tx, &user, &encrypted, step, now).await?;
            let event = audit::own_event(audit::TOTP_ENABLED, &user, &session.client());
            let enrolled = self.enroll(tx, session, scope, email, is_first).await?;
            self.changed(tx, session, scope, event, Some(Proof::Enrollment)).await?;
            if let Some(also) = also.take() {
                also(tx, &enrolled).await?;
            }
            Ok(Checked::Valid(enrolled))
        })
    }

    /// Removes the authenticator app. Returns whether there was one. With the last factor, the backup codes are deleted
    /// too. No browser stays trusted, and the session is [renewed](crate::Sigra::renew_session).
    ///
    /// # Errors
    ///
    /// [`Error::SecondFactorRequired`] if it is the last factor of a user who [must](AuthUser::requires_second_factor)
    /// have one, and [`Error::SessionEnded`] if the session has ended.
    pub async fn disable_totp(self, session: &CookieSession, sudo: &Sudo<U>) -> Result<bool, Error> {
        self.disable_totp_with(session, sudo, async |_| Ok(())).await
    }

    /// Like [`disable_totp`](Self::disable_totp), but runs `also` in its transaction if there was an app: to [send an
    /// email](crate::mail::Mailer::send_in) that informs the user, for example.
    ///
    /// # Errors
    ///
    /// Those of [`disable_totp`](Self::disable_totp), and any error that `also` returns.
    pub async fn disable_totp_with(
        self,
        session: &CookieSession,
        sudo: &Sudo<U>,
        also: impl AsyncFnOnce(&mut Transaction<U>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let (scope, user) = (sudo.scope(), sudo.user().id());
        let mut also = Some(also);
        transact!(self.sigra, if also.is_some(), tx => {
            let locked = self.sigra.lock_scope(tx, scope).await?;
            if !store::totp::delete::<U>(tx, &user).await? {
                return Ok(false);
            }
            self.disenrol(tx, &locked).await?;
            let event = audit::own_event(audit::TOTP_DISABLED, &user, &session.client());
            self.changed(tx, session, scope, event, None).await?;
            if let Some(also) = also.take() {
                also(tx).await?;
            }
            Ok(true)
        })
    }

    /// Replaces the backup codes with new ones. Returns `None` for a user who has no second factor.
    ///
    /// A user who presented a backup code can't get new ones with it: otherwise a stolen code would be worth ten. They
    /// set up another app or a passkey first, and present that.
    ///
    /// # Errors
    ///
    /// [`Error::OtherFactorRequired`] if the last factor presented in this session is a backup code, and
    /// [`Error::SessionEnded`] if the session has ended.
    pub async fn regenerate_backup_codes(
        self,
        session: &CookieSession,
        sudo: &Sudo<U>,
    ) -> Result<Option<BackupCodes>, Error> {
        self.regenerate_backup_codes_with(session, sudo, async |_| Ok(())).await
    }

    /// Like [`regenerate_backup_codes`](Self::regenerate_backup_codes), but runs `also` in its transaction if there are
    /// new codes: to [send an email](crate::mail::Mailer::send_in) that informs the user, for example.
    ///
    /// # Errors
    ///
    /// Those of [`regenerate_backup_codes`](Self::regenerate_backup_codes), and any error that `also` returns.
    pub async fn regenerate_backup_codes_with(
        self,
        session: &CookieSession,
        sudo: &Sudo<U>,
        also: impl AsyncFnOnce(&mut Transaction<U>) -> Result<(), Error>,
    ) -> Result<Option<BackupCodes>, Error> {
        let (scope, user) = (sudo.scope(), sudo.user().id());
        let mut also = Some(also);
        transact!(self.sigra, if also.is_some(), tx => {
            self.sigra.lock_scope(tx, scope).await?;
            if !store::second_factors::exist::<U>(tx, &user).await? {
                return Ok(None);
            }
            if scope.session().mfa_verified_by == Some(FactorKind::BackupCode) {
                return Err(Error::OtherFactorRequired);
            }
            let codes = self.insert_backup_codes(tx, &user).await?;
            let event = audit::own_event(audit::BACKUP_CODES_REGENERATED, &user, &session.client());
            self.changed(tx, session, scope, event, None).await?;
            if let Some(also) = also.take() {
                also(tx).await?;
            }
            Ok(Some(codes))
        })
    }

    /// Deletes the second factors that a user set up since a time, and all backup codes, because they may have been
    /// regenerated since. The user's row must be locked.
    pub(crate) async fn delete_since(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        since: OffsetDateTime,
        client: &Client,
    ) -> Result<(), Error> {
        let had_totp = store::totp::delete_since::<U>(&mut *conn, user, since).await?;
        let had_passkeys = store::passkeys::delete_since::<U>(&mut *conn, user, since).await? > 0;
        store::backup_codes::delete::<U>(&mut *conn, user).await?;
        for (was_there, event) in [(had_totp, audit::TOTP_DISABLED), (had_passkeys, audit::PASSKEY_REMOVED)] {
            if was_there {
                self.sigra.audit().record_in(&mut *conn, &audit::own_event(event, user, client)).await?;
            }
        }
        Ok(())
    }

    /// Finishes a change of second factors in its transaction: records the event, ends the trust in browsers and the
    /// sessions whose second factor is pending, and renews the session with `proof`.
    pub(super) async fn changed(
        self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        event: Audit<U::Id>,
        proof: Option<Proof>,
    ) -> Result<(), Error> {
        let user = scope.user().id();
        self.sigra.audit().record_in(tx, &event).await?;
        store::browsers::delete::<U>(tx, BrowserKind::Trusted, &user, None).await?;
        let (sigra, pending) = (self.sigra.clone(), store::sessions::delete_pending::<U>(tx, &user).await?);
        tx.after_commit(move || {
            sigra.end_sessions(&pending);
            sigra.sessions().announce_change(&user);
        });
        self.sigra.renew_session_with(tx, session, scope, proof).await.map(drop)
    }

    /// Finishes adding a factor, with what only the first one causes.
    pub(super) async fn enroll(
        self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        email: &str,
        is_first: bool,
    ) -> Result<Enrolled, Error> {
        let (user, this_one) = (scope.user().id(), scope.session().id);
        let mut enrolled = Enrolled { backup_codes: None, recovery: None };
        if is_first {
            let others = self.sigra.sessions().delete_all_in(tx, &user, Some(this_one)).await?;
            let ended = Audit::new(audit::PROGRAM_REVOKED).of(user.clone());
            self.sigra.sessions().end_programs_in(tx, &user, ended).await?;
            enrolled.backup_codes = Some(self.insert_backup_codes(tx, &user).await?);
            enrolled.recovery = Some(self.sigra.email_tokens().create_in(tx, &user, Context::Recovery, email).await?);
            let sigra = self.sigra.clone();
            tx.after_commit(move || sigra.sessions().announce(others));
        }
        self.sigra.remember_browser_with(tx, session, &user, Some(self.sigra.now())).await?;
        Ok(enrolled)
    }

    /// Finishes removing a factor. Reads from the locked row if the user must have one, because that may have changed
    /// since the request began.
    pub(super) async fn disenrol(self, tx: &mut Transaction<U>, locked: &U) -> Result<(), Error> {
        let user = locked.id();
        if store::second_factors::exist::<U>(tx, &user).await? {
            return Ok(());
        }
        if locked.requires_second_factor() {
            return Err(Error::SecondFactorRequired);
        }
        store::backup_codes::delete::<U>(tx, &user).await?;
        store::sessions::forget_second_factor::<U>(tx, &user).await?;
        Ok(())
    }

    pub(crate) async fn insert_backup_codes(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
    ) -> Result<BackupCodes, Error> {
        let codes = BackupCodes::generate()?;
        store::backup_codes::delete::<U>(&mut *conn, user).await?;
        for code in codes.hashes() {
            store::backup_codes::insert::<U>(&mut *conn, user, code).await?;
        }
        Ok(codes)
    }
}
