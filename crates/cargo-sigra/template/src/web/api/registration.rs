//! Registration.

use axum::{Json, extract::State, http::StatusCode};
use sigra::CookieSession;

use crate::{
    accounts::Accounts,
    web::{error::Result, forms::Registration},
};

/// Responds in the same way for a taken email address, unless `REVEAL_TAKEN_ADDRESSES` is set.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(body): Json<Registration>,
) -> Result<StatusCode> {
    accounts.register_visitor(&session, &body.email, &body.password).await?;
    Ok(StatusCode::ACCEPTED)
}
