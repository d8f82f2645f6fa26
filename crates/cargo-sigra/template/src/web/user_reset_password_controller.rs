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
    mail_link::{Ask, AskPage, LINK_ON_ITS_WAY, bad_link},
    new_password::{NewPassword, NewPasswordPage},
    user_auth, user_session_controller,
};
use crate::accounts::{Accounts, ChangePasswordError, User};

const ASK_PATH: &str = "/users/reset-password";

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
    session.put_flash(Flash::Info, LINK_ON_ITS_WAY)?;
    Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.get_user_by_reset_password_token(&token).await? {
        Some(user) => Ok(page(&session, scope.as_ref(), &token, &user, None).into_response()),
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
    match accounts.reset_user_password(&session, &token, &form.password, &form.password_confirmation).await {
        Ok(user) => {
            // Whoever is logged in here is so no longer, if it was their password.
            session.put_flash(Flash::Info, "Your password was changed. You can log in with it now.")?;
            session.put(user_session_controller::EMAIL, &user.email)?;
            Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
        }
        Err(ChangePasswordError::Link) => bad_link(&session, ASK_PATH),
        Err(ChangePasswordError::Sigra(error)) => Err(error.into()),
        Err(problem) => match accounts.get_user_by_reset_password_token(&token).await? {
            Some(user) => Ok(page(&session, scope.as_ref(), &token, &user, Some(&problem)).refused()),
            None => bad_link(&session, ASK_PATH),
        },
    }
}

fn page(
    session: &Session,
    scope: Option<&Scope<User>>,
    token: &str,
    user: &User,
    problem: Option<&ChangePasswordError>,
) -> Page<NewPasswordPage> {
    let action = format!("/users/reset-password/{token}");
    NewPasswordPage::new(session, scope, action, user.email.clone(), "").with_problem(problem)
}
