//! The user's settings: email address, password and account. Each change requires sudo mode.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, Scope, Sudo};

use super::{
    form::Form,
    mail_link::{LinkPage, bad_link},
};
use crate::{
    accounts::{Accounts, Problems, Refusal, User},
    web::{
        error::Result,
        forms::{Address, ChangedPassword},
        layout::{Layout, Page},
    },
};

const SETTINGS_PATH: &str = "/users/settings";

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    layout: Layout,
    email: String,
    new_email: String,
    is_confirmed: bool,
    has_password: bool,
    asks_current_password: bool,
    grace_days: Option<u64>,
    problems: Problems,
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
) -> Page<impl Template> {
    page(&accounts, &session, &scope, String::new(), Problems::default())
}

pub async fn update_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Form(form): Form<Address>,
) -> Result<Response> {
    let client = session.client();
    match accounts.deliver_user_update_email_instructions(scope.user(), &form.email, &client).await {
        Ok(()) => {
            session.put_flash(
                Flash::Info,
                "Open the link in the email that is on its way to your new address. We send at most three in 15 minutes.",
            )?;
            Ok(Redirect::to(SETTINGS_PATH).into_response())
        }
        Err(Refusal::Invalid(problems)) => Ok(page(&accounts, &session, &scope, form.email, problems).refused()),
        Err(refusal) => Err(refusal.into()),
    }
}

pub async fn confirm_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(token): Path<String>,
) -> Result<Response> {
    let Some(email) = accounts.get_new_email_by_token(scope.user(), &token).await? else {
        return bad_link(&session, SETTINGS_PATH);
    };
    let page = LinkPage {
        layout: Layout::new("Change your email address", &session, Some(&scope)),
        action: format!("/users/settings/confirm-email/{token}"),
        explanation: format!("Change your email address to {email}?"),
        label: "Use this email address",
        remember_me: false,
    };
    Ok(Page(page).into_response())
}

pub async fn change_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.update_user_email(&session, &scope, &token).await {
        Ok(_) => {
            session.put_flash(Flash::Info, "Your email address was changed.")?;
            Ok(Redirect::to(SETTINGS_PATH).into_response())
        }
        Err(Refusal::Link) => bad_link(&session, SETTINGS_PATH),
        Err(refusal) => Err(refusal.into()),
    }
}

pub async fn update_password(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Form(form): Form<ChangedPassword>,
) -> Result<Response> {
    let ChangedPassword { current_password, new } = &form;
    let current = current_password.as_ref();
    match accounts.update_user_password(&session, &scope, current, &new.password, new.confirmation()).await {
        Ok(()) => {
            session.put_flash(Flash::Info, "Your password was changed. All other devices were logged out.")?;
            Ok(Redirect::to(SETTINGS_PATH).into_response())
        }
        Err(Refusal::Invalid(problems)) => Ok(page(&accounts, &session, &scope, String::new(), problems).refused()),
        Err(refusal) => Err(refusal.into()),
    }
}

fn page(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    new_email: String,
    problems: Problems,
) -> Page<SettingsPage> {
    let user = scope.user();
    Page(SettingsPage {
        layout: Layout::new("Settings", session, Some(scope)),
        email: user.email.clone(),
        new_email,
        is_confirmed: user.confirmed_at.is_some(),
        has_password: user.hashed_password.is_some(),
        asks_current_password: accounts.asks_current_password(scope),
        grace_days: accounts.policy().deletion_grace.map(|grace| grace.as_secs().div_ceil(24 * 60 * 60)),
        problems,
    })
}
