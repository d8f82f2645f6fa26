//! The emails that users receive. Every link is built from `PUBLIC_URL`, never from a request's `Host`.

use std::time::Duration;

use askama::Template;
// <api_tokens>
use sigra::api_tokens::ApiToken;
// </api_tokens>
// <oauth_server>
use sigra::oauth_server::NewGrant;
// </oauth_server>
use sigra::{
    Client, EmailToken, LoginMethod, Sigra,
    mail::{Mail, Mailer},
    token::Context,
};
use time::OffsetDateTime;
use url::Url;

// <api_tokens>
use super::permissions;
// </api_tokens>
use super::user::User;
use crate::{dates::day, devices};
// <languages>
use crate::languages::{self, Language};
// </languages>

/// The name of the application at the foot of its emails.
const APP_NAME: &str = "MyApp";

// Advice for a user who didn't do what an email is about.

fn reset_password_advice() -> &'static str {
    t!("If this wasn't you, set a new password now: choose “Forgot your password?” on the login page.")
}

fn change_password_advice() -> &'static str {
    t!("If this wasn't you, log in, log out all other devices, and change your password.")
}

/// A new password stops nobody who logs in without it.
fn login_advice(method: Option<LoginMethod>) -> &'static str {
    match method {
        Some(LoginMethod::Password) => t!("If this wasn't you, log that device out and change your password."),
        // <magic_link>
        Some(LoginMethod::Link) => t!(
            "If this wasn't you, someone else can read your email: first change the password of your mailbox, then log that device out."
        ),
        // </magic_link>
        // <passkeys>
        Some(LoginMethod::Passkey) => t!(
            "If this wasn't you, log that device out, and remove the passkey that was used under “Two-factor authentication” in your settings."
        ),
        // </passkeys>
        // <oauth>
        Some(LoginMethod::Provider) => t!(
            "If this wasn't you, log that device out, and unlink the account that was used under “Ways to log in” in your settings. Then change the password of that account."
        ),
        // </oauth>
        _ => change_password_advice(),
    }
}

fn recovery_advice() -> &'static str {
    t!(
        "If this was you, there's nothing to do. If it wasn't, open the link: it undoes this change and everything after it, logs out all devices, and lets you set a new password. A new password alone isn't enough."
    )
}

// <mfa>
/// A second factor that was added or removed.
#[derive(Clone, Copy)]
pub enum FactorKind {
    App,
    // <passkeys>
    Passkey,
    // </passkeys>
}

impl FactorKind {
    fn added(self) -> &'static str {
        match self {
            Self::App => t!("An authenticator app was added. From now on, you'll be asked for it when you log in."),
            // <passkeys>
            Self::Passkey => t!("A passkey was added. From now on, you'll be asked for it when you log in."),
            // </passkeys>
        }
    }

    fn removed(self) -> &'static str {
        match self {
            Self::App => t!("The authenticator app was removed. You'll no longer be asked for it when you log in."),
            // <passkeys>
            Self::Passkey => t!("A passkey was removed. You'll no longer be asked for it when you log in."),
            // </passkeys>
        }
    }
}

fn remove_factor_advice() -> &'static str {
    t!(
        "If this wasn't you, remove it under “Two-factor authentication” in your settings, log out all other devices, and change your password."
    )
}
// </mfa>

#[derive(Clone)]
pub struct UserNotifier {
    mailer: Mailer,
    /// Where replies go. Without it, no email asks for a reply.
    reply_to: Option<String>,
    public_url: Url,
    pub(super) sigra: Sigra<User>,
}

/// The content of an email, for its text and its HTML.
struct EmailContent {
    subject: &'static str,
    paragraphs: Vec<String>,
    link: Option<Link>,
    /// Advice for a user who didn't do what the email is about.
    if_not_you: &'static str,
}

impl EmailContent {
    /// The preview text that mail clients show beside the subject.
    fn preview(&self) -> &str {
        self.paragraphs.first().map_or(self.if_not_you, String::as_str)
    }
}

struct Link {
    label: &'static str,
    url: String,
    /// When the link expires, in words. Empty if it doesn't.
    expiry: String,
}

#[derive(Template)]
#[template(path = "mail/email.txt")]
struct Text<'a> {
    app: &'a str,
    content: &'a EmailContent,
}

#[derive(Template)]
#[template(path = "mail/email.html")]
struct Html<'a> {
    // <languages>
    language: &'static Language,
    // </languages>
    app: &'a str,
    content: &'a EmailContent,
}

