//! The second factor of a login. While it is pending, users can only present it or log out.

use axum::{Json, extract::State};
use serde::Serialize;
use sigra::{Checked, CookieSession, mfa::MfaChallenge};

use super::{
    account::Me,
    problems::WRONG_CREDENTIALS,
    session::{Notice, notices},
};
use crate::{
    accounts::{Accounts, CompletedLogin, User},
    web::{error::Result, forms::SecondFactorForm},
};

/// The second factors that the user can present.
#[derive(Serialize)]
pub struct AvailableFactors {
    totp: bool,
    backup_codes: bool,
    // <passkeys>
    passkeys: bool,
    // </passkeys>
}

#[derive(Serialize)]
pub struct Completed {
    status: &'static str,
    user: Me,
    notices: Vec<Notice>,
    /// Present after a backup code.
    backup_codes_left: Option<u32>,
}

pub async fn show(State(accounts): State<Accounts>, challenge: MfaChallenge<User>) -> Result<Json<AvailableFactors>> {
    let factors = accounts.sigra().mfa().list(&challenge.user().id).await?;
    Ok(Json(AvailableFactors {
        totp: factors.totp.is_some(),
        backup_codes: factors.backup_codes > 0,
        // <passkeys>
        passkeys: !factors.passkeys.is_empty(),
        // </passkeys>
    }))
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
    Json(body): Json<SecondFactorForm>,
) -> Result<Json<Completed>> {
    let (answer, trust_browser) = (body.second_factor(), body.trust_browser);
    match accounts.complete_mfa_challenge(&session, &challenge, answer, trust_browser).await? {
        Checked::Valid(login) => {
            let CompletedLogin { user, backup_codes_left, .. } = &login;
            Ok(Json(Completed {
                status: "complete",
                user: user.into(),
                notices: notices(&login),
                backup_codes_left: *backup_codes_left,
            }))
        }
        Checked::Invalid => Err(WRONG_CREDENTIALS.into()),
    }
}
