//! Your API for programs. They present a token of a user, in the header `Authorization`, and no cookie.
//!
//! A handler says in its arguments what the token must allow: `Bearer<User>` anything, `Bearer<User, ReadProjects>`
//! that permission. `Caller<User, ReadProjects>` serves your own pages, too.

use axum::Json;
use serde::Serialize;
use sigra::Bearer;

use crate::accounts::User;

#[derive(Serialize)]
pub struct Me {
    email: String,
    permissions: Vec<String>,
}

/// Returns whose token it is, and what it allows.
pub async fn me(bearer: Bearer<User>) -> Json<Me> {
    let permissions = bearer.permissions().iter().map(str::to_owned).collect();
    Json(Me { email: bearer.user().email.clone(), permissions })
}
