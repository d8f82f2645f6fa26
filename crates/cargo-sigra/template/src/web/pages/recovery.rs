//! Recovering an account with a link from an email. Opening it changes nothing, because mail scanners open links too.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use sigra::{CookieSession, Scope};

use super::{
    email_link::invalid_link,
    form::Form,
    new_password::{self, NewPasswordPage, Responses},
};
use crate::{
    accounts::{Accounts, User},
    web::{error::Result, forms::NewPassword, layout::Page},
};

/// Where to go with an invalid link.
const REQUEST_PATH: &str = "/users/reset-password";

pub async fn edit(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.get_email_by_recovery_token(&token).await? {
        Some(email) => Ok(Page(page(&session, scope.as_ref(), &token, email)).into_response()),
        None => invalid_link(&session, REQUEST_PATH),
    }
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    Form(form): Form<NewPassword>,
) -> Result<Response> {
    let changed = accounts.recover_account(&session, &token, &form.password, form.confirmation()).await;
    let form_again = async {
        let email = accounts.get_email_by_recovery_token(&token).await?;
        Ok(email.map(|email| page(&session, scope.as_ref(), &token, email)))
    };
    let done = t!("You got your account back. You can log in with your new password now.");
    new_password::respond(&session, changed, Responses { done, request_path: REQUEST_PATH }, form_again).await
}

fn page(session: &CookieSession, scope: Option<&Scope<User>>, token: &str, email: String) -> NewPasswordPage {
    let explanation = t!(
        "Set a new password to get your account back. This undoes what was done to the account since we sent you the link: it restores this email address, removes second factors that were added and all linked accounts, and logs out all devices. The old password stops working."
    );
    NewPasswordPage::new(session, scope, format!("/users/recover/{token}"), email, explanation)
}
