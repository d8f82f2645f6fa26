//! Email, sent after the response to the request that caused it.
//!
//! A [`Mailer`] accepts an email and returns at once. If the mail server is unavailable or misconfigured, it retries
//! for about 15 minutes, and reports that in [`telemetry`](crate::telemetry). Waiting emails are in memory and, with
//! [`Mailer::with_outbox`], in the database, so that they are sent even if their process ends, and are retried for a
//! day. There they are encrypted, because they contain links, and the database has only hashes of those tokens
//! otherwise.
//!
//! | email | how to send it |
//! |---|---|
//! | reports what a transaction writes, such as a new password or a token | [`Mailer::send_in`]: with the commit, or not at all |
//! | must not reveal whether an account exists | [`Mailer::defer`]: the work that leads to it runs after the response |
//! | any other | [`Mailer::send`] |

pub(crate) mod address;
mod deferred;
mod held;
#[allow(clippy::module_inception, reason = "it holds `Mail`")]
mod mail;
pub(crate) mod mailer;
pub(crate) mod message;
pub(crate) mod outbox;
pub(crate) mod transport;

pub use self::{
    address::normalize_address,
    mail::Mail,
    mailer::Mailer,
    outbox::Outbox,
    transport::{MailError, Mailbox, SmtpError},
};
