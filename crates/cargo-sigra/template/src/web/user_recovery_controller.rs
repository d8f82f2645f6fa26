//! Taking an account back by the link of a mail. Opening it changes nothing, for mail scanners open it too.

use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{Flash, Scope, Session};

use super::{
    Result,
    layout::Page,
    mail_link::bad_link,
    new_password::{NewPassword, NewPasswordPage},
    user_auth, user_session_controller,
};
use crate::accounts::{Accounts, ChangePasswordError, User};

/// What helps who has no good link any more.
const ASK_PATH: &str = "/users/reset-password";

const EXPLANATION: &str = "Set a new password to take your account back. It undoes what was done to the account since we \
    sent you the link: it has this address again, second factors that were added are removed, all devices are logged out, \
    and the old password stops working.";

pub async fn edit(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.get_email_by_recovery_token(&token).await? {
        Some(email) => Ok(page(&session, scope.as_ref(), &token, email, None).into_response()),
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
    match accounts.recover_account(&token, &form.password, &form.password_confirmation, &client).await {
        Ok(user) => {
            session
                .put_flash(Flash::Info, "Your account is yours again. You can log in with your new password now.")?;
            session.put(user_session_controller::EMAIL, &user.email)?;
            Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
        }
        Err(ChangePasswordError::Link) => bad_link(&session, ASK_PATH),
        Err(ChangePasswordError::Sigra(error)) => Err(error.into()),
        Err(problem) => match accounts.get_email_by_recovery_token(&token).await? {
            Some(email) => Ok(page(&session, scope.as_ref(), &token, email, Some(&problem)).refused()),
            None => bad_link(&session, ASK_PATH),
        },
    }
}

fn page(
    session: &Session,
    scope: Option<&Scope<User>>,
    token: &str,
    email: String,
    problem: Option<&ChangePasswordError>,
) -> Page<NewPasswordPage> {
    let action = format!("/users/recover/{token}");
    NewPasswordPage::new(session, scope, action, email, EXPLANATION).with_problem(problem)
}
