//! The health check.

use axum::extract::State;
use sigra::Sigra;

use super::error::Result;
use crate::accounts::User;

/// For load balancers: 503 while the database can't be reached or written to.
pub async fn show(State(sigra): State<Sigra<User>>) -> Result<&'static str> {
    sigra.check_health().await?;
    Ok("ok")
}
