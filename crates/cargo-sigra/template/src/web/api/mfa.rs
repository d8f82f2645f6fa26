//! The user's second factors: setting them up and removing them.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use sigra::{
    Checked, CookieSession, Problem, Sudo,
    mfa::{BackupCodes, Enrolled, MfaEnrollment},
};
use time::OffsetDateTime;
// <passkeys>
use uuid::Uuid;
// </passkeys>

use super::problems::{WRONG_CREDENTIALS, no_content_or_404};
use crate::{
    accounts::{Accounts, User},
    web::{error::Result, forms::TotpForm},
};

/// Backup codes require another second factor.
const NO_SECOND_FACTOR: Problem = Problem::new(StatusCode::CONFLICT).code("no_second_factor");

/// The user's second factors.
#[derive(Serialize)]
pub struct Factors {
    totp: Option<Used>,
    // <passkeys>
    passkeys: Vec<Passkey>,
    // </passkeys>
    backup_codes: u32,
    /// Whether the user must set one up before they can do anything else.
    required: bool,
}

/// When a second factor was added and last used.
#[derive(Serialize)]
struct Used {
    #[serde(with = "time::serde::rfc3339")]
    inserted_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_used_at: OffsetDateTime,
}

// <passkeys>
#[derive(Serialize)]
struct Passkey {
    id: Uuid,
    name: String,
    #[serde(flatten)]
    used: Used,
}
// </passkeys>

/// What an authenticator app needs.
#[derive(Serialize)]
pub struct TotpOptions {
    /// An SVG image.
    qr_code: String,
    manual_key: String,
    url: String,
}

/// Backup codes to show once. `null` for a user who has some already.
#[derive(Serialize)]
pub struct Codes {
    backup_codes: Option<Vec<String>>,
}

impl From<Option<&BackupCodes>> for Codes {
    fn from(codes: Option<&BackupCodes>) -> Self {
        Self { backup_codes: codes.map(|codes| codes.iter().map(|code| code.to_string()).collect()) }
    }
}

/// Responds after a second factor was set up.
pub fn enrolled(enrolled: Checked<Enrolled>) -> Result<Json<Codes>> {
    match enrolled {
        Checked::Valid(enrolled) => Ok(Json(enrolled.backup_codes.as_ref().into())),
        Checked::Invalid => Err(WRONG_CREDENTIALS.into()),
    }
}

pub async fn index(State(accounts): State<Accounts>, enrollment: MfaEnrollment<User>) -> Result<Json<Factors>> {
    let factors = accounts.sigra().mfa().list(&enrollment.scope().user().id).await?;
    let used = |inserted_at, last_used_at| Used { inserted_at, last_used_at };
    Ok(Json(Factors {
        totp: factors.totp.map(|totp| used(totp.inserted_at, totp.last_used_at)),
        // <passkeys>
        passkeys: factors
            .passkeys
            .into_iter()
            .map(|key| Passkey { id: key.id, used: used(key.inserted_at, key.last_used_at), name: key.name })
            .collect(),
        // </passkeys>
        backup_codes: factors.backup_codes,
        required: enrollment.is_required(),
    }))
}

pub async fn totp_options(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
) -> Result<Json<TotpOptions>> {
    let user = enrollment.scope().user();
    let totp = accounts.sigra().mfa().begin_totp(&session, user, &user.email)?;
    let manual_key = totp.manual_key().to_string();
    Ok(Json(TotpOptions { qr_code: totp.qr_code(), manual_key, url: totp.url().to_owned() }))
}

pub async fn create_totp(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
    Json(body): Json<TotpForm>,
) -> Result<Json<Codes>> {
    enrolled(accounts.enable_totp(&session, &enrollment, &body.code).await?)
}

pub async fn delete_totp(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
) -> Result<StatusCode> {
    Ok(no_content_or_404(accounts.disable_totp(&session, &sudo).await?))
}

pub async fn create_backup_codes(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
) -> Result<Json<Codes>> {
    let codes = accounts.regenerate_backup_codes(&session, &sudo).await?.ok_or(NO_SECOND_FACTOR)?;
    Ok(Json(Some(&codes).into()))
}
