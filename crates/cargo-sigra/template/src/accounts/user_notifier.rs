//! The mails that users get. Every link is built from `PUBLIC_URL`, never from a request's `Host`.

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

use super::{User, day};
use crate::config::Settings;

/// What the application is called in its mails.
const APP: &str = "MyApp";

/// What to do if it was not the reader's doing.
const RESET_PASSWORD: &str =
    "If it wasn't you, set a new password at once: \u{201c}Forgot your password?\u{201d} on the log-in page.";
const CHANGE_PASSWORD: &str = "If it wasn't you, log in, log out all other devices, and change your password.";
const RECOVER: &str = "If it was you, there is nothing to do. If it wasn't, open the link: it undoes this and what came after it, \
    logs out all devices, and lets you set a new password. A new password alone is not enough.";
// <mfa>
const REMOVE_FACTOR: &str = "If it wasn't you, remove it under \u{201c}Two-factor authentication\u{201d} in your settings, log out all \
    other devices, and change your password.";
// </mfa>
const ANSWER: &str = "If it wasn't you, answer this mail, so that we can help.";
const ASK: &str = "If it wasn't you, ask the people who run MyApp for help.";

#[derive(Clone)]
pub struct UserNotifier {
    mailer: Mailer,
    /// Where answers are read. Without it no mail asks for one.
    reply_to: Option<String>,
    public_url: Url,
    sigra: Sigra<User>,
}

/// A mail's words. The same for its text and its HTML.
struct Letter<'a> {
    subject: &'a str,
    paragraphs: Vec<String>,
    link: Option<Link>,
    /// What to do if it was not the reader's doing.
    otherwise: &'a str,
}

struct Link {
    label: &'static str,
    url: String,
    good_for: String,
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
    pub fn new(mailer: Mailer, sigra: Sigra<User>, settings: &Settings) -> Self {
        Self { mailer, reply_to: settings.mail_reply_to.clone(), public_url: settings.public_url.clone(), sigra }
    }

    pub fn mailer(&self) -> &Mailer {
        &self.mailer
    }

    pub fn confirmation_instructions(&self, user: &User, token: &EmailToken) -> Mail {
        let letter = Letter {
            subject: "Confirm your email address",
            paragraphs: vec![format!("Welcome to {APP}! Please confirm that this address is yours.")],
            link: Some(self.link("Confirm my address", "users/confirm/", token, Context::Confirm)),
            otherwise: "If you didn't register, you can ignore this mail.",
        };
        mail(&user.email, &letter)
    }

