//! The user's second factors: setting them up and removing them.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use sigra::{
    AuthUser as _, Checked, CookieSession, Flash, Scope, Sudo,
    mfa::{BackupCodes, Enrolled, MfaEnrollment, TotpEnrollment},
    session::ReturnTo,
};
// <passkeys>
use uuid::Uuid;
// </passkeys>

use super::form::Form;
use crate::{
    accounts::{Accounts, FEW_BACKUP_CODES, User},
    dates::{Timestamp, timestamp},
    web::{
        error::Result,
        forms::{FormKey, TotpForm},
        layout::{Layout, Page},
        user_auth,
    },
};

#[derive(Template)]
#[template(path = "mfa_settings.html")]
struct SettingsPage {
    layout: Layout,
    email: String,
    is_confirmed: bool,
    is_required: bool,
    totp: Option<Used>,
    // <passkeys>
    passkeys: Vec<Passkey>,
    passkey_domain: Option<String>,
    can_add_passkey: bool,
    // </passkeys>
    backup_codes: u32,
    has_any: bool,
    /// Whether the user has only one second factor.
    is_last: bool,
    /// Whether the user can remove a second factor.
    can_remove: bool,
    /// The number of other devices where the user is logged in. After changing a factor, they may want to log those out
    /// (OWASP ASVS 7.4.3).
    other_devices: usize,
}

impl SettingsPage {
    fn codes_left(&self) -> String {
        t!("{count} code left.", "{count} codes left.", count = self.backup_codes)
    }

    fn logged_in_elsewhere(&self) -> String {
        let count = self.other_devices;
        t!("You are logged in on {count} other device.", "You are logged in on {count} other devices.", count)
    }

    fn has_few_backup_codes(&self) -> bool {
        self.backup_codes <= FEW_BACKUP_CODES
    }
}

/// When a second factor was added and last used.
struct Used {
    added: Timestamp,
    last_used: Timestamp,
}

// <passkeys>
struct Passkey {
    id: Uuid,
    name: String,
    used: Used,
}
// </passkeys>

#[derive(Template)]
#[template(path = "totp.html")]
struct TotpPage {
    layout: Layout,
    qr_code: String,
    manual_key: String,
    url: String,
    replaces: bool,
    problem: bool,
}

#[derive(Template)]
#[template(path = "backup_codes.html")]
struct BackupCodesPage {
    layout: Layout,
    codes: Vec<String>,
    continue_path: String,
}

pub async fn index(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
) -> Result<Page<impl Template>> {
    let user = enrollment.scope().user();
    let factors = accounts.sigra().mfa().list(&user.id).await?;
    let used = |added, last_used| Used { added: timestamp(added), last_used: timestamp(last_used) };
    let (sessions, this_one) = (accounts.sigra().sessions().list(&user.id).await?, enrollment.scope().session().id);
    Ok(Page(SettingsPage {
        layout: layout(t!("Two-factor authentication"), &session, &enrollment)
            .active_path(user_auth::MFA_ENROLLMENT_PATH),
        email: user.email.clone(),
        is_confirmed: user.confirmed_at.is_some(),
        is_required: enrollment.is_required(),
        totp: factors.totp.map(|totp| used(totp.inserted_at, totp.last_used_at)),
        has_any: factors.is_any(),
        is_last: factors.count() == 1,
        can_remove: factors.count() > 1 || !user.requires_second_factor(),
        other_devices: sessions.iter().filter(|session| session.id != this_one).count(),
        backup_codes: factors.backup_codes,
        // <passkeys>
        can_add_passkey: accounts.sigra().passkeys().can_add(&factors),
        passkeys: factors
            .passkeys
            .into_iter()
            .map(|key| Passkey { id: key.id, used: used(key.inserted_at, key.last_used_at), name: key.name })
            .collect(),
        passkey_domain: accounts.policy().passkey_domain.clone(),
        // </passkeys>
    }))
}

pub async fn new_totp(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
) -> Result<Response> {
    Ok(totp_page(&accounts, &session, &enrollment, false).await?.into_response())
}

pub async fn create_totp(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
    Form(form): Form<TotpForm>,
) -> Result<Response> {
    if let Some(page) = backup_codes_again(&accounts, &session, enrollment.scope(), &form.form_key) {
        return Ok(page);
    }
    match accounts.enable_totp(&session, &enrollment, &form.code).await? {
        Checked::Valid(enrolled) => finish_enrollment(
            &accounts,
            &session,
            &enrollment,
            &form.form_key,
            enrolled,
            t!("Your authenticator app is set up."),
        ),
        Checked::Invalid => Ok(totp_page(&accounts, &session, &enrollment, true).await?.unprocessable()),
    }
}

pub async fn delete_totp(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
) -> Result<Response> {
    match accounts.disable_totp(&session, &sudo).await {
        Err(sigra::Error::SecondFactorRequired) => put_last_factor_error(&session)?,
        removed => {
            removed?;
            session.put_flash(Flash::Info, t!("Authenticator app removed."))?;
        }
    }
    Ok(Redirect::to(user_auth::MFA_ENROLLMENT_PATH).into_response())
}

