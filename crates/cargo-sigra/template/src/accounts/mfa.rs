//! The second factor: setting it up, showing it, and giving it up. The library looks after it; every change is told to
//! the user by mail.

use sigra::{
    Client, Scope, Session, Sudo,
    mfa::{
        BackupCodes, Checked, Enrolled, Factor, MfaChallenge, MfaCode, MfaEnrolment, SecondFactor, SecondFactors,
        TrustedBrowser,
    },
};
// <passkeys>
use sigra::mfa::{PasskeyLogIn, PublicKeyCredential, RegisterPublicKeyCredential};
// </passkeys>
use uuid::Uuid;

use super::{Accounts, User};
use crate::database::Connection;

/// With so few backup codes left it is time for new ones.
pub const FEW_BACKUP_CODES: u32 = 2;

/// A log-in that a second factor has completed.
#[derive(Clone, Copy, Debug)]
pub struct ChallengePassed {
    pub factor: Factor,
    /// Whether the account was to be deleted, and is kept.
    pub deletion_cancelled: bool,
}

impl Accounts {
    pub async fn list_second_factors(&self, user: &User) -> Result<SecondFactors, sigra::Error> {
        self.sigra.list_second_factors(&user.id).await
    }

    /// Completes a log-in by a second factor. An account that was to be deleted is kept, in the same transaction.
    pub async fn complete_mfa_challenge(
        &self,
        session: &Session,
        challenge: &MfaChallenge<User>,
        answer: SecondFactor<'_>,
        trust_browser: bool,
    ) -> Result<Checked<ChallengePassed>, sigra::Error> {
        let (user, client) = (challenge.user(), session.client());
        let mut deletion_cancelled = false;
        let keep = async |conn: &mut Connection| {
            deletion_cancelled = self.cancel_deletion_in(conn, user, &client).await?;
            Ok(())
        };
        let completed = self.sigra.complete_mfa_challenge_with(session, challenge, answer, trust_browser, keep).await;
        if let Err(sigra::Error::TooManyAttempts { .. }) = &completed {
            self.deliver_wrong_codes_notice(user, session.client());
        }
        let factor = completed?;
        self.deliver_backup_code_notice(user, factor);
        let Checked::Valid(factor) = factor else { return Ok(Checked::Invalid) };
        self.after_log_in(session, user, deletion_cancelled).await?;
        Ok(Checked::Valid(ChallengePassed { factor, deletion_cancelled }))
    }

    /// Notes that it is still the user, by a second factor.
    pub async fn confirm_sudo(
        &self,
        session: &Session,
        scope: &Scope<User>,
        answer: SecondFactor<'_>,
    ) -> Result<Checked<Factor>, sigra::Error> {
        let factor = self.sigra.reauthenticate_user_with_second_factor(session, scope, answer).await?;
        self.deliver_backup_code_notice(scope.user(), factor);
        Ok(factor)
    }

    /// Sets up the authenticator app that was begun in this browser, if this is its code.
    pub async fn enable_totp(
        &self,
        session: &Session,
        enrolment: &MfaEnrolment<User>,
        code: &MfaCode,
    ) -> Result<Checked<Enrolled>, sigra::Error> {
        let enrolled =
            self.sigra.confirm_totp_enrolment(session, enrolment, &enrolment.scope().user().email, code).await?;
        if let Checked::Valid(enrolled) = &enrolled {
            let recovery = enrolled.recovery.as_ref();
            let user = enrolment.scope().user();
            self.mailer().send(self.notifier.second_factor_added(user, "An authenticator app", recovery));
        }
        Ok(enrolled)
    }

    /// Gives the authenticator app up. Tells whether there was one.
    pub async fn disable_totp(&self, session: &Session, sudo: &Sudo<User>) -> Result<bool, sigra::Error> {
        let was_there = self.sigra.disable_totp(session, sudo).await?;
        if was_there {
            self.mailer().send(self.notifier.second_factor_removed(sudo.0.user(), "The authenticator app"));
        }
        Ok(was_there)
    }

    /// New backup codes in place of the old ones, for who has a second factor.
    pub async fn regenerate_backup_codes(
        &self,
        session: &Session,
        sudo: &Sudo<User>,
    ) -> Result<Option<BackupCodes>, sigra::Error> {
        let codes = self.sigra.regenerate_backup_codes(session, sudo).await?;
        if codes.is_some() {
            self.mailer().send(self.notifier.backup_codes_regenerated(sudo.0.user()));
        }
        Ok(codes)
    }

    // <passkeys>
    /// Adds the passkey that a browser has made.
    pub async fn add_passkey(
        &self,
        session: &Session,
        enrolment: &MfaEnrolment<User>,
        name: &str,
        answer: &RegisterPublicKeyCredential,
    ) -> Result<Checked<Enrolled>, sigra::Error> {
        let enrolled = self
            .sigra
            .finish_passkey_registration(session, enrolment, &enrolment.scope().user().email, name, answer)
            .await?;
        if let Checked::Valid(enrolled) = &enrolled {
            let recovery = enrolled.recovery.as_ref();
            let user = enrolment.scope().user();
            self.mailer().send(self.notifier.second_factor_added(user, "A passkey", recovery));
        }
        Ok(enrolled)
    }

    pub async fn rename_passkey(&self, user: &User, id: Uuid, name: &str) -> Result<bool, sigra::Error> {
        self.sigra.rename_passkey(&user.id, id, name).await
    }

    /// Removes a passkey. Tells whether it was the user's.
    pub async fn remove_passkey(&self, session: &Session, sudo: &Sudo<User>, id: Uuid) -> Result<bool, sigra::Error> {
        let was_theirs = self.sigra.delete_passkey(session, sudo, id).await?;
        if was_theirs {
            self.mailer().send(self.notifier.second_factor_removed(sudo.0.user(), "A passkey"));
        }
        Ok(was_theirs)
    }

    /// Who answered with a passkey.
    pub async fn get_user_by_passkey(
        &self,
        session: &Session,
        answer: &PublicKeyCredential,
    ) -> Result<Checked<PasskeyLogIn<User>>, sigra::Error> {
        self.sigra.verify_passkey_log_in(session, answer).await
    }
    // </passkeys>

    /// The browsers that need no second factor.
    pub async fn list_trusted_browsers(&self, user: &User) -> Result<Vec<TrustedBrowser>, sigra::Error> {
        self.sigra.list_trusted_browsers(&user.id).await
    }

    /// Trusts a browser no longer. Tells whether it was the user's.
    pub async fn delete_trusted_browser(&self, user: &User, id: Uuid, client: &Client) -> Result<bool, sigra::Error> {
        self.sigra.delete_trusted_browser(&user.id, id, client).await
    }

    fn deliver_backup_code_notice(&self, user: &User, factor: Checked<Factor>) {
        if let Checked::Valid(Factor::BackupCode { left }) = factor {
            self.mailer().send(self.notifier.backup_code_used(user, left));
        }
    }

    /// Whoever enters wrong codes knows the password already.
    fn deliver_wrong_codes_notice(&self, user: &User, client: Client) {
        let (accounts, user) = (self.clone(), user.clone());
        self.mailer().deliver(async move {
            let is_news = accounts.may_mail("wrong codes", &user.email).await?;
            Ok::<_, sigra::Error>(is_news.then(|| accounts.notifier.wrong_codes(&user, &client)))
        });
    }
}
