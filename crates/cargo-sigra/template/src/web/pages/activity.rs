//! Recent activity in the user's account.

use askama::Template;
use axum::extract::{Query, State};
use serde::Deserialize;
use sigra::{CookieSession, Scope, audit, audit::AuditEvent, telemetry};
use uuid::Uuid;

use crate::{
    accounts::{Accounts, User, UserId},
    dates::{Timestamp, timestamp},
    devices,
    web::{
        error::Result,
        layout::{Layout, Page},
    },
};

#[derive(Deserialize)]
pub struct ActivityQuery {
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
    at: Timestamp,
    from: String,
    /// What to do if it wasn't the user.
    remedy: &'static str,
}

impl Event {
    fn new(event: &AuditEvent<UserId>) -> Self {
        let client = &event.client;
        let device = client.user_agent.as_deref().map(|user_agent| devices::describe(Some(user_agent)));
        let ip = client.ip.map(|ip| ip.to_string());
        let from: Vec<String> = [device, ip].into_iter().flatten().collect();
        let (words, remedy) = (describe_action(&event.action), remedy_for(event));
        let what = match event.times() {
            1 => words.to_owned(),
            times => t!("{event}, {count} time", "{event}, {count} times", count = times, event = words),
        };
        Self { what, at: timestamp(event.inserted_at), from: from.join(", "), remedy }
    }

    // <oauth>
    /// Names the provider, if the event was at one.
    fn with_provider(self, event: &AuditEvent<UserId>, accounts: &Accounts) -> Self {
        let Some(provider) = event.metadata["provider"].as_str() else { return self };
        let provider = accounts.provider_label(provider);
        let what = match &*event.action {
            telemetry::LOGIN_SUCCESS => t!("Logged in with {provider}", provider),
            telemetry::REAUTHENTICATION_SUCCESS => t!("Confirmed it's you with {provider}", provider),
            audit::IDENTITY_LINKED => t!("Linked a {provider} account", provider),
            audit::IDENTITY_UNLINKED => t!("Unlinked a {provider} account", provider),
            _ => return self,
        };
        Self { what, ..self }
    }
    // </oauth>
}

pub async fn index(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Query(query): Query<ActivityQuery>,
) -> Result<Page<impl Template>> {
    let activity = accounts.list_user_activity(scope.user(), query.before).await?;
    let events = activity.events.iter().map(Event::new);
    // <oauth>
    let events = events.zip(&activity.events).map(|(shown, event)| shown.with_provider(event, &accounts));
    // </oauth>
    Ok(Page(ActivityPage {
        layout: Layout::new(t!("Recent activity"), &session, Some(&scope)).active_path("/users/settings/activity"),
        older: activity.older,
        events: events.collect(),
    }))
}

fn describe_action(action: &str) -> &str {
    match action {
        telemetry::LOGIN_SUCCESS => t!("Logged in"),
        telemetry::LOGIN_FAILURE => t!("Failed to log in"),
        telemetry::LOGOUT => t!("Logged out"),
        telemetry::SESSION_REVOKED => t!("Logged a device out"),
        telemetry::TOKEN_REUSED => t!("A session was used in two browsers, so it was ended"),
        // <device_bound>
        telemetry::USED_WITHOUT_KEY => t!("A copy of this session's cookies was used on another device, and refused"),
        // </device_bound>
        telemetry::REAUTHENTICATION_SUCCESS => t!("Confirmed it's you"),
        // <mfa>
        telemetry::MFA_CHALLENGED => t!("Started two-factor authentication"),
        telemetry::MFA_FAILURE => t!("Entered a wrong second factor"),
        audit::TOTP_ENABLED => t!("Set up an authenticator app"),
        audit::TOTP_DISABLED => t!("Removed the authenticator app"),
        audit::BACKUP_CODES_REGENERATED => t!("Generated new backup codes"),
        audit::BROWSER_TRUSTED => t!("Trusted a browser"),
        audit::BROWSER_DISTRUSTED => t!("Stopped trusting a browser"),
        // </mfa>
        // <api_tokens>
        audit::API_TOKEN_CREATED => t!("Created an access token"),
        audit::API_TOKEN_REVOKED => t!("Revoked access tokens"),
        // </api_tokens>
        // <oauth_server>
        audit::PROGRAM_AUTHORIZED => t!("Gave a program access"),
        audit::PROGRAM_REVOKED => t!("Ended a program's access"),
        audit::PROGRAM_REFUSED => t!("A program used a copied code, and was refused"),
        audit::PROGRAM_TOKEN_REUSED => t!("Someone has a copy of a program's token, so its access was ended"),
        // </oauth_server>
        // <oauth>
        audit::IDENTITY_LINKED => t!("Linked an account"),
        audit::IDENTITY_UNLINKED => t!("Unlinked an account"),
        // </oauth>
        // <passkeys>
        audit::PASSKEY_ADDED => t!("Added a passkey"),
        audit::PASSKEY_REMOVED => t!("Removed a passkey"),
        // </passkeys>
        audit::ACCOUNT_REGISTERED => t!("Registered"),
        audit::ACCOUNT_CONFIRMED => t!("Confirmed the email address"),
        audit::ACCOUNT_RECOVERED => t!("Recovered the account with a link"),
        audit::PASSWORD_CHANGED => t!("Changed the password"),
        audit::PASSWORD_RESET => t!("Reset the password with a link"),
        audit::PASSWORD_RESET_REQUESTED => t!("Requested a link to reset the password"),
        audit::LOGIN_LINK_REQUESTED => t!("Requested a login link"),
        audit::EMAIL_CHANGE_REQUESTED => t!("Asked to change the email address"),
        audit::EMAIL_CHANGED => t!("Changed the email address"),
        audit::ACCOUNT_DELETION_SCHEDULED => t!("Scheduled the account for deletion"),
        audit::ACCOUNT_DELETION_CANCELED => t!("Canceled the deletion of the account"),
        "auth.account.registration_refused" => t!("Someone tried to register with your email address"),
        other => other,
    }
}

