//! Sudo mode: before a sensitive action, users present their second factor, or enter their password if they have none.

use axum::{Json, extract::State, http::StatusCode};
use sigra::{Checked, CookieSession, Scope};

use super::problems::WRONG_CREDENTIALS;
use crate::{
    accounts::{Accounts, User},
    web::{error::Result, forms::Reauthentication},
};

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Json(body): Json<Reauthentication>,
) -> Result<StatusCode> {
    match accounts.confirm_sudo(&session, &scope, body.proof()).await? {
        Checked::Valid(()) => Ok(StatusCode::NO_CONTENT),
        Checked::Invalid => Err(WRONG_CREDENTIALS.into()),
    }
}
