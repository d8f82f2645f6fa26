//! The second factor of a log-in: the only page, besides logging out, for who has shown the first one alone.

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{
    CookieSession, Flash, Problem,
    mfa::{Checked, Factor, MfaChallenge},
};

use super::second_factor::{Answer, Options, Prompt};
use crate::{
    accounts::{Accounts, FEW_BACKUP_CODES, User},
    web::{
        Result,
        layout::{Layout, Page},
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
    let layout = Layout::without_nav("Two-factor authentication", &session);
    page(&accounts, &challenge, layout, options.backup_code).await
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
    Form(form): Form<Answer>,
) -> Result<Response> {
    let completed = match form.second_factor() {
        Some(answer) => {
            match accounts.complete_mfa_challenge(&session, &challenge, answer, form.trust_browser == "true").await {
                Err(sigra::Error::TooManyAttempts { retry_after }) => {
                    let problem = Problem::too_many_requests(retry_after);
                    let layout = Layout::without_nav("Two-factor authentication", &session).alert(&problem);
                    return Ok(page(&accounts, &challenge, layout, false).await?.later(problem));
                }
                completed => completed?,
            }
        }
        None => Checked::Invalid,
    };
    let Checked::Valid(passed) = completed else {
        session.put_flash(Flash::Error, form.problem())?;
        return Ok(Redirect::to(user_auth::MFA_CHALLENGE_PATH).into_response());
    };
    let welcome = user_auth::welcome_user(&session, passed.deletion_cancelled)?;
    if let Factor::BackupCode { left } = passed.factor
        && left <= FEW_BACKUP_CODES
    {
        session.put_flash(Flash::Error, few_codes(left))?;
    }
    Ok(welcome.into_response())
}

async fn page(
    accounts: &Accounts,
    challenge: &MfaChallenge<User>,
    layout: Layout,
    backup_code: bool,
) -> Result<Page<ChallengePage>> {
    let factors = accounts.list_second_factors(challenge.user()).await?;
    let prompt = Prompt::new(&factors, backup_code);
    // <passkeys>
    let prompt = prompt.with_passkeys(accounts, &factors);
    // </passkeys>
    Ok(Page(ChallengePage { layout, prompt }))
}

fn few_codes(left: u32) -> String {
    let codes = if left == 1 { "1 backup code" } else { &format!("{left} backup codes") };
    format!("You have {codes} left. Generate new codes in your settings.")
}
