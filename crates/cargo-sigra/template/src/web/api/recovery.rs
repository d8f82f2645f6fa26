//! Taking an account back by the link of a mail.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sigra::Session;

use super::{
    mail_link::link_of,
    refusal::{address_taken, bad_link},
    settings::{NewPassword, refused_password},
};
use crate::{
    accounts::{Accounts, ChangePasswordError},
    web::Result,
};

pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Response> {
    Ok(link_of(accounts.get_email_by_recovery_token(&token).await?))
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: Session,
    Path(token): Path<String>,
    Json(asked): Json<NewPassword>,
) -> Result<Response> {
    let NewPassword { password } = &asked;
    match accounts.recover_account(&token, password, password, &session.client()).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(ChangePasswordError::Link) => Ok(bad_link().into_response()),
        Err(ChangePasswordError::AddressTaken) => Ok(address_taken().into_response()),
        Err(ChangePasswordError::Sigra(error)) => Err(error.into()),
        Err(problem) => Ok(refused_password(&problem).into_response()),
    }
}
