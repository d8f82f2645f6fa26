//! The second factor of a login. While it is pending, users can open only this page and log out.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{Checked, CookieSession, Flash, mfa::MfaChallenge};

use super::{
    form::Form,
    second_factor::{Options, Prompt},
};
use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        forms::SecondFactorForm,
        layout::{Layout, Page, too_many_attempts},
        user_auth,
    },
};

#[derive(Template)]
#[template(path = "mfa_challenge.html")]
struct ChallengePage {
    layout: Layout,
    prompt: Prompt,
}

pub async fn new(
    State(accounts): State<Accounts>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
    Query(options): Query<Options>,
) -> Result<Page<impl Template>> {
    let layout = Layout::without_nav(t!("Two-factor authentication"), &session);
    page(&accounts, &challenge, layout, &options).await
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
    Form(form): Form<SecondFactorForm>,
) -> Result<Response> {
    let (answer, trust_browser) = (form.second_factor(), form.trust_browser);
    match accounts.complete_mfa_challenge(&session, &challenge, answer, trust_browser).await {
        Ok(Checked::Valid(login)) => Ok(user_auth::welcome_user(&session, &login)?.into_response()),
        Ok(Checked::Invalid) => {
            session.put_flash(Flash::Error, form.problem())?;
            Ok(Redirect::to(user_auth::MFA_CHALLENGE_PATH).into_response())
        }
        Err(error) => {
            let problem = too_many_attempts(error)?;
            let layout = Layout::without_nav(t!("Two-factor authentication"), &session).alert(&problem);
            Ok(page(&accounts, &challenge, layout, &Options::default()).await?.retry_later(problem))
        }
    }
}

async fn page(
    accounts: &Accounts,
    challenge: &MfaChallenge<User>,
    layout: Layout,
    options: &Options,
) -> Result<Page<ChallengePage>> {
    let factors = accounts.sigra().mfa().list(&challenge.user().id).await?;
    let prompt = Prompt::new(&factors, options);
    // <passkeys>
    let prompt = prompt.with_passkeys(accounts, &factors, options);
    // </passkeys>
    Ok(Page(ChallengePage { layout, prompt }))
}
