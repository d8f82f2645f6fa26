//! The logged-in user.

use axum::{Json, http::StatusCode};
use serde::Serialize;
use sigra::{Problem, Scope};

use crate::accounts::User;

#[derive(Serialize)]
pub struct Me {
    email: String,
}

/// Returns the logged-in user, for programs.
pub async fn me(scope: Option<Scope<User>>) -> Result<Json<Me>, Problem> {
    let scope = scope.ok_or(Problem::new(StatusCode::UNAUTHORIZED).code("authentication_required"))?;
    Ok(Json(Me { email: scope.user().email.clone() }))
}
