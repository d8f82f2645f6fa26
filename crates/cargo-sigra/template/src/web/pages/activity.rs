//! Recent activity in the user's account.

use askama::Template;
use axum::extract::{Query, State};
use serde::Deserialize;
use sigra::{CookieSession, Scope, audit, audit::AuditEvent, client::Device, telemetry};
use uuid::Uuid;

use crate::{
    accounts::{Accounts, User, UserId},
    dates::{Moment, moment},
    web::{
        error::Result,
        layout::{Layout, Page},
    },
};

#[derive(Deserialize)]
pub struct Before {
    before: Option<Uuid>,
}

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPage {
    layout: Layout,
    events: Vec<Event>,
    older: Option<Uuid>,
}

struct Event {
    what: String,
    at: Moment,
    from: String,
    /// What to do if it wasn't the user.
    remedy: &'static str,
}

impl Event {
    fn new(event: &AuditEvent<UserId>) -> Self {
        let client = &event.client;
        let device = client.user_agent.as_deref().map(|user_agent| Device::from_user_agent(user_agent).to_string());
        let ip = client.ip.map(|ip| ip.to_string());
        let from: Vec<String> = [device, ip].into_iter().flatten().collect();
        let (words, remedy) = (in_words(&event.action), remedy_for(&event.action));
        let what = match event.times() {
            1 => words.to_owned(),
            times => format!("{words}, {times} times"),
        };
        Self { what, at: moment(event.inserted_at), from: from.join(", "), remedy }
    }
}

pub async fn index(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Query(query): Query<Before>,
) -> Result<Page<impl Template>> {
    let activity = accounts.list_user_activity(scope.user(), query.before).await?;
    Ok(Page(ActivityPage {
        layout: Layout::new("Recent activity", &session, Some(&scope)),
        older: activity.older,
        events: activity.events.iter().map(Event::new).collect(),
    }))
}

fn in_words(action: &str) -> &str {
    match action {
        telemetry::LOGIN_SUCCESS => "Logged in",
        telemetry::LOGIN_FAILURE => "Failed to log in",
        telemetry::LOGOUT => "Logged out",
        telemetry::SESSION_REVOKED => "Logged a device out",
        telemetry::TOKEN_REUSED => "A session was used in two browsers, so it was ended",
        telemetry::REAUTHENTICATION_SUCCESS => "Confirmed it's you",
        // <mfa>
        telemetry::MFA_CHALLENGED => "Started two-factor authentication",
        telemetry::MFA_FAILURE => "Entered a wrong second factor",
        audit::TOTP_ENABLED => "Set up an authenticator app",
        audit::TOTP_DISABLED => "Removed the authenticator app",
        audit::BACKUP_CODES_REGENERATED => "Generated new backup codes",
        audit::BROWSER_TRUSTED => "Trusted a browser",
        audit::BROWSER_DISTRUSTED => "Stopped trusting a browser",
        // </mfa>
        // <passkeys>
        audit::PASSKEY_ADDED => "Added a passkey",
        audit::PASSKEY_REMOVED => "Removed a passkey",
        // </passkeys>
        audit::REGISTERED => "Registered",
        audit::CONFIRMED => "Confirmed the email address",
        audit::RECOVERED => "Recovered the account with a link",
        audit::PASSWORD_CHANGED => "Changed the password",
        audit::PASSWORD_RESET => "Reset the password with a link",
        audit::PASSWORD_RESET_REQUESTED => "Requested a link to reset the password",
        audit::LOG_IN_LINK_REQUESTED => "Requested a login link",
        audit::EMAIL_CHANGE_REQUESTED => "Asked to change the email address",
        audit::EMAIL_CHANGED => "Changed the email address",
        audit::DELETION_SCHEDULED => "Scheduled the account for deletion",
        audit::DELETION_CANCELLED => "Canceled the deletion of the account",
        "auth.account.registration_refused" => "Someone tried to register with your email address",
        other => other,
    }
}

/// Returns what to do against a thief after each event. A new password alone neither removes a second factor nor
/// restores an email address.
fn remedy_for(action: &str) -> &'static str {
    match action {
        telemetry::LOGIN_SUCCESS | telemetry::REAUTHENTICATION_SUCCESS => {
            "Log that device out under \u{201c}Your devices\u{201d}, and change your password."
        }
        // <mfa>
        telemetry::MFA_CHALLENGED | telemetry::MFA_FAILURE => "Change your password: someone knows it.",
        audit::TOTP_ENABLED => REMOVE_FACTOR,
        audit::TOTP_DISABLED | audit::BACKUP_CODES_REGENERATED => {
            "Change your password, log out all other devices, and set up your second factor again."
        }
        audit::BROWSER_TRUSTED => {
            "Stop trusting that browser under \u{201c}Your devices\u{201d}, and change your password."
        }
        // </mfa>
        // <passkeys>
        audit::PASSKEY_ADDED => REMOVE_FACTOR,
        audit::PASSKEY_REMOVED => {
            "Change your password, log out all other devices, and set up your second factor again."
        }
        // </passkeys>
        audit::PASSWORD_CHANGED | audit::PASSWORD_RESET => {
            "Reset your password with \u{201c}Forgot your password?\u{201d} on the login page."
        }
        audit::EMAIL_CHANGE_REQUESTED => "Log out all other devices, and change your password.",
        audit::EMAIL_CHANGED => {
            "Open the link in the email to your previous address. For a week after the change, it gives you your account back."
        }
        audit::DELETION_SCHEDULED => "You kept the account by logging in. Change your password.",
        _ => "",
    }
}

// <mfa>
const REMOVE_FACTOR: &str = "Remove it under \u{201c}Two-factor authentication\u{201d} in your settings, log out all other devices, \
    and change your password. If it was your first one, the email about it has a link that removes it.";
// </mfa>