/// Returns what to do against a thief after each event. A new password alone neither removes a second factor nor
/// restores an email address.
fn remedy_for(event: &AuditEvent<UserId>) -> &'static str {
    match &*event.action {
        telemetry::LOGIN_SUCCESS | telemetry::REAUTHENTICATION_SUCCESS => {
            login_remedy(event, t!("Log that device out under “Your devices”, and change your password."))
        }
        // <mfa>
        telemetry::MFA_CHALLENGED => login_remedy(event, t!("Change your password: someone knows it.")),
        telemetry::MFA_FAILURE => t!("Follow the advice beside the incomplete login before it."),
        audit::TOTP_ENABLED => remove_factor_remedy(),
        audit::TOTP_DISABLED | audit::BACKUP_CODES_REGENERATED => {
            t!("Change your password, log out all other devices, and set up your second factor again.")
        }
        audit::BROWSER_TRUSTED => {
            t!("Stop trusting that browser under “Your devices”, and change your password.")
        }
        // </mfa>
        // <api_tokens>
        audit::API_TOKEN_CREATED => {
            t!("Revoke it under “Access tokens” in your settings, log out all other devices, and change your password.")
        }
        // </api_tokens>
        // <oauth_server>
        audit::PROGRAM_REFUSED | audit::PROGRAM_TOKEN_REUSED => {
            t!("Check the computer that the program runs on before you give it access again.")
        }
        audit::PROGRAM_AUTHORIZED => {
            t!("End its access under “Your devices”, log out all other devices, and change your password.")
        }
        // </oauth_server>
        // <oauth>
        audit::IDENTITY_LINKED => {
            t!(
                "Unlink it under “Ways to log in” in your settings, log out all other devices, and change your password."
            )
        }
        audit::IDENTITY_UNLINKED => t!("Log out all other devices, and change your password."),
        // </oauth>
        // <passkeys>
        audit::PASSKEY_ADDED => remove_factor_remedy(),
        audit::PASSKEY_REMOVED => {
            t!("Change your password, log out all other devices, and set up your second factor again.")
        }
        // </passkeys>
        audit::PASSWORD_CHANGED | audit::PASSWORD_RESET => {
            t!("Reset your password with “Forgot your password?” on the login page.")
        }
        audit::EMAIL_CHANGE_REQUESTED => t!("Log out all other devices, and change your password."),
        audit::EMAIL_CHANGED => {
            t!(
                "Open the link in the email to your previous address. For a week after the change, it gives you your account back."
            )
        }
        audit::ACCOUNT_DELETION_SCHEDULED => t!("You kept the account by logging in. Change your password."),
        _ => "",
    }
}

/// Returns what stops a thief who logged in. A new password stops only one who has the old one.
fn login_remedy(event: &AuditEvent<UserId>, with_password: &'static str) -> &'static str {
    let of_event = |key: &str| event.metadata[key].as_str();
    let method = of_event("method").or_else(|| of_event("provider").map(|_| "provider"));
    match method.or_else(|| of_event("second_factor")).unwrap_or("password") {
        "password" => with_password,
        // <magic_link>
        "link" => t!(
            "Someone else can read your email: first change the password of your mailbox, then log that device out under “Your devices”."
        ),
        // </magic_link>
        // <passkeys>
        "passkey" => t!(
            "Log that device out under “Your devices”, and remove the passkey that was used under “Two-factor authentication” in your settings."
        ),
        // </passkeys>
        // <oauth>
        "provider" => t!(
            "Log that device out under “Your devices”, and unlink the account that was used under “Ways to log in” in your settings. Then change the password of that account."
        ),
        // </oauth>
        _ => t!("Log out all other devices, and change your password."),
    }
}

// <mfa>
fn remove_factor_remedy() -> &'static str {
    t!(
        "Remove it under “Two-factor authentication” in your settings, log out all other devices, and change your password. If it was your first one, the email about it has a link that removes it."
    )
}
// </mfa>
