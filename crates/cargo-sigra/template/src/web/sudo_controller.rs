//! Confirming that it is still the user, before something sensitive.

use askama::Template;
use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use sigra::{Flash, Password, Scope, Session, Verification, session::ReturnTo, telemetry};

use super::{
    Result,
    layout::{Layout, Page},
    user_auth,
};
use crate::accounts::{Accounts, User};

#[derive(Deserialize)]
pub struct Confirm {
    #[serde(rename = "user[password]")]
    password: Password,
}

#[derive(Template)]
#[template(path = "sudo.html")]
struct SudoPage {
    layout: Layout,
    email: String,
    has_password: bool,
}

pub async fn new(session: Session, scope: Scope<User>) -> Page<impl Template> {
    let user = scope.user();
    Page(SudoPage {
        layout: Layout::new("Confirm it is you", &session, Some(&scope)),
        email: user.email.clone(),
        has_password: user.hashed_password.is_some(),
    })
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Scope<User>,
    Form(form): Form<Confirm>,
) -> Result<Response> {
    let sigra = accounts.sigra();
    accounts.limit_sudo(scope.user()).await?;
    if sigra.verify_password(Some(scope.user()), &form.password).await? == Verification::Invalid {
        accounts.record_attempt(telemetry::LOGIN_FAILURE, scope.user(), &session.client()).await?;
        session.put_flash(Flash::Error, "Invalid password")?;
        return Ok(Redirect::to(user_auth::SUDO_PATH).into_response());
    }
    let return_to = session.take_return_to();
    sigra.reauthenticate_user(&session, &scope).await?;
    accounts.forget_sudo_attempts(scope.user()).await?;
    Ok(Redirect::to(return_to.as_ref().map_or("/", ReturnTo::as_str)).into_response())
}
