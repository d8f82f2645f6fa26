use std::panic::Location;

use crate::{
    base::token::EmailToken,
    mail::{Mail, mailer::Mailer},
};

/// Asserts that an email with this subject was sent to this address. Returns the newest one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sigra::mail::MailError> {
/// use sigra::{mail::{Mail, Mailer}, testing::assert_email_sent};
///
/// let mailer = Mailer::from_url("memory:", "MyApp <hello@example.com>")?;
/// mailer.send(Mail::new("ada@example.com", "Welcome", "Hello Ada"));
/// assert_eq!(assert_email_sent(&mailer, "ada@example.com", "Welcome").await.text, "Hello Ada");
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// If none was sent: the message lists those that were. If the mailer doesn't keep emails in memory.
#[track_caller]
pub fn assert_email_sent(mailer: &Mailer, to: &str, subject: &str) -> impl Future<Output = Mail> + Send {
    let asserted_at = Location::caller();
    async move {
        let mails = sent(mailer).await;
        let found = mails.iter().rev().find(|mail| mail.to == to && mail.subject == subject);
        let others: Vec<(&str, &str)> = mails.iter().map(|mail| (&*mail.to, &*mail.subject)).collect();
        match found {
            Some(mail) => mail.clone(),
            None => panic!("{asserted_at}: no email `{subject}` was sent to {to}; sent emails: {others:?}"),
        }
    }
}

/// Asserts that no email was sent to this address.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sigra::mail::MailError> {
/// use sigra::{mail::Mailer, testing::assert_no_email_sent};
///
/// let mailer = Mailer::from_url("memory:", "MyApp <hello@example.com>")?;
/// assert_no_email_sent(&mailer, "nobody@example.com").await;
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// If one was sent. If the mailer doesn't keep emails in memory.
#[track_caller]
pub fn assert_no_email_sent(mailer: &Mailer, to: &str) -> impl Future<Output = ()> + Send {
    let asserted_at = Location::caller();
    async move {
        if let Some(mail) = sent(mailer).await.iter().find(|mail| mail.to == to) {
            panic!("{asserted_at}: the email `{}` was sent to {to}", mail.subject);
        }
    }
}

/// Returns the token in the link of an email.
///
/// ```
/// use sigra::{EmailToken, mail::Mail, testing::extract_token};
///
/// let token = EmailToken::generate()?;
/// let link = format!("https://app.example.com/users/confirm/{}", *token.encode());
/// let mail = Mail::new("ada@example.com", "Confirm", format!("Open this:\n{link}\n"));
/// assert_eq!(EmailToken::parse(&extract_token(&mail)).map(|token| token.hash()), Some(token.hash()));
/// # Ok::<(), sigra::Error>(())
/// ```
///
/// # Panics
///
/// If the email has no link with a token.
#[must_use]
#[track_caller]
pub fn extract_token(mail: &Mail) -> String {
    let links = mail.text.split_whitespace().filter(|word| word.starts_with("http"));
    let mut tokens =
        links.filter_map(|link| link.rsplit('/').next()).filter(|token| EmailToken::parse(token).is_some());
    match tokens.next() {
        Some(token) => token.to_owned(),
        None => panic!("the email `{}` has no link with a token", mail.subject),
    }
}

async fn sent(mailer: &Mailer) -> Vec<Mail> {
    mailer.settle().await;
    mailer.mailbox().expect("a mailer that keeps emails in memory: use `memory:` as its URL in tests").mails()
}
