//! Mail, sent after the request that caused it has been answered.
//!
//! A [`Mailer`] takes a mail and returns at once. It tries again when the mail server is away, for about a
//! quarter of an hour, and says so in [`telemetry`](crate::telemetry). What is waiting is in memory, and
//! with [`Mailer::kept_in`] in the database too, encrypted: there are links in it that nobody else may read, which the
//! database has only hashes of otherwise. So it is sent although the process that was to send it has ended.
//!
//! | which mail | how it is sent |
//! |---|---|
//! | one that tells of what a transaction writes: a new password, a token | [`Mailer::send_in`]: with the commit, or not at all |
//! | one that must not show whether there is an account | [`Mailer::deliver`]: what leads to it is done after the answer |
//! | any other | [`Mailer::send`] |

pub(crate) mod address;
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
    transport::{MailError, Mailbox},
};