impl UserNotifier {
    pub fn new(sigra: Sigra<User>, mailer: Mailer, public_url: Url, reply_to: Option<String>) -> Self {
        Self { mailer, reply_to, public_url, sigra }
    }

    pub fn mailer(&self) -> &Mailer {
        &self.mailer
    }

    pub fn confirmation_instructions(&self, user: &User, token: &EmailToken) -> Mail {
        compose(user, || EmailContent {
            subject: t!("Confirm your email address"),
            paragraphs: vec![t!("Welcome to MyApp! Please confirm that this is your email address.").to_owned()],
            link: Some(self.link(t!("Confirm my email address"), "users/confirm/", token, Context::Confirm)),
            if_not_you: t!("If you didn't register, you can ignore this email."),
        })
    }

    pub fn already_registered(&self, user: &User) -> Mail {
        compose_alert(user, || {
            let what = t!(
                "Someone tried to register at MyApp with this email address, but you already have an account. Log in to it, or set a new password if you've forgotten yours."
            );
            EmailContent {
                subject: t!("You already have an account"),
                paragraphs: vec![what.to_owned()],
                link: Some(Link { label: t!("Log in"), url: self.url("users/log-in"), expiry: String::new() }),
                if_not_you: t!("If this wasn't you, there's nothing to do: nobody got into your account."),
            }
        })
    }

    pub fn reset_password_instructions(&self, user: &User, token: &EmailToken) -> Mail {
        compose(user, || EmailContent {
            subject: t!("Reset your password"),
            paragraphs: vec![
                t!("Use this link to set a new password for your account. You'll be logged out on all devices.")
                    .to_owned(),
            ],
            link: Some(self.link(t!("Set a new password"), "users/reset-password/", token, Context::ResetPassword)),
            if_not_you: t!("If you didn't ask for this, you can ignore this email: your password won't change."),
        })
    }

    /// `linked` are the accounts at providers that still log the user in.
    pub fn password_changed(&self, user: &User, linked: &[String]) -> Mail {
        let still = (!linked.is_empty()).then(|| linked.join(", "));
        compose_alert(user, || EmailContent {
            subject: t!("Your password was changed"),
            paragraphs: [
                Some(t!("The password of your account was changed, and all other devices were logged out.").to_owned()),
                still.map(|accounts| t!("You can still log in with these linked accounts: {accounts}.", accounts)),
            ]
            .into_iter()
            .flatten()
            .collect(),
            link: None,
            if_not_you: reset_password_advice(),
        })
    }