    pub fn already_registered(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "You already have an account",
            paragraphs: vec![format!(
                "Somebody wanted to use this address for an account at {APP}. You have one already: log in to it, or set \
                 a new password if you have forgotten yours."
            )],
            link: Some(Link { label: "Log in", url: self.url("users/log-in"), good_for: String::new() }),
            otherwise: "If it wasn't you, there is nothing to do: nobody has got in.",
        };
        mail(&user.email, &letter)
    }

    pub fn reset_password_instructions(&self, user: &User, token: &EmailToken) -> Mail {
        let letter = Letter {
            subject: "Set a new password",
            paragraphs: vec!["You can set a new password for your account. It logs you out everywhere.".to_owned()],
            link: Some(self.link("Set a new password", "users/reset-password/", token, Context::ResetPassword)),
            otherwise: "If you didn't ask for it, you can ignore this mail: your password stays as it is.",
        };
        mail(&user.email, &letter)
    }

    pub fn password_changed(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "Your password was changed",
            paragraphs: vec!["The password of your account was changed. All other devices were logged out.".to_owned()],
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
                "You logged in by a link, which confirmed your address. Your account was registered with a password \
                 before, maybe not by you, so that password no longer works, and all other devices were logged out. You \
                 can set a new one in your settings."
                    .to_owned(),
            ],
            link: Some(Link { label: "Settings", url: self.url("users/settings"), good_for: String::new() }),
            otherwise: "If you didn't log in by a link, somebody else reads your mail: change the password of your mailbox.",
        };
        mail(&user.email, &letter)
    }

    pub fn log_in_link(&self, user: &User, token: &EmailToken) -> Mail {
        let letter = Letter {
            subject: "Your link to log in",
            paragraphs: vec![format!("Log in to {APP} without a password.")],
            link: Some(self.link("Log in", "users/log-in/", token, Context::LogIn)),
            otherwise: "If you didn't ask for it, you can ignore this mail. Don't pass the link on.",
        };
        mail(&user.email, &letter)
    }
    // </magic_link>

    pub fn update_email_instructions(&self, new_email: &str, token: &EmailToken) -> Mail {
        let letter = Letter {
            subject: "Confirm your new email address",
            paragraphs: vec![format!("Please confirm that your account at {APP} is to have this address.")],
            link: Some(self.link("Use this address", "users/settings/confirm-email/", token, Context::ChangeEmail(""))),
            otherwise: "If you didn't ask for it, you can ignore this mail.",
        };
        mail(new_email, &letter)
    }

    pub fn email_change_requested(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "Your email address is to be changed",
            paragraphs: vec!["Somebody who is logged in to your account wants it to have another address.".to_owned()],
            link: None,
            otherwise: CHANGE_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    /// Without a link for an address that was never known to be the user's.
    pub fn email_changed(&self, user: &User, recovery: Option<&EmailToken>) -> Mail {
        let letter = Letter {
            subject: "Your email address was changed",
            paragraphs: vec!["Your account has another address now. This one is no longer used.".to_owned()],
            link: recovery.map(|token| self.recovery(token)),
            otherwise: if recovery.is_some() { RECOVER } else { self.way_to_ask() },
        };
        if recovery.is_some() { mail(&user.email, &letter) } else { self.answerable(mail(&user.email, &letter)) }
    }

    pub fn account_recovered(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "Your account is yours again",
            paragraphs: vec![
                "Your account was taken back by the link that we had sent you. It has this address and your new password, \
                 second factors that were added meanwhile were removed, and all devices were logged out."
                    .to_owned(),
            ],
            link: Some(Link { label: "Log in", url: self.url("users/log-in"), good_for: String::new() }),
            otherwise: "If it wasn't you, somebody else reads your mail: change the password of your mailbox first, and then \
                        the one of your account.",
        };
        mail(&user.email, &letter)
    }

    pub fn new_device(&self, user: &User, client: &Client) -> Mail {
        let letter = Letter {
            subject: "A new device logged in to your account",
            paragraphs: vec![format!("{}.", described(client))],
            link: Some(Link { label: "See your devices", url: self.url("users/sessions"), good_for: String::new() }),
            otherwise: "If it wasn't you, log that device out and change your password.",
        };
        mail(&user.email, &letter)
    }

    // <mfa>
    /// The first one comes with a link by which who did not add it gets the account back.
    pub fn second_factor_added(&self, user: &User, what: &str, recovery: Option<&EmailToken>) -> Mail {
        let letter = Letter {
            subject: "A second factor was added to your account",
            paragraphs: vec![format!("{what} was added. You will be asked for it when you log in.")],
            link: Some(recovery.map_or_else(|| self.mfa_settings(), |token| self.recovery(token))),
            otherwise: if recovery.is_some() { RECOVER } else { REMOVE_FACTOR },
        };
        mail(&user.email, &letter)
    }

    pub fn second_factor_removed(&self, user: &User, what: &str) -> Mail {
        let letter = Letter {
            subject: "A second factor was removed from your account",
            paragraphs: vec![format!("{what} was removed. It is no longer asked for when you log in.")],
            link: Some(self.mfa_settings()),
            otherwise: CHANGE_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    pub fn backup_codes_regenerated(&self, user: &User) -> Mail {
        let letter = Letter {
            subject: "You have new backup codes",
            paragraphs: vec![
                "New backup codes were made for your account. The old ones don't work any more.".to_owned(),
            ],
            link: Some(self.mfa_settings()),
            otherwise: CHANGE_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    pub fn backup_code_used(&self, user: &User, left: u32) -> Mail {
        let letter = Letter {
            subject: "A backup code was used",
            paragraphs: vec![format!("One of your backup codes was used for your account. You have {left} left.")],
            link: Some(self.mfa_settings()),
            otherwise: "If it wasn't you, somebody has your password and your codes: set a new password at once, and make new codes.",
        };
        mail(&user.email, &letter)
    }

    pub fn wrong_codes(&self, user: &User, client: &Client) -> Mail {
        let letter = Letter {
            subject: "Somebody may know your password",
            paragraphs: vec![format!(
                "Your password was entered with {}, and then a wrong second factor, again and again.",
                described(client)
            )],
            link: None,
            otherwise: "If it wasn't you, nobody has got in, but set a new password: \u{201c}Forgot your password?\u{201d} on the log-in page.",
        };
        mail(&user.email, &letter)
    }

    fn mfa_settings(&self) -> Link {
        Link { label: "Two-factor authentication", url: self.url("users/settings/mfa"), good_for: String::new() }
    }
    // </mfa>

    pub fn account_deleted(&self, user: &User, delete_after: Option<OffsetDateTime>) -> Mail {
        let (subject, paragraph) = match delete_after {
            Some(after) => (
                "Your account will be deleted",
                format!(
                    "Your account at {APP} will be deleted on {day}. Log in before {day} to keep your account.",
                    day = day(after)
                ),
            ),
            None => ("Your account was deleted", format!("Your account at {APP} was deleted. Goodbye!")),
        };
        let letter = Letter { subject, paragraphs: vec![paragraph], link: None, otherwise: self.way_to_ask() };
        self.answerable(mail(&user.email, &letter))
    }

    /// How to get help, where the reader can do nothing by themselves.
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
                "Your account at {APP} was to be deleted. Somebody has logged in to it with {}, so it is kept.",
                described(client)
            )],
            link: None,
            otherwise: RESET_PASSWORD,
        };
        mail(&user.email, &letter)
    }

    fn link(&self, label: &'static str, path: &str, token: &EmailToken, context: Context<'_>) -> Link {
        let good_for = self.sigra.link_ttl(context).map(in_words).unwrap_or_default();
        Link { label, url: self.url(path) + &token.encode(), good_for }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }
}

/// A time as people say it, in the largest unit that has more than one of it.
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

/// A browser and where it is: `Firefox on Linux, from 192.0.2.1`.
fn described(client: &Client) -> String {
    let device = Device::from_user_agent(client.user_agent.as_deref().unwrap_or_default());
    let from = client.ip.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
    format!("{device}, from {from}")
}

fn mail(to: &str, letter: &Letter) -> Mail {
    // The templates write into memory: there is nothing to fail.
    let text = Text { app: APP, letter }.render().unwrap_or_default();
    let html = Html { app: APP, letter }.render().unwrap_or_default();
    Mail::new(to, letter.subject, text).html(html)
}
