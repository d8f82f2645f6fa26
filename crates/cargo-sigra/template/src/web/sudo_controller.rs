//! Confirming that it is still the user, before something sensitive: by their second factor, or by their password if
//! they have none.

use askama::Template;
use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
// <mfa>
use axum::extract::Query;
// </mfa>
use serde::Deserialize;
use sigra::{Flash, Password, Scope, Session, session::ReturnTo};

// <mfa>
use super::second_factor::{Answer, Options, Prompt};
// </mfa>
use super::{
    Result,
    layout::{Layout, Page},
    user_auth,
};
use crate::accounts::{Accounts, User};

#[derive(Deserialize)]
pub struct Confirm {
    #[serde(rename = "user[password]")]
    password: Option<Password>,
    // <mfa>
    #[serde(flatten)]
    answer: Answer,
    // </mfa>
}

#[derive(Template)]
#[template(path = "sudo.html")]
struct SudoPage {
    layout: Layout,
    email: String,
    has_password: bool,
    // <mfa>
    prompt: Option<Prompt>,
    // </mfa>
}

pub async fn new(
    session: Session,
    scope: Scope<User>,
    // <mfa>
    State(accounts): State<Accounts>,
    Query(options): Query<Options>,
    // </mfa>
) -> Result<Page<impl Template>> {
    let user = scope.user();
    // <mfa>
    let factors = accounts.list_second_factors(user).await?;
    let prompt = Prompt::new(&factors, options.backup_code);
    // </mfa>
    // <passkeys>
    let prompt = prompt.with_passkeys(&accounts, &factors);
    // </passkeys>
    Ok(Page(SudoPage {
        layout: Layout::new("Confirm it is you", &session, Some(&scope)),
        email: user.email.clone(),
        has_password: user.hashed_password.is_some(),
        // <mfa>
        prompt: factors.is_any().then_some(prompt),
        // </mfa>
    }))
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Scope<User>,
    Form(form): Form<Confirm>,
) -> Result<Response> {
    if !is_confirmed(&accounts, &session, &scope, &form).await? {
        session.put_flash(Flash::Error, "That is not right. Try again.")?;
        return Ok(Redirect::to(user_auth::SUDO_PATH).into_response());
    }
    let return_to = session.take_return_to();
    Ok(Redirect::to(return_to.as_ref().map_or("/", ReturnTo::as_str)).into_response())
}

async fn is_confirmed(accounts: &Accounts, session: &Session, scope: &Scope<User>, form: &Confirm) -> Result<bool> {
    // <mfa>
    if let Some(answer) = form.answer.second_factor() {
        return Ok(accounts.confirm_sudo(session, scope, answer).await?.is_valid());
    }
    // </mfa>
    let Some(password) = &form.password else { return Ok(false) };
    Ok(accounts.confirm_sudo_by_password(session, scope, password).await?.is_valid())
}
