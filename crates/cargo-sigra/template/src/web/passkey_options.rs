//! The options that scripts pass to `navigator.credentials`, to create or use a passkey.

use axum::{Json, extract::State};
use sigra::{
    CookieSession, Scope,
    mfa::{CreationChallengeResponse, MfaChallenge, MfaEnrollment, RequestChallengeResponse},
};

use super::error::Result;
use crate::accounts::{Accounts, User};

/// Options to add a passkey.
pub async fn enrollment(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
) -> Result<Json<CreationChallengeResponse>> {
    let user = enrollment.scope().user();
    accounts.limit_changes("passkey options", user).await?;
    Ok(Json(accounts.sigra().passkeys().begin_registration(&session, &enrollment, &user.email).await?))
}

/// Options to log in with a passkey, for any user.
pub async fn log_in(
    State(accounts): State<Accounts>,
    session: CookieSession,
) -> Result<Json<RequestChallengeResponse>> {
    Ok(Json(accounts.sigra().passkeys().begin_log_in(&session).await?))
}

/// Options to present a passkey as the second factor. `null` for a user without one. Only the IP address is limited:
/// someone else who has the password must not keep the owner from their passkey.
pub async fn challenge(
    State(accounts): State<Accounts>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
) -> Result<Json<Option<RequestChallengeResponse>>> {
    Ok(Json(accounts.sigra().passkeys().begin_challenge(&session, &challenge).await?))
}

/// Options to enter sudo mode with a passkey. `null` for a user without one.
pub async fn sudo(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
) -> Result<Json<Option<RequestChallengeResponse>>> {
    accounts.limit_changes("passkey options", scope.user()).await?;
    Ok(Json(accounts.sigra().passkeys().begin_reauthentication(&session, &scope).await?))
}