pub async fn create_backup_codes(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Form(form): Form<FormKey>,
) -> Result<Response> {
    if let Some(page) = backup_codes_again(&accounts, &session, sudo.scope(), &form) {
        return Ok(page);
    }
    let codes = match accounts.regenerate_backup_codes(&session, &sudo).await {
        Ok(Some(codes)) => codes,
        Ok(None) => return Ok(Redirect::to(user_auth::MFA_ENROLLMENT_PATH).into_response()),
        Err(sigra::Error::OtherFactorRequired) => return ask_for_another_factor(&session),
        Err(error) => return Err(error.into()),
    };
    keep_backup_codes(&accounts, &session, sudo.scope(), &form, &codes)?;
    let layout = Layout::new(t!("Backup codes"), &session, Some(sudo.scope()));
    Ok(backup_codes_page(layout, &codes, user_auth::MFA_ENROLLMENT_PATH).into_response())
}

/// Keeps the backup codes for a reload of their page.
fn keep_backup_codes(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    form: &FormKey,
    codes: &BackupCodes,
) -> Result<()> {
    Ok(accounts.sigra().mfa().keep_backup_codes(session, scope.user(), &form.idempotency_key, codes)?)
}

/// Shows the page of backup codes again after a reload: the browser resends the form, which must not generate new
/// codes.
pub(super) fn backup_codes_again(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    form: &FormKey,
) -> Option<Response> {
    let codes = accounts.sigra().mfa().kept_backup_codes(session, scope.user(), &form.idempotency_key)?;
    let layout = Layout::new(t!("Backup codes"), session, Some(scope));
    Some(backup_codes_page(layout, &codes, user_auth::MFA_ENROLLMENT_PATH).into_response())
}

/// One backup code must not be enough to get ten new ones.
fn ask_for_another_factor(session: &CookieSession) -> Result<Response> {
    let why = t!(
        "You can't get new backup codes with a backup code. Enter a code from your app or use a passkey, then try again. If you have lost both, set up a new app or passkey first."
    );
    session.put_flash(Flash::Error, why)?;
    if let Some(path) = ReturnTo::parse(user_auth::MFA_ENROLLMENT_PATH) {
        session.put_return_to(&path);
    }
    Ok(Redirect::to(user_auth::SUDO_PATH).into_response())
}

/// Tells the user why the last second factor can't be removed.
pub(super) fn put_last_factor_error(session: &CookieSession) -> Result<()> {
    Ok(session.put_flash(Flash::Error, t!("Your account requires a second factor. Set up another one first."))?)
}

/// Shows the backup codes that come with the first factor, or returns to the settings.
pub(super) fn finish_enrollment(
    accounts: &Accounts,
    session: &CookieSession,
    enrollment: &MfaEnrollment<User>,
    form: &FormKey,
    enrolled: Enrolled,
    message: &str,
) -> Result<Response> {
    session.put_flash(Flash::Info, message)?;
    let Some(codes) = enrolled.backup_codes else {
        return Ok(Redirect::to(user_auth::MFA_ENROLLMENT_PATH).into_response());
    };
    keep_backup_codes(accounts, session, enrollment.scope(), form, &codes)?;
    // A user who was sent here to set one up continues to the page that they wanted.
    let return_to = session.take_return_to();
    let continue_path = return_to.as_ref().map_or(user_auth::MFA_ENROLLMENT_PATH, ReturnTo::as_str);
    let layout = Layout::new(t!("Backup codes"), session, Some(enrollment.scope()));
    Ok(backup_codes_page(layout, &codes, continue_path).into_response())
}

fn backup_codes_page(layout: Layout, codes: &BackupCodes, continue_path: &str) -> Page<impl Template> {
    let codes = codes.iter().map(|code| code.to_string()).collect();
    Page(BackupCodesPage { layout, codes, continue_path: continue_path.to_owned() })
}

async fn totp_page(
    accounts: &Accounts,
    session: &CookieSession,
    enrollment: &MfaEnrollment<User>,
    problem: bool,
) -> Result<Page<impl Template + use<>>> {
    let user = enrollment.scope().user();
    let totp: TotpEnrollment = accounts.sigra().mfa().begin_totp(session, user, &user.email)?;
    Ok(Page(TotpPage {
        layout: layout(t!("Authenticator app"), session, enrollment).with_problems(problem),
        qr_code: totp.qr_code(),
        manual_key: totp.manual_key().to_string(),
        url: totp.url().to_owned(),
        replaces: accounts.sigra().mfa().list(&user.id).await?.totp.is_some(),
        problem,
    }))
}

/// Leaves out the navigation for users who must set up a second factor first.
fn layout(title: &'static str, session: &CookieSession, enrollment: &MfaEnrollment<User>) -> Layout {
    match enrollment.is_required() {
        true => Layout::without_nav(title, session),
        false => Layout::new(title, session, Some(enrollment.scope())),
    }
}
