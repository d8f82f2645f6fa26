//! The second factor of a log-in: all that is open, besides logging out, to who has shown the first one alone.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sigra::{
    CookieSession,
    mfa::{Checked, Factor, MfaChallenge, MfaCode, SecondFactor},
};
// <passkeys>
use sigra::mfa::PublicKeyCredential;
// </passkeys>

use super::{account::Me, refusal::wrong_credentials, session::Notice};
use crate::{
    accounts::{Accounts, User},
    web::Result,
};

/// A code, or what the browser signed with a passkey.
#[derive(Deserialize)]
pub struct Answer {
    code: Option<MfaCode>,
    #[serde(default)]
    trust_browser: bool,
    // <passkeys>
    credential: Option<PublicKeyCredential>,
    // </passkeys>
}

impl Answer {
    pub fn second_factor(&self) -> Option<SecondFactor<'_>> {
        // <passkeys>
        if let Some(credential) = &self.credential {
            return Some(SecondFactor::Passkey(credential));
        }
        // </passkeys>
        self.code.as_ref().map(SecondFactor::Code)
    }
}

/// What the user can answer with.
#[derive(Serialize)]
pub struct Offer {
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
    /// After a backup code.
    backup_codes_left: Option<u32>,
}

pub async fn show(State(accounts): State<Accounts>, challenge: MfaChallenge<User>) -> Result<Json<Offer>> {
    let factors = accounts.list_second_factors(challenge.user()).await?;
    Ok(Json(Offer {
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
    Json(asked): Json<Answer>,
) -> Result<Response> {
    let Some(answer) = asked.second_factor() else { return Ok(wrong_credentials().into_response()) };
    let completed = accounts.complete_mfa_challenge(&session, &challenge, answer, asked.trust_browser).await?;
    let Checked::Valid(passed) = completed else { return Ok(wrong_credentials().into_response()) };
    let user = challenge.user();
    let notices = passed.deletion_cancelled.then_some(Notice::DeletionCancelled).into_iter().collect();
    let backup_codes_left = match passed.factor {
        Factor::BackupCode { left } => Some(left),
        _ => None,
    };
    Ok(Json(Completed { status: "complete", user: user.into(), notices, backup_codes_left }).into_response())
}
