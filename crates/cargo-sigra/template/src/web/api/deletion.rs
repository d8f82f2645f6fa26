//! Deleting the account.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{CookieSession, Sudo};
use time::OffsetDateTime;

use crate::{
    accounts::{Accounts, User},
    web::{error::Result, forms::EmailForm, user_auth::CLEAR_SITE_DATA},
};

/// When the account will be deleted. `null` if it was deleted.
#[derive(Serialize)]
pub struct Deletion {
    #[serde(with = "time::serde::rfc3339::option")]
    delete_after: Option<OffsetDateTime>,
}

/// Requires the email address of the account, as a confirmation.
pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    body: Option<Json<EmailForm>>,
) -> Result<Response> {
    let typed = body.map(|Json(body)| body.email).unwrap_or_default();
    let delete_after = accounts.delete_user(&scope, &typed, &session.client()).await?;
    accounts.sigra().log_out(&session).await?;
    Ok(([CLEAR_SITE_DATA], Json(Deletion { delete_after })).into_response())
}