    // <oauth>
    pub fn identity_linked(&self, user: &User, provider: &str) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("An account was linked to yours"),
            paragraphs: vec![t!("From now on, you can log in with {provider}.", provider)],
            link: Some(self.login_methods_link()),
            if_not_you: t!(
                "If this wasn't you, unlink it under “Ways to log in” in your settings, log out all other devices, and change your password."
            ),
        })
    }

    pub fn identity_unlinked(&self, user: &User, provider: &str) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("An account was unlinked from yours"),
            paragraphs: vec![t!("You can no longer log in with {provider}.", provider)],
            link: Some(self.login_methods_link()),
            if_not_you: change_password_advice(),
        })
    }

    pub fn taken_over_by_identity(&self, user: &User, provider: &str) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("Your account was linked, and its password removed"),
            paragraphs: vec![t!(
                "You logged in with {provider}, which confirmed your email address. Before that, someone had registered your account without confirming it, maybe not you. We removed what they set up, such as a password, and logged out all devices.",
                provider
            )],
            link: Some(self.login_methods_link()),
            if_not_you: reset_password_advice(),
        })
    }

    fn login_methods_link(&self) -> Link {
        let url = self.url("users/settings/log-in-methods");
        Link { label: t!("Ways to log in"), url, expiry: String::new() }
    }
    // </oauth>

    // <api_tokens>
    /// An address that was never confirmed may belong to someone else, so that email has no words that a stranger
    /// chose: not the token's name.
    pub fn api_token_created(&self, user: &User, token: &ApiToken) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("An access token was created"),
            paragraphs: [
                user.confirmed_at
                    .map(|_| t!("A program that has the token “{name}” can now use your account.", name = token.name)),
                Some(t!(
                    "The token allows: {permissions}.",
                    permissions = permissions::describe_all(&token.permissions).join("; ")
                )),
                Some(match token.expires_at {
                    Some(at) => t!("The token expires on {day}.", day = day(at)),
                    None => t!("The token never expires.").to_owned(),
                }),
            ]
            .into_iter()
            .flatten()
            .collect(),
            link: Some(Link {
                label: t!("Access tokens"),
                url: self.url("users/settings/tokens"),
                expiry: String::new(),
            }),
            if_not_you: t!(
                "If this wasn't you, revoke it under “Access tokens” in your settings, log out all other devices, and change your password."
            ),
        })
    }
    // </api_tokens>

    // <oauth_server>
    /// A program that registered itself chose its own name, so an address that was never confirmed doesn't get that.
    pub fn program_got_access(&self, new: &NewGrant<User>) -> Mail {
        let grant = &new.grant;
        let may_be_named = new.user.confirmed_at.is_some() || !grant.is_registered();
        compose_alert(&new.user, || EmailContent {
            subject: t!("A program got access to your account"),
            paragraphs: [
                may_be_named
                    .then(|| t!("“{program}” can now use your account.", program = devices::describe_program(grant))),
                grant
                    .is_registered()
                    .then(|| t!("We haven't verified this program, and it chose its own name.").to_owned()),
                Some(t!(
                    "The program is allowed to: {permissions}.",
                    permissions = permissions::describe_all(&grant.permissions).join("; ")
                )),
                grant.resource.as_ref().map(|resource| t!("Its access is limited to {resource}.", resource)),
                Some(t!("Its access ends on {day}, or when you end it.", day = day(new.ends_at))),
            ]
            .into_iter()
            .flatten()
            .collect(),
            link: Some(Link { label: t!("See your devices"), url: self.url("users/sessions"), expiry: String::new() }),
            if_not_you: t!(
                "If this wasn't you, end its access under “Your devices”, log out all other devices, and change your password."
            ),
        })
    }
    // </oauth_server>

    // <magic_link>
    pub fn password_removed(&self, user: &User) -> Mail {
        compose_alert(user, || {
            let what = t!(
                "You logged in with a link, which confirmed your email address. Before that, your account was registered with a password, maybe not by you. We removed that password and logged out all other devices. You can set a new password in your settings."
            );
            EmailContent {
                subject: t!("Your password was removed"),
                paragraphs: vec![what.to_owned()],
                link: Some(Link { label: t!("Settings"), url: self.url("users/settings"), expiry: String::new() }),
                if_not_you: t!(
                    "If you didn't log in with a link, someone else can read your email: change the password of your mailbox."
                ),
            }
        })
    }

    pub fn login_link(&self, user: &User, token: &EmailToken) -> Mail {
        compose(user, || EmailContent {
            subject: t!("Log in to MyApp"),
            paragraphs: vec![t!("Log in to MyApp without a password.").to_owned()],
            link: Some(self.link(t!("Log in"), "users/log-in/", token, Context::Login)),
            if_not_you: t!("If you didn't ask for this, you can ignore this email. Don't share the link with anyone."),
        })
    }
    // </magic_link>

    pub fn update_email_instructions(&self, user: &User, new_email: &str, token: &EmailToken) -> Mail {
        let mut mail = compose(user, || EmailContent {
            subject: t!("Confirm your new email address"),
            paragraphs: vec![t!("Please confirm this email address for your MyApp account.").to_owned()],
            link: Some(self.link(
                t!("Use this email address"),
                "users/settings/confirm-email/",
                token,
                Context::ChangeEmail(""),
            )),
            if_not_you: t!("If you didn't ask for this, you can ignore this email."),
        });
        mail.to = new_email.to_owned();
        mail
    }

    pub fn email_change_requested(&self, user: &User) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("Request to change your email address"),
            paragraphs: vec![t!("Someone logged in to your account asked to change its email address.").to_owned()],
            link: None,
            if_not_you: change_password_advice(),
        })
    }

    /// Has no link if the old address was never confirmed: it may belong to someone else.
    pub fn email_changed(&self, user: &User, recovery: Option<&EmailToken>) -> Mail {
        let mail = compose_alert(user, || EmailContent {
            subject: t!("Your email address was changed"),
            paragraphs: vec![
                t!("Your account now has a different email address. This one is no longer used.").to_owned(),
            ],
            link: recovery.map(|token| self.recovery_link(token)),
            if_not_you: if recovery.is_some() { recovery_advice() } else { self.support_advice() },
        });
        if recovery.is_some() { mail } else { self.with_reply_to(mail) }
    }

    pub fn account_recovered(&self, user: &User) -> Mail {
        compose_alert(user, || {
            let what = t!(
                "You recovered your account with the link that we sent you. It has this email address and your new password. Second factors added since then and all linked accounts were removed, and all devices were logged out. Older second factors stayed: log in with your new password, and remove any that isn't yours."
            );
            EmailContent {
                subject: t!("You got your account back"),
                paragraphs: vec![what.to_owned()],
                link: Some(Link { label: t!("Log in"), url: self.url("users/log-in"), expiry: String::new() }),
                if_not_you: t!(
                    "If this wasn't you, someone else can read your email: first change the password of your mailbox, then the password of your account."
                ),
            }
        })
    }

    /// `method` is the first factor of the login.
    pub fn new_device(&self, user: &User, client: &Client, method: Option<LoginMethod>) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("New login to your account"),
            paragraphs: vec![format!("{}.", describe_client(client))],
            link: Some(Link { label: t!("See your devices"), url: self.url("users/sessions"), expiry: String::new() }),
            if_not_you: login_advice(method),
        })
    }

    // <device_bound>
    pub fn stolen_session(&self, user: &User, client: &Client) -> Mail {
        compose_alert(user, || {
            let what = t!(
                "A copy of the cookies that keep you logged in was used on another device. It was refused, because it doesn't have your device's key. You are still logged in."
            );
            EmailContent {
                subject: t!("Someone used a copy of your cookies"),
                paragraphs: vec![what.to_owned(), format!("{}.", describe_client(client))],
                link: Some(Link {
                    label: t!("See your devices"),
                    url: self.url("users/sessions"),
                    expiry: String::new(),
                }),
                if_not_you: t!(
                    "There may be malware on your device. Check it before you log in again, then log out everywhere and change your password."
                ),
            }
        })
    }
    // </device_bound>

    // <mfa>
    /// The email about the first factor has a recovery link, for an owner who didn't add it.
    pub fn second_factor_added(&self, user: &User, added: FactorKind, recovery: Option<&EmailToken>) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("A second factor was added to your account"),
            paragraphs: vec![added.added().to_owned()],
            link: Some(recovery.map_or_else(|| self.mfa_settings_link(), |token| self.recovery_link(token))),
            if_not_you: if recovery.is_some() { recovery_advice() } else { remove_factor_advice() },
        })
    }

    pub fn second_factor_removed(&self, user: &User, removed: FactorKind) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("A second factor was removed from your account"),
            paragraphs: vec![removed.removed().to_owned()],
            link: Some(self.mfa_settings_link()),
            if_not_you: change_password_advice(),
        })
    }

    pub fn backup_codes_regenerated(&self, user: &User) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("You have new backup codes"),
            paragraphs: vec![
                t!("New backup codes were generated for your account. The old ones no longer work.").to_owned(),
            ],
            link: Some(self.mfa_settings_link()),
            if_not_you: change_password_advice(),
        })
    }

    pub fn backup_code_used(&self, user: &User, left: u32) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("A backup code was used"),
            paragraphs: vec![t!("One of your backup codes was used. You have {left} left.", left)],
            link: Some(self.mfa_settings_link()),
            if_not_you: t!(
                "If this wasn't you, someone has your password and your backup codes: set a new password now, and generate new codes."
            ),
        })
    }

    pub fn wrong_codes(&self, user: &User, client: &Client, method: Option<LoginMethod>) -> Mail {
        compose_alert(user, || match method {
            None | Some(LoginMethod::Password) => EmailContent {
                subject: t!("Someone may know your password"),
                paragraphs: vec![t!(
                    "Someone entered your password with {device}, and then a wrong second factor several times.",
                    device = describe_client(client)
                )],
                link: None,
                if_not_you: t!(
                    "If this wasn't you, they didn't get in, but set a new password now: choose “Forgot your password?” on the login page."
                ),
            },
            Some(_) => EmailContent {
                subject: t!("Someone was one step away from your account"),
                paragraphs: vec![t!(
                    "Someone passed the first step of a login with {device}, and then entered a wrong second factor several times.",
                    device = describe_client(client)
                )],
                link: None,
                if_not_you: login_advice(method),
            },
        })
    }

    fn mfa_settings_link(&self) -> Link {
        Link { label: t!("Two-factor authentication"), url: self.url("users/settings/mfa"), expiry: String::new() }
    }
    // </mfa>

    pub fn account_deleted(&self, user: &User, delete_after: Option<OffsetDateTime>) -> Mail {
        let mail = compose_alert(user, || {
            let (subject, paragraph) = match delete_after {
                Some(after) => (
                    t!("Your account will be deleted"),
                    t!(
                        "Your MyApp account will be deleted on {day}. To keep your account, log in before {day}.",
                        day = day(after)
                    ),
                ),
                None => (t!("Your account was deleted"), t!("Your MyApp account was deleted. Goodbye!").to_owned()),
            };
            EmailContent { subject, paragraphs: vec![paragraph], link: None, if_not_you: self.support_advice() }
        });
        self.with_reply_to(mail)
    }

    /// How to get help with a change that the user can't undo.
    fn support_advice(&self) -> &'static str {
        match self.reply_to {
            Some(_) => t!("If this wasn't you, reply to this email and we'll help."),
            None => t!("If this wasn't you, ask the people who run MyApp for help."),
        }
    }

    fn with_reply_to(&self, mail: Mail) -> Mail {
        match &self.reply_to {
            Some(reply_to) => mail.reply_to(reply_to),
            None => mail,
        }
    }

    fn recovery_link(&self, token: &EmailToken) -> Link {
        self.link(t!("It wasn't me"), "users/recover/", token, Context::Recovery)
    }

    pub fn deletion_canceled(&self, user: &User, client: &Client) -> Mail {
        compose_alert(user, || EmailContent {
            subject: t!("Your account will not be deleted"),
            paragraphs: vec![t!(
                "Your MyApp account was scheduled for deletion. Someone logged in to it with {device}, so we kept it.",
                device = describe_client(client)
            )],
            link: None,
            if_not_you: reset_password_advice(),
        })
    }

    fn link(&self, label: &'static str, path: &str, token: &EmailToken, context: Context<'_>) -> Link {
        let expiry = expiry_notice(self.sigra.email_tokens().ttl(context));
        Link { label, url: self.url(path) + &token.encode(), expiry }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }
}

