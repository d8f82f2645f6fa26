//! The overview of the user's settings. Each section has a page.

use askama::Template;
use axum::extract::State;
use sigra::{CookieSession, Scope};

use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        layout::{Layout, Page},
    },
};

pub const PATH: &str = "/users/settings";

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    layout: Layout,
    email: String,
    is_confirmed: bool,
    has_password: bool,
    // <mfa>
    has_second_factor: bool,
    // </mfa>
    grace_days: Option<u64>,
}

impl SettingsPage {
    /// Says how long users can get a deleted account back.
    fn deletion_notice(&self) -> String {
        match self.grace_days {
            Some(days) => {
                t!("You'll have {days} day to change your mind", "You'll have {days} days to change your mind", days)
            }
            None => t!("This can't be undone").to_owned(),
        }
    }
}

pub async fn index(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
) -> Result<Page<impl Template>> {
    let user = scope.user();
    Ok(Page(SettingsPage {
        layout: Layout::new(t!("Settings"), &session, Some(&scope)).active_path(PATH),
        email: user.email.clone(),
        is_confirmed: user.confirmed_at.is_some(),
        has_password: user.hashed_password.is_some(),
        // <mfa>
        has_second_factor: accounts.sigra().mfa().list(&user.id).await?.is_any(),
        // </mfa>
        grace_days: accounts.policy().deletion_grace.map(|grace| grace.as_secs().div_ceil(24 * 60 * 60)),
    }))
}
