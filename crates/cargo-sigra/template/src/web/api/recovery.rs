//! Taking an account back by the link of a mail.

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use sigra::CookieSession;

use super::{
    mail_link::link_of,
    settings::{NewPassword, new_password},
};
use crate::{accounts::Accounts, web::Result};

pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Response> {
    Ok(link_of(accounts.get_email_by_recovery_token(&token).await?))
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Path(token): Path<String>,
    Json(asked): Json<NewPassword>,
) -> Result<Response> {
    let NewPassword { password } = &asked;
    new_password(accounts.recover_account(&token, password, password, &session.client()).await)
}
