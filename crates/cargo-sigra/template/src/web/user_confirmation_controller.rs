//! Confirming an email address. Opening the link changes nothing, for mail scanners open it too: its page has a
//! button.

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
    mail_link::{Ask, AskPage, LinkPage, bad_link},
    user_auth,
};
use crate::accounts::{Accounts, User};

const ASK_PATH: &str = "/users/confirm";

pub async fn new(session: Session, scope: Option<Scope<User>>) -> Page<impl Template> {
    Page(AskPage {
        layout: Layout::new("Confirm your address", &session, scope.as_ref()),
        action: ASK_PATH,
        explanation: "We will send you a new link, if your address is still to be confirmed.",
    })
}

/// The same answer for every address.
pub async fn create(State(accounts): State<Accounts>, session: Session, Form(form): Form<Ask>) -> Result<Response> {
    accounts.deliver_user_confirmation_instructions(&form.email).await?;
    session.put_flash(
        Flash::Info,
        "If your address is in our system and has not been confirmed yet, you will get a mail in a moment.",
    )?;
    Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    let Some(user) = accounts.get_user_by_confirmation_token(&token).await? else {
        return bad_link(&session, ASK_PATH);
    };
    let page = LinkPage {
        layout: Layout::new("Confirm your address", &session, scope.as_ref()),
        action: format!("/users/confirm/{token}"),
        explanation: format!("Is {} your address?", user.email),
        label: "Confirm my address",
        remember_me: false,
    };
    Ok(Page(page).into_response())
}

pub async fn update(State(accounts): State<Accounts>, session: Session, Path(token): Path<String>) -> Result<Response> {
    if accounts.confirm_user(&token, &session.client()).await?.is_none() {
        return bad_link(&session, ASK_PATH);
    }
    session.put_flash(Flash::Info, "Your address is confirmed.")?;
    Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
}
