//! Second factors: setting them up, presenting them and removing them. The library does the work; these functions email
//! the user about every change.

use sigra::{
    Checked, Client, CookieSession, LoginMethod, SessionRow, Sudo,
    mfa::{BackupCodes, Enrolled, Factor, MfaChallenge, MfaCode, MfaEnrollment, SecondFactor, TrustBrowser},
};
// <passkeys>
use sigra::mfa::RegisterPublicKeyCredential;
use uuid::Uuid;
// </passkeys>

use super::{Accounts, CompletedLogin, Transaction, User, user_notifier::FactorKind};

/// With this many backup codes left, or fewer, users are asked to generate new ones.
pub const FEW_BACKUP_CODES: u32 = 2;

/// The purpose of a limit: how often second factors change, and how often an unconfirmed address is told.
const FACTORS: &str = "second factors";

impl Accounts {
    /// Completes a login with a second factor, and cancels a scheduled deletion in the same transaction. `None` counts
    /// as an invalid answer.
    pub async fn complete_mfa_challenge(
        &self,
        session: &CookieSession,
        challenge: &MfaChallenge<User>,
        answer: Option<SecondFactor<'_>>,
        trust_browser: TrustBrowser,
    ) -> Result<Checked<CompletedLogin>, sigra::Error> {
        let Some(answer) = answer else { return Ok(Checked::Invalid) };
        let (user, mut deletion_canceled) = (challenge.user(), false);
        let also = async |tx: &mut Transaction, opened: &SessionRow, factor: Factor| {
            self.notify_backup_code_used(tx, user, factor).await?;
            deletion_canceled = self.complete_log_in(tx, session, user, opened).await?;
            Ok(())
        };
        let completed = self.sigra.mfa().complete_with(session, challenge, answer, trust_browser, also).await;
        if let Err(sigra::Error::TooManyAttempts { .. }) = &completed {
            self.deliver_wrong_codes_notice(user, session.client(), challenge.method());
        }
        let factor = completed?;
        if factor.is_valid() {
            self.announce_log_in(user, deletion_canceled);
        }
        Ok(factor.map(|factor| CompletedLogin {
            backup_codes_left: left(factor),
            ..CompletedLogin::new(user, deletion_canceled)
        }))
    }

    /// Sets up the authenticator app that this browser has begun to enroll, if the code is right.
    pub async fn enable_totp(
        &self,
        session: &CookieSession,
        enrollment: &MfaEnrollment<User>,
        code: &MfaCode,
    ) -> Result<Checked<Enrolled>, sigra::Error> {
        let user = enrollment.scope().user();
        let notify = async |tx: &mut Transaction, enrolled: &Enrolled| {
            let mail = self.notifier.second_factor_added(user, FactorKind::App, enrolled.recovery.as_ref());
            self.notifier.notify_in(tx, user, FACTORS, mail).await
        };
        self.limit_changes(FACTORS, user).await?;
        self.sigra.mfa().confirm_totp_with(session, enrollment, &user.email, code, notify).await
    }

    /// Removes the authenticator app. Returns whether there was one.
    pub async fn disable_totp(&self, session: &CookieSession, sudo: &Sudo<User>) -> Result<bool, sigra::Error> {
        let user = sudo.user();
        let mail = self.notifier.second_factor_removed(user, FactorKind::App);
        let notify = async |tx: &mut Transaction| self.notifier.notify_in(tx, user, FACTORS, mail).await;
        self.limit_changes(FACTORS, user).await?;
        self.sigra.mfa().disable_totp_with(session, sudo, notify).await
    }

    /// Replaces the backup codes. Returns `None` for a user without a second factor.
    pub async fn regenerate_backup_codes(
        &self,
        session: &CookieSession,
        sudo: &Sudo<User>,
    ) -> Result<Option<BackupCodes>, sigra::Error> {
        let user = sudo.user();
        let mail = self.notifier.backup_codes_regenerated(user);
        let notify = async |tx: &mut Transaction| self.notifier.notify_in(tx, user, FACTORS, mail).await;
        self.limit_changes(FACTORS, user).await?;
        self.sigra.mfa().regenerate_backup_codes_with(session, sudo, notify).await
    }

    // <passkeys>
    /// Adds a passkey that the browser created. `None` counts as an invalid answer.
    pub async fn add_passkey(
        &self,
        session: &CookieSession,
        enrollment: &MfaEnrollment<User>,
        name: &str,
        answer: Option<&RegisterPublicKeyCredential>,
    ) -> Result<Checked<Enrolled>, sigra::Error> {
        let Some(answer) = answer else { return Ok(Checked::Invalid) };
        let user = enrollment.scope().user();
        let notify = async |tx: &mut Transaction, enrolled: &Enrolled| {
            let mail = self.notifier.second_factor_added(user, FactorKind::Passkey, enrolled.recovery.as_ref());
            self.notifier.notify_in(tx, user, FACTORS, mail).await
        };
        self.limit_changes(FACTORS, user).await?;
        self.sigra.passkeys().finish_registration_with(session, enrollment, &user.email, name, answer, notify).await
    }

    /// Removes a passkey. Returns whether it was the user's.
    pub async fn remove_passkey(
        &self,
        session: &CookieSession,
        sudo: &Sudo<User>,
        id: Uuid,
    ) -> Result<bool, sigra::Error> {
        let user = sudo.user();
        let mail = self.notifier.second_factor_removed(user, FactorKind::Passkey);
        let notify = async |tx: &mut Transaction| self.notifier.notify_in(tx, user, FACTORS, mail).await;
        self.limit_changes(FACTORS, user).await?;
        self.sigra.passkeys().delete_with(session, sudo, id, notify).await
    }
    // </passkeys>

    pub(super) async fn notify_backup_code_used(
        &self,
        tx: &mut Transaction,
        user: &User,
        factor: Factor,
    ) -> Result<(), sigra::Error> {
        match left(factor) {
            Some(left) => {
                self.notifier.notify_in(tx, user, "backup code", self.notifier.backup_code_used(user, left)).await
            }
            None => Ok(()),
        }
    }

    /// Warns the user: the person who enters wrong codes has presented the first factor already.
    fn deliver_wrong_codes_notice(&self, user: &User, client: Client, method: Option<LoginMethod>) {
        let (accounts, user) = (self.clone(), user.clone());
        self.mailer().defer(async move {
            let mut tx = accounts.sigra.begin().await?;
            if accounts.notifier.may_mail_user(&mut tx, "wrong codes", &user).await? {
                accounts.mailer().send_in(&mut tx, accounts.notifier.wrong_codes(&user, &client, method)).await?;
            }
            tx.commit().await
        });
    }
}

/// Returns how many backup codes are left, if one was used.
fn left(factor: Factor) -> Option<u32> {
    match factor {
        Factor::BackupCode { left } => Some(left),
        _ => None,
    }
}