/// Says how long a link works, in the largest unit with a count above one: `24 hours`, not `1 day`.
fn expiry_notice(time: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match time.as_secs() {
        seconds if seconds > 2 * DAY && seconds % DAY == 0 => t!(
            "The link works once and expires in {count} day.",
            "The link works once and expires in {count} days.",
            count = seconds / DAY
        ),
        seconds if seconds > 60 * 60 && seconds % (60 * 60) == 0 => t!(
            "The link works once and expires in {count} hour.",
            "The link works once and expires in {count} hours.",
            count = seconds / (60 * 60)
        ),
        seconds if seconds >= 60 => t!(
            "The link works once and expires in {count} minute.",
            "The link works once and expires in {count} minutes.",
            count = seconds / 60
        ),
        seconds => t!(
            "The link works once and expires in {count} second.",
            "The link works once and expires in {count} seconds.",
            count = seconds
        ),
    }
}

/// Returns a browser and its IP address: `Firefox on Linux, from 192.0.2.1`.
fn describe_client(client: &Client) -> String {
    let device = devices::describe(client.user_agent.as_deref());
    match client.ip {
        Some(address) => t!("{device}, from {address}", device, address),
        None => t!("{device}, from an unknown IP address", device),
    }
}

/// Composes an email that the user asked for: in their language, or else in that of the request.
fn compose(user: &User, content: impl FnOnce() -> EmailContent) -> Mail {
    // <languages>
    let language = user.language().unwrap_or_else(languages::current);
    languages::with_language_sync(language, || render(&user.email, &content()))
    // </languages>
    // <!languages>
    // render(&user.email, &content())
    // </!languages>
}

/// Composes a security alert, about what someone else may have done: in the user's language, or else in English. That
/// person must not choose a language that the user can't read.
fn compose_alert(user: &User, content: impl FnOnce() -> EmailContent) -> Mail {
    // <languages>
    let language = user.language().unwrap_or(&languages::ENGLISH);
    languages::with_language_sync(language, || render(&user.email, &content()))
    // </languages>
    // <!languages>
    // render(&user.email, &content())
    // </!languages>
}

fn render(to: &str, content: &EmailContent) -> Mail {
    // The templates write into memory, which can't fail.
    let text = Text { app: APP_NAME, content }.render().unwrap_or_default();
    let html = Html {
        // <languages>
        language: languages::current(),
        // </languages>
        app: APP_NAME,
        content,
    };
    Mail::new(to, content.subject, text).html(html.render().unwrap_or_default())
}
