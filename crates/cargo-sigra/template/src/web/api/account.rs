//! Who is logged in, and whether the application is well.

use axum::{Json, extract::State};
use serde::Serialize;
use sigra::{Scope, Sigra};

use crate::{
    accounts::{User, UserId},
    web::Result,
};

#[derive(Serialize)]
pub struct Me {
    id: UserId,
    email: String,
    confirmed: bool,
}

impl From<&User> for Me {
    fn from(user: &User) -> Self {
        Self { id: user.id, email: user.email.clone(), confirmed: user.confirmed_at.is_some() }
    }
}

pub async fn me(scope: Scope<User>) -> Json<Me> {
    Json(scope.user().into())
}

/// For load balancers: 503 while the database can't be reached, or takes nothing that is written.
pub async fn health(State(sigra): State<Sigra<User>>) -> Result<&'static str> {
    sigra.check_health().await?;
    Ok("ok")
}
