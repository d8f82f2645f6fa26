//! The routes of the test host for second factors.

use axum::{
    Form, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use sigra::{
    Checked, CookieSession, RememberMe, Scope, Sudo,
    mfa::{BackupCodes, MfaChallenge, MfaCode, MfaEnrollment, SecondFactor, TrustBrowser},
};
use uuid::Uuid;
use webauthn_rs::prelude::{PublicKeyCredential, RegisterPublicKeyCredential};

use super::host::{App, User};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/mfa-challenge", get(challenge).post(answer))
        .route("/mfa", get(begin).post(confirm))
        .route("/mfa/disable", post(disable))
        .route("/mfa/codes", post(regenerate))
        .route("/sudo-code", post(sudo_by_code))
        .route("/passkeys/register", get(begin_registration).post(register))
        .route("/passkeys/log-in", get(begin_log_in).post(log_in))
        .route("/passkeys/challenge", get(begin_challenge).post(answer_challenge))
        .route("/passkeys/sudo", get(begin_sudo).post(sudo_by_passkey))
        .route("/passkeys/{id}/delete", post(delete))
}

async fn challenge(challenge: MfaChallenge<User>) -> String {
    challenge.user().email.clone()
}

#[derive(Deserialize)]
struct Answer {
    code: MfaCode,
    #[serde(default)]
    trust_browser: TrustBrowser,
}

async fn answer(
    State(app): State<App>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
    Form(form): Form<Answer>,
) -> sigra::Result<Response> {
    let code = SecondFactor::Code(&form.code);
    let factor = app.sigra.mfa().complete(&session, &challenge, code, form.trust_browser).await?;
    Ok(accepted(factor.map(|factor| format!("{factor:?}")).valid()))
}

async fn begin(
    State(app): State<App>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
) -> sigra::Result<String> {
    let user = enrollment.scope().user();
    Ok(app.sigra.mfa().begin_totp(&session, user, &user.email)?.manual_key().to_string())
}

async fn confirm(
    State(app): State<App>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
    Form(form): Form<Answer>,
) -> sigra::Result<Response> {
    let email = &enrollment.scope().user().email;
    let enrolled = app.sigra.mfa().confirm_totp(&session, &enrollment, email, &form.code).await?;
    Ok(accepted(enrolled.map(|enrolled| as_text(enrolled.backup_codes)).valid()))
}

async fn disable(State(app): State<App>, session: CookieSession, sudo: Sudo<User>) -> sigra::Result<Response> {
    let was_on = app.sigra.mfa().disable_totp(&session, &sudo).await?;
    Ok(accepted(was_on.then(String::new)))
}

async fn regenerate(State(app): State<App>, session: CookieSession, sudo: Sudo<User>) -> sigra::Result<Response> {
    let codes = app.sigra.mfa().regenerate_backup_codes(&session, &sudo).await?;
    Ok(accepted(codes.map(|codes| as_text(Some(codes)))))
}

async fn sudo_by_code(
    State(app): State<App>,
    session: CookieSession,
    scope: Scope<User>,
    Form(form): Form<Answer>,
) -> sigra::Result<Response> {
    let code = SecondFactor::Code(&form.code);
    let factor = app.sigra.mfa().reauthenticate(&session, &scope, code).await?;
    Ok(accepted(factor.map(|factor| format!("{factor:?}")).valid()))
}

async fn begin_registration(
    State(app): State<App>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
) -> sigra::Result<Response> {
    let email = &enrollment.scope().user().email;
    Ok(Json(app.sigra.passkeys().begin_registration(&session, &enrollment, email).await?).into_response())
}

async fn register(
    State(app): State<App>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
    Json(answer): Json<RegisterPublicKeyCredential>,
) -> sigra::Result<Response> {
    let email = &enrollment.scope().user().email;
    let enrolled = app.sigra.passkeys().finish_registration(&session, &enrollment, email, "Test key", &answer).await?;
    Ok(accepted(enrolled.map(|enrolled| as_text(enrolled.backup_codes)).valid()))
}

async fn begin_log_in(State(app): State<App>, session: CookieSession) -> sigra::Result<Response> {
    Ok(Json(app.sigra.passkeys().begin_log_in(&session).await?).into_response())
}

async fn log_in(
    State(app): State<App>,
    session: CookieSession,
    Json(answer): Json<PublicKeyCredential>,
) -> sigra::Result<Response> {
    let Checked::Valid(log_in) = app.sigra.passkeys().verify_log_in(&session, &answer).await? else {
        return Ok(accepted(None));
    };
    let outcome = app.sigra.passkeys().log_in(&session, &log_in, RememberMe::No).await?;
    Ok(accepted(Some(format!("{outcome:?}"))))
}

async fn begin_challenge(
    State(app): State<App>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
) -> sigra::Result<Response> {
    Ok(or_not_found(app.sigra.passkeys().begin_challenge(&session, &challenge).await?))
}

async fn answer_challenge(
    State(app): State<App>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
    Json(answer): Json<PublicKeyCredential>,
) -> sigra::Result<Response> {
    let answer = SecondFactor::Passkey(&answer);
    let factor = app.sigra.mfa().complete(&session, &challenge, answer, TrustBrowser::No).await?;
    Ok(accepted(factor.map(|factor| format!("{factor:?}")).valid()))
}

async fn begin_sudo(State(app): State<App>, session: CookieSession, scope: Scope<User>) -> sigra::Result<Response> {
    Ok(or_not_found(app.sigra.passkeys().begin_reauthentication(&session, &scope).await?))
}

async fn sudo_by_passkey(
    State(app): State<App>,
    session: CookieSession,
    scope: Scope<User>,
    Json(answer): Json<PublicKeyCredential>,
) -> sigra::Result<Response> {
    let answer = SecondFactor::Passkey(&answer);
    let factor = app.sigra.mfa().reauthenticate(&session, &scope, answer).await?;
    Ok(accepted(factor.map(|factor| format!("{factor:?}")).valid()))
}

async fn delete(
    State(app): State<App>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> sigra::Result<Response> {
    let was_theirs = app.sigra.passkeys().delete(&session, &sudo, id).await?;
    Ok(accepted(was_theirs.then(String::new)))
}

fn as_text(codes: Option<BackupCodes>) -> String {
    codes.iter().flat_map(BackupCodes::iter).map(|code| code.to_string()).collect::<Vec<_>>().join("\n")
}

/// 200 with the outcome, or 422 if there is none.
fn accepted(outcome: Option<String>) -> Response {
    outcome.map_or_else(|| StatusCode::UNPROCESSABLE_ENTITY.into_response(), IntoResponse::into_response)
}

fn or_not_found<T: Serialize>(challenge: Option<T>) -> Response {
    challenge.map_or_else(|| Redirect::to("/nothing").into_response(), |challenge| Json(challenge).into_response())
}
