//! Registering.

use axum::{Json, extract::State, http::StatusCode};
use sigra::CookieSession;

use crate::{
    accounts::Accounts,
    web::{error::Result, forms::Registration},
};

/// A taken address gets the same answer, unless the application's owner has decided otherwise.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(asked): Json<Registration>,
) -> Result<StatusCode> {
    accounts.register_user_here(&session, &asked.email, &asked.password).await?;
    Ok(StatusCode::ACCEPTED)
}
