//! Passkeys as browsers know them: the options that `navigator.credentials` is called with, and the answers in forms.

use axum::{Json, extract::State};
use sigra::{
    CookieSession, Scope,
    mfa::{CreationChallengeResponse, MfaChallenge, MfaEnrolment, RequestChallengeResponse},
};

use super::Result;
use crate::accounts::{Accounts, User};

// <pages>
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};
// </pages>

/// To add one.
pub async fn enrolment_options(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrolment: MfaEnrolment<User>,
) -> Result<Json<CreationChallengeResponse>> {
    let user = enrolment.scope().user();
    accounts.limit_changes("passkey options", user).await?;
    Ok(Json(accounts.sigra().passkeys().begin_registration(&session, &enrolment, &user.email).await?))
}

/// To log in with, whoever it is.
pub async fn log_in_options(
    State(accounts): State<Accounts>,
    session: CookieSession,
) -> Result<Json<RequestChallengeResponse>> {
    Ok(Json(accounts.sigra().passkeys().begin_log_in(&session).await?))
}

/// To show as a second factor. `null` for who has none.
pub async fn challenge_options(
    State(accounts): State<Accounts>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
) -> Result<Json<Option<RequestChallengeResponse>>> {
    accounts.limit_changes("passkey options", challenge.user()).await?;
    Ok(Json(accounts.sigra().passkeys().begin_challenge(&session, &challenge).await?))
}

/// To confirm that it is still the user. `null` for who has none.
pub async fn sudo_options(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
) -> Result<Json<Option<RequestChallengeResponse>>> {
    accounts.limit_changes("passkey options", scope.user()).await?;
    Ok(Json(accounts.sigra().passkeys().begin_reauthentication(&session, &scope).await?))
}

// <pages>
/// What a form holds that a script has filled in. Nothing, if there was no script.
pub fn from_json<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(json) => serde_json::from_str(json).map(Some).map_err(D::Error::custom),
    }
}
// </pages>
