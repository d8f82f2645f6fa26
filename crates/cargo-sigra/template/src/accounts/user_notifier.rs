//! The emails that users receive. Every link is built from `PUBLIC_URL`, never from a request's `Host`.

use std::time::Duration;

use askama::Template;
use sigra::{
    Client, EmailToken, Sigra,
    client::Device,
    mail::{Mail, Mailer},
    token::Context,
};
use time::OffsetDateTime;
use url::Url;

use super::user::User;
use crate::dates::day;

/// The name of the application in its emails.
const APP: &str = "MyApp";

// What to do if the reader didn't do it.
const RESET_PASSWORD: &str =
    "If this wasn't you, set a new password now: choose \u{201c}Forgot your password?\u{201d} on the login page.";
const CHANGE_PASSWORD: &str = "If this wasn't you, log in, log out all other devices, and change your password.";
const RECOVER: &str = "If this was you, there's nothing to do. If it wasn't, open the link: it undoes this change and everything \
    after it, logs out all devices, and lets you set a new password. A new password alone isn't enough.";
// <mfa>
const REMOVE_FACTOR: &str = "If this wasn't you, remove it under \u{201c}Two-factor authentication\u{201d} in your settings, log out all \
    other devices, and change your password.";
// </mfa>
const ANSWER: &str = "If this wasn't you, reply to this email and we'll help.";
const ASK: &str = "If this wasn't you, ask the people who run MyApp for help.";

#[derive(Clone)]
pub struct UserNotifier {
    mailer: Mailer,
    /// Where replies go. Without it, no email asks for a reply.
    reply_to: Option<String>,
    public_url: Url,
    sigra: Sigra<User>,
}

/// The words of an email, which its text and its HTML share.
struct Letter<'a> {
    subject: &'a str,
    paragraphs: Vec<String>,
    link: Option<Link>,
    /// What to do if the reader didn't do it.
    otherwise: &'a str,
}

impl Letter<'_> {
    /// What lists of emails show beside the subject.
    fn preview(&self) -> &str {
        self.paragraphs.first().map_or(self.otherwise, String::as_str)
    }
}

struct Link {
    label: &'static str,
    url: String,
    /// How long the link works, in words. Empty if it doesn't expire.
    lifetime: String,
}

#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct Text<'a> {
    app: &'a str,
    letter: &'a Letter<'a>,
}

#[derive(Template)]
#[template(path = "mail/letter.html")]
struct Html<'a> {
    app: &'a str,
    letter: &'a Letter<'a>,
}

impl UserNotifier {
    pub fn new(sigra: Sigra<User>, mailer: Mailer, public_url: Url, reply_to: Option<String>) -> Self {
        Self { mailer, reply_to, public_url, sigra }
    }

    pub fn mailer(&self) -> &Mailer {
        &self.mailer
    }

    pub fn confirmation_instructions(&self, user: &User, token: &EmailToken) -> Mail {
        let letter = Letter {
            subject: "Confirm your email address",
            paragraphs: vec![format!("Welcome to {APP}! Please confirm that this is your email address.")],
            link: Some(self.link("Confirm my email address", "users/confirm/", token, Context::Confirm)),
            otherwise: "If you didn't register, you can ignore this email.",
        };
        mail(&user.email, &letter)
    }

