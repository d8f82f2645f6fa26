//! Sudo mode: before a sensitive action, users present their second factor, or enter their password if they have none.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
// <mfa>
use axum::extract::Query;
// </mfa>
use sigra::{Checked, CookieSession, Flash, Scope};

use super::form::Form;
// <oauth>
use super::oauth::ProviderButton;
// </oauth>
// <mfa>
use super::second_factor::{Options, Prompt};
// </mfa>
use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        forms::Reauthentication,
        layout::{Layout, Page, too_many_attempts},
        user_auth,
    },
};

fn title() -> &'static str {
    t!("Confirm it's you")
}

#[derive(Template)]
#[template(path = "sudo.html")]
struct SudoPage {
    layout: Layout,
    email: String,
    has_password: bool,
    // <oauth>
    provider: Option<ProviderButton>,
    // </oauth>
    // <mfa>
    prompt: Option<Prompt>,
    // </mfa>
}

impl SudoPage {
    fn instructions(&self) -> &'static str {
        // <mfa>
        if self.prompt.is_some() {
            return t!("To continue, present your second factor again.");
        }
        // </mfa>
        if self.has_password {
            return t!("To continue, enter your password again.");
        }
        // <oauth>
        if self.provider.is_some() {
            return t!("To continue, log in again with an account that you have linked.");
        }
        // </oauth>
        // <!magic_link>
        // t!("You don't have a password yet.")
        // </!magic_link>
        // <magic_link>
        t!("You don't have a password, so log in again with a link to continue.")
        // </magic_link>
    }
}

pub async fn new(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    // <mfa>
    Query(options): Query<Options>,
    // </mfa>
) -> Result<Page<impl Template>> {
    let layout = Layout::new(title(), &session, Some(&scope));
    // <!mfa>
    // page(&accounts, layout, &scope).await
    // </!mfa>
    // <mfa>
    page(&accounts, layout, &scope, &options).await
    // </mfa>
}

async fn page(
    accounts: &Accounts,
    layout: Layout,
    scope: &Scope<User>,
    // <mfa>
    options: &Options,
    // </mfa>
) -> Result<Page<SudoPage>> {
    // <!mfa>
    // <!oauth>
    // // The password is the only proof to ask for.
    // let _ = accounts;
    // </!oauth>
    // </!mfa>
    let user = scope.user();
    // <mfa>
    let factors = accounts.sigra().mfa().list(&user.id).await?;
    let prompt = Prompt::new(&factors, options);
    // </mfa>
    // <passkeys>
    let prompt = prompt.with_passkeys(accounts, &factors, options);
    // </passkeys>
    Ok(Page(SudoPage {
        layout,
        email: user.email.clone(),
        has_password: user.hashed_password.is_some(),
        // <oauth>
        provider: accounts.provider_for_sudo(user).await?.map(ProviderButton::from),
        // </oauth>
        // <mfa>
        prompt: factors.is_any().then_some(prompt),
        // </mfa>
    }))
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Form(form): Form<Reauthentication>,
) -> Result<Response> {
    match accounts.confirm_sudo(&session, &scope, form.proof()).await {
        Ok(Checked::Valid(())) => Ok(user_auth::redirect_back(&session, user_auth::AFTER_LOGIN_PATH).into_response()),
        Ok(Checked::Invalid) => {
            session.put_flash(Flash::Error, form.problem())?;
            Ok(Redirect::to(user_auth::SUDO_PATH).into_response())
        }
        Err(error) => {
            let problem = too_many_attempts(error)?;
            let layout = Layout::new(title(), &session, Some(&scope)).alert(&problem);
            // <!mfa>
            // let form = page(&accounts, layout, &scope).await?;
            // </!mfa>
            // <mfa>
            let form = page(&accounts, layout, &scope, &Options::default()).await?;
            // </mfa>
            Ok(form.retry_later(problem))
        }
    }
}
