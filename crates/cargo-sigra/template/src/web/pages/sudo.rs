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
use sigra::{CookieSession, Flash, Password, Problem, Scope, session::ReturnTo};

// <mfa>
use super::second_factor::{Answer, Options, Prompt};
// </mfa>
use crate::{
    accounts::{Accounts, User},
    web::{
        Result,
        layout::{Layout, Page},
        user_auth,
    },
};

const TITLE: &str = "Confirm it's you";

#[derive(Deserialize)]
pub struct Confirm {
    #[serde(rename = "user[password]")]
    password: Option<Password>,
    // <mfa>
    #[serde(flatten)]
    answer: Answer,
    // </mfa>
}

impl Confirm {
    /// The message for a user whose answer is wrong.
    fn problem(&self) -> &'static str {
        // <mfa>
        if self.password.is_none() {
            return self.answer.problem();
        }
        // </mfa>
        "Wrong password. Try again."
    }
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
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    // <mfa>
    Query(options): Query<Options>,
    // </mfa>
) -> Result<Page<impl Template>> {
    let layout = Layout::new(TITLE, &session, Some(&scope));
    // <mfa>
    let backup_code = options.backup_code;
    // </mfa>
    // <!mfa>
    // let backup_code = false;
    // </!mfa>
    page(&accounts, layout, &scope, backup_code).await
}

async fn page(accounts: &Accounts, layout: Layout, scope: &Scope<User>, backup_code: bool) -> Result<Page<SudoPage>> {
    // <!mfa>
    // // There is but the password to ask for.
    // let _ = (accounts, backup_code);
    // </!mfa>
    let user = scope.user();
    // <mfa>
    let factors = accounts.list_second_factors(user).await?;
    let prompt = Prompt::new(&factors, backup_code);
    // </mfa>
    // <passkeys>
    let prompt = prompt.with_passkeys(accounts, &factors);
    // </passkeys>
    Ok(Page(SudoPage {
        layout,
        email: user.email.clone(),
        has_password: user.hashed_password.is_some(),
        // <mfa>
        prompt: factors.is_any().then_some(prompt),
        // </mfa>
    }))
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Form(form): Form<Confirm>,
) -> Result<Response> {
    match is_confirmed(&accounts, &session, &scope, &form).await {
        Ok(true) => {}
        Ok(false) => {
            session.put_flash(Flash::Error, form.problem())?;
            return Ok(Redirect::to(user_auth::SUDO_PATH).into_response());
        }
        Err(sigra::Error::TooManyAttempts { retry_after }) => {
            let problem = Problem::too_many_requests(retry_after);
            let layout = Layout::new(TITLE, &session, Some(&scope)).alert(&problem);
            let page = page(&accounts, layout, &scope, false).await?;
            return Ok(page.later(problem));
        }
        Err(error) => return Err(error.into()),
    }
    let return_to = session.take_return_to();
    Ok(Redirect::to(return_to.as_ref().map_or("/", ReturnTo::as_str)).into_response())
}

async fn is_confirmed(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    form: &Confirm,
) -> sigra::Result<bool> {
    // <mfa>
    if let Some(answer) = form.answer.second_factor() {
        return Ok(accounts.confirm_sudo(session, scope, answer).await?.is_valid());
    }
    // </mfa>
    let Some(password) = &form.password else { return Ok(false) };
    Ok(accounts.confirm_sudo_by_password(session, scope, password).await?.is_valid())
}