    pub fn already_registered(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "You already have an account",
            paragraphs: vec![format!(
                "Someone tried to register at {APP} with this email address, but you already have an account. Log in to \
                 it, or set a new password if you've forgotten yours."
            )],
            link: Some(Link { label: "Log in", url: self.url("users/log-in"), lifetime: String::new() }),
            otherwise: "If this wasn't you, there's nothing to do: nobody got into your account.",
        };
        mail(&user.email, &letter)
    }

    pub fn reset_password_instructions(&self, user: &User, token: &EmailToken) -> Mail {
        let letter = Letter {
            subject: "Reset your password",
            paragraphs: vec![
                "Use this link to set a new password for your account. You'll be logged out on all devices.".to_owned(),
            ],
            link: Some(self.link("Set a new password", "users/reset-password/", token, Context::ResetPassword)),
            otherwise: "If you didn't ask for this, you can ignore this email: your password won't change.",
        };
        mail(&user.email, &letter)
    }

    pub fn password_changed(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "Your password was changed",
            paragraphs: vec![
                "The password of your account was changed, and all other devices were logged out.".to_owned(),
            ],
            link: None,
            otherwise: RESET_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    // <magic_link>
    pub fn password_removed(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "Your password was removed",
            paragraphs: vec![
                "You logged in with a link, which confirmed your email address. Before that, your account was registered \
                 with a password, maybe not by you. We removed that password and logged out all other devices. You can \
                 set a new password in your settings."
                    .to_owned(),
            ],
            link: Some(Link { label: "Settings", url: self.url("users/settings"), lifetime: String::new() }),
            otherwise: "If you didn't log in with a link, someone else can read your email: change the password of your mailbox.",
        };
        mail(&user.email, &letter)
    }

    pub fn log_in_link(&self, user: &User, token: &EmailToken) -> Mail {
        let letter = Letter {
            subject: "Log in to MyApp",
            paragraphs: vec![format!("Log in to {APP} without a password.")],
            link: Some(self.link("Log in", "users/log-in/", token, Context::LogIn)),
            otherwise: "If you didn't ask for this, you can ignore this email. Don't share the link with anyone.",
        };
        mail(&user.email, &letter)
    }
    // </magic_link>

    pub fn update_email_instructions(&self, new_email: &str, token: &EmailToken) -> Mail {
        let letter = Letter {
            subject: "Confirm your new email address",
            paragraphs: vec![format!("Please confirm this email address for your {APP} account.")],
            link: Some(self.link(
                "Use this email address",
                "users/settings/confirm-email/",
                token,
                Context::ChangeEmail(""),
            )),
            otherwise: "If you didn't ask for this, you can ignore this email.",
        };
        mail(new_email, &letter)
    }

    pub fn email_change_requested(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "Request to change your email address",
            paragraphs: vec!["Someone logged in to your account asked to change its email address.".to_owned()],
            link: None,
            otherwise: CHANGE_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    /// Has no link if the old address was never confirmed: it may belong to someone else.
    pub fn email_changed(&self, user: &User, recovery: Option<&EmailToken>) -> Mail {
        let letter = Letter {
            subject: "Your email address was changed",
            paragraphs: vec!["Your account now has a different email address. This one is no longer used.".to_owned()],
            link: recovery.map(|token| self.recovery(token)),
            otherwise: if recovery.is_some() { RECOVER } else { self.way_to_ask() },
        };
        if recovery.is_some() { mail(&user.email, &letter) } else { self.answerable(mail(&user.email, &letter)) }
    }

    pub fn account_recovered(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "You got your account back",
            paragraphs: vec![
                "You recovered your account with the link that we sent you. It has this email address and your new \
                 password, second factors added since then were removed, and all devices were logged out."
                    .to_owned(),
            ],
            link: Some(Link { label: "Log in", url: self.url("users/log-in"), lifetime: String::new() }),
            otherwise: "If this wasn't you, someone else can read your email: first change the password of your mailbox, then \
                        the password of your account.",
        };
        mail(&user.email, &letter)
    }

    pub fn new_device(&self, user: &User, client: &Client) -> Mail {
        let letter = Letter {
            subject: "New login to your account",
            paragraphs: vec![format!("{}.", described(client))],
            link: Some(Link { label: "See your devices", url: self.url("users/sessions"), lifetime: String::new() }),
            otherwise: "If this wasn't you, log that device out and change your password.",
        };
        mail(&user.email, &letter)
    }

    // <mfa>
    /// The email about the first factor has a recovery link, for an owner who didn't add it.
    pub fn second_factor_added(&self, user: &User, what: &str, recovery: Option<&EmailToken>) -> Mail {
        let letter = Letter {
            subject: "A second factor was added to your account",
            paragraphs: vec![format!("{what} was added. From now on, you'll be asked for it when you log in.")],
            link: Some(recovery.map_or_else(|| self.mfa_settings(), |token| self.recovery(token))),
            otherwise: if recovery.is_some() { RECOVER } else { REMOVE_FACTOR },
        };
        mail(&user.email, &letter)
    }

    pub fn second_factor_removed(&self, user: &User, what: &str) -> Mail {
        let letter = Letter {
            subject: "A second factor was removed from your account",
            paragraphs: vec![format!("{what} was removed. You'll no longer be asked for it when you log in.")],
            link: Some(self.mfa_settings()),
            otherwise: CHANGE_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    pub fn backup_codes_regenerated(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "You have new backup codes",
            paragraphs: vec![
                "New backup codes were generated for your account. The old ones no longer work.".to_owned(),
            ],
            link: Some(self.mfa_settings()),
            otherwise: CHANGE_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    pub fn backup_code_used(&self, user: &User, left: u32) -> Mail {
        let letter = Letter {
            subject: "A backup code was used",
            paragraphs: vec![format!("One of your backup codes was used. You have {left} left.")],
            link: Some(self.mfa_settings()),
            otherwise: "If this wasn't you, someone has your password and your backup codes: set a new password now, and generate new codes.",
        };
        mail(&user.email, &letter)
    }

    pub fn wrong_codes(&self, user: &User, client: &Client) -> Mail {
        let letter = Letter {
            subject: "Someone may know your password",
            paragraphs: vec![format!(
                "Someone entered your password with {}, and then a wrong second factor several times.",
                described(client)
            )],
            link: None,
            otherwise: "If this wasn't you, they didn't get in, but set a new password now: choose \u{201c}Forgot your password?\u{201d} on the login page.",
        };
        mail(&user.email, &letter)
    }

    fn mfa_settings(&self) -> Link {
        Link { label: "Two-factor authentication", url: self.url("users/settings/mfa"), lifetime: String::new() }
    }
    // </mfa>

    pub fn account_deleted(&self, user: &User, delete_after: Option<OffsetDateTime>) -> Mail {
        let (subject, paragraph) = match delete_after {
            Some(after) => (
                "Your account will be deleted",
                format!(
                    "Your {APP} account will be deleted on {day}. Log in before {day} to keep your account.",
                    day = day(after)
                ),
            ),
            None => ("Your account was deleted", format!("Your {APP} account was deleted. Goodbye!")),
        };
        let letter = Letter { subject, paragraphs: vec![paragraph], link: None, otherwise: self.way_to_ask() };
        self.answerable(mail(&user.email, &letter))
    }

    /// How to get help where the reader can't undo the change alone.
    fn way_to_ask(&self) -> &'static str {
        if self.reply_to.is_some() { ANSWER } else { ASK }
    }

    fn answerable(&self, mail: Mail) -> Mail {
        match &self.reply_to {
            Some(reply_to) => mail.reply_to(reply_to),
            None => mail,
        }
    }

    fn recovery(&self, token: &EmailToken) -> Link {
        self.link("It wasn't me", "users/recover/", token, Context::Recovery)
    }

    pub fn deletion_cancelled(&self, user: &User, client: &Client) -> Mail {
        let letter = Letter {
            subject: "Your account will not be deleted",
            paragraphs: vec![format!(
                "Your {APP} account was scheduled for deletion. Someone logged in to it with {}, so we kept it.",
                described(client)
            )],
            link: None,
            otherwise: RESET_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    fn link(&self, label: &'static str, path: &str, token: &EmailToken, context: Context<'_>) -> Link {
        let lifetime = self.sigra.email_tokens().ttl(context).map(in_words).unwrap_or_default();
        Link { label, url: self.url(path) + &token.encode(), lifetime }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }
}

/// Returns a duration in words, in the largest unit with a count above one: `24 hours`, not `1 day`.
fn in_words(time: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let (count, unit) = match time.as_secs() {
        seconds if seconds > 2 * DAY && seconds % DAY == 0 => (seconds / DAY, "day"),
        seconds if seconds > 60 * 60 && seconds % (60 * 60) == 0 => (seconds / (60 * 60), "hour"),
        seconds if seconds >= 60 => (seconds / 60, "minute"),
        seconds => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Returns a browser and its IP address: `Firefox on Linux, from 192.0.2.1`.
fn described(client: &Client) -> String {
    let device = Device::from_user_agent(client.user_agent.as_deref().unwrap_or_default());
    let from = client.ip.map_or_else(|| "an unknown IP address".to_owned(), |ip| ip.to_string());
    format!("{device}, from {from}")
}

fn mail(to: &str, letter: &Letter) -> Mail {
    // The templates write into memory, which can't fail.
    let text = Text { app: APP, letter }.render().unwrap_or_default();
    let html = Html { app: APP, letter }.render().unwrap_or_default();
    Mail::new(to, letter.subject, text).html(html)
}
