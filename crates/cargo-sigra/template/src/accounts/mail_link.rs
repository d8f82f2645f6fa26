//! What all mails to an address have in common, and the links in them.

use sigra::{EmailToken, limits::Limit, token::Context};

use super::{Accounts, User};
use crate::database::Connection;

impl Accounts {
    /// Sends a mail to who has an account with this address, if there is such an account. All of it happens after the
    /// answer: whether there is one takes the visitor the same time.
    ///
    /// While the database can't be asked or written to it fails, so that nobody is told of a mail that will not come.
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
        self.mailer().deliver(async move {
            match accounts.get_user_by_email(&email).await? {
                Some(user) => send(accounts, user).await,
                None => Ok(()),
            }
        });
        Ok(())
    }

    /// Whose link it is, if it was sent to the address that they have now.
    pub(super) async fn get_user_by_email_token(
        &self,
        token: &str,
        context: Context<'_>,
    ) -> Result<Option<User>, sigra::Error> {
        let Some(token) = EmailToken::parse(token) else { return Ok(None) };
        let sent = self.sigra.find_email_token(&token, context).await?;
        Ok(sent.filter(|sent| sent.to == sent.user.email).map(|sent| sent.user))
    }

    /// Whether another mail of a kind may be sent to an address, whoever asked for it. It counts with the transaction
    /// that the mail is sent in. If not, nobody is told: it would say that there is an account.
    pub(super) async fn may_mail(&self, conn: &mut Connection, kind: &str, email: &str) -> Result<bool, sigra::Error> {
        match self.sigra.limit_in(conn, Limit::MAIL, kind, &mailbox_of(email)).await {
            Ok(()) => Ok(true),
            Err(sigra::Error::TooManyAttempts { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The mailbox that an address is of: what stands behind a plus is a tag that its owner made up.
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
    fn tags_are_of_one_mailbox() {
        assert_eq!(mailbox_of("ada+news@example.com"), "ada@example.com");
        assert_eq!(mailbox_of("ada+a+b@example.com"), mailbox_of("ada@example.com"));
        assert_ne!(mailbox_of("ada@example.com"), mailbox_of("ada@example.org"));
    }
}
