//! The logged-in user.

use axum::Json;
use serde::Serialize;
use sigra::Scope;

use crate::accounts::{User, UserId};

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
