//! What all emails to an address have in common, and the links in them.

use sigra::{EmailToken, limits::Limit, token::Context};

use super::{Accounts, User};
use crate::database::Connection;
// <languages>
use crate::languages;
// </languages>

impl Accounts {
    /// Sends an email to the account with this address, if there is one. All the work happens after the response, so that
    /// its timing doesn't reveal whether there is an account.
    ///
    /// Fails while the database can't be read or written, so that nobody waits for an email that won't come.
    pub(super) async fn deliver_to<F>(
        &self,
        email: &str,
        send: impl FnOnce(Self, User) -> F + Send + 'static,
    ) -> Result<(), sigra::Error>
    where
        F: Future<Output = Result<(), sigra::Error>> + Send,
    {
        self.sigra.check_health().await?;
        let (accounts, email) = (self.clone(), email.to_owned());
        let work = async move {
            match accounts.get_user_by_email(&email).await? {
                Some(user) => send(accounts, user).await,
                None => Ok(()),
            }
        };
        // <languages>
        let work = languages::kept(work);
        // </languages>
        self.mailer().deliver(work);
        Ok(())
    }

    /// Returns the user of a link, if it was sent to their current address.
    pub(super) async fn get_user_by_email_token(
        &self,
        token: &str,
        context: Context<'_>,
    ) -> Result<Option<User>, sigra::Error> {
        let Some(token) = EmailToken::parse(token) else { return Ok(None) };
        let sent = self.sigra.email_tokens().find(&token, context).await?;
        Ok(sent.filter(|sent| sent.to == sent.user.email).map(|sent| sent.user))
    }

    /// Counts an email of a kind to an address, and returns whether it may be sent. The count is for the address, not
    /// for the visitor, and commits with the transaction that sends the email. The visitor must not be told of a
    /// refusal: it would reveal that there is an account.
    pub(super) async fn may_mail(&self, conn: &mut Connection, kind: &str, email: &str) -> Result<bool, sigra::Error> {
        match self.sigra.limits().check_in(conn, Limit::MAIL, kind, &mailbox_of(email)).await {
            Ok(()) => Ok(true),
            Err(sigra::Error::TooManyAttempts { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Returns the address without its tag: `ada+news@example.com` is the mailbox of `ada@example.com`.
fn mailbox_of(email: &str) -> String {
    match email.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split('+').next().unwrap_or(local)),
        None => email.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_tags_share_one_mailbox() {
        assert_eq!(mailbox_of("ada+news@example.com"), "ada@example.com");
        assert_eq!(mailbox_of("ada+a+b@example.com"), mailbox_of("ada@example.com"));
        assert_ne!(mailbox_of("ada@example.com"), mailbox_of("ada@example.org"));
    }
}
