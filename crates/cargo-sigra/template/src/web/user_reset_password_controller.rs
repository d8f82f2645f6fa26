//! Setting a new password by a link.

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{Flash, Scope, Session};

use super::{
    Result,
    layout::{Layout, Page},
    mail_link::{Ask, AskPage, bad_link},
    user_auth,
    user_settings_controller::NewPassword,
};
use crate::accounts::{Accounts, ChangePasswordError, User};

const ASK_PATH: &str = "/users/reset-password";

#[derive(Template)]
#[template(path = "reset_password.html")]
struct ResetPage {
    layout: Layout,
    token: String,
    email: String,
    password_problem: Option<String>,
    confirmation_problem: Option<String>,
}

pub async fn new(session: Session, scope: Option<Scope<User>>) -> Page<impl Template> {
    Page(AskPage {
        layout: Layout::new("Forgot your password?", &session, scope.as_ref()),
        action: ASK_PATH,
        explanation: "We will send you a link to set a new one.",
    })
}

/// The same answer for every address.
pub async fn create(State(accounts): State<Accounts>, session: Session, Form(form): Form<Ask>) -> Result<Response> {
    accounts.deliver_user_reset_password_instructions(&form.email, session.client()).await?;
    session.put_flash(
        Flash::Info,
        "If your address is in our system, you will get a mail with instructions in a moment.",
    )?;
    Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.get_user_by_reset_password_token(&token).await? {
        Some(user) => Ok(page(&session, scope.as_ref(), token, &user, None).into_response()),
        None => bad_link(&session, ASK_PATH),
    }
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    Form(form): Form<NewPassword>,
) -> Result<Response> {
    let client = session.client();
    match accounts.reset_user_password(&token, &form.password, &form.password_confirmation, &client).await {
        Ok(_) => {
            // Whoever is logged in here is so no longer, if it was their password.
            session.put_flash(Flash::Info, "Your password was changed. You can log in with it now.")?;
            Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
        }
        Err(ChangePasswordError::Link) => bad_link(&session, ASK_PATH),
        Err(ChangePasswordError::Sigra(error)) => Err(error.into()),
        Err(problem) => match accounts.get_user_by_reset_password_token(&token).await? {
            Some(user) => Ok(page(&session, scope.as_ref(), token, &user, Some(&problem)).refused()),
            None => bad_link(&session, ASK_PATH),
        },
    }
}

fn page(
    session: &Session,
    scope: Option<&Scope<User>>,
    token: String,
    user: &User,
    problem: Option<&ChangePasswordError>,
) -> Page<ResetPage> {
    let is_confirmation = matches!(problem, Some(ChangePasswordError::Confirmation));
    let problem = problem.map(ToString::to_string);
    Page(ResetPage {
        layout: Layout::new("Set a new password", session, scope),
        token,
        email: user.email.clone(),
        password_problem: problem.clone().filter(|_| !is_confirmation),
        confirmation_problem: problem.filter(|_| is_confirmation),
    })
}
