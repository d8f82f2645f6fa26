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
        Ok(sent.filter(|sent| sent.to == sent.user.email).map(|sent| sent.user).valid())
    }

    /// Counts an email of a kind to an address, and returns whether it may be sent. The count is for the address, not
    /// for the visitor, and commits with the transaction that sends the email. The visitor must not be told of a
    /// refusal: it would reveal that there is an account.
    pub(super) async fn may_mail(&self, conn: &mut Connection, kind: &str, email: &str) -> Result<bool, sigra::Error> {
        self.count_mail(conn, kind, &without_tag(email)).await
    }

    /// Like [`may_mail`](Self::may_mail), for an email to a user. A confirmed address has its own count, whatever others
    /// register with the same mailbox.
    pub(super) async fn may_mail_user(
        &self,
        conn: &mut Connection,
        kind: &str,
        user: &User,
    ) -> Result<bool, sigra::Error> {
        match user.confirmed_at {
            Some(_) => self.count_mail(conn, kind, &user.email).await,
            None => self.may_mail(conn, kind, &user.email).await,
        }
    }

    async fn count_mail(&self, conn: &mut Connection, kind: &str, counted: &str) -> Result<bool, sigra::Error> {
        match self.sigra.limits().check_in(conn, Limit::MAIL, kind, counted).await {
            Ok(()) => Ok(true),
            Err(sigra::Error::TooManyAttempts { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Returns an address with an empty tag if it has one: `ada+@example.com` for `ada+news@example.com`. Anybody can make up
/// any number of tags, so all of a mailbox count together. They don't count with the address that has none: otherwise,
/// accounts with made-up tags would keep its owner from getting a link.
fn without_tag(email: &str) -> String {
    match email.rsplit_once('@').and_then(|(local, domain)| Some((local.split_once('+')?.0, domain))) {
        Some((local, domain)) => format!("{local}+@{domain}"),
        None => email.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_tags_count_together_and_not_with_the_one_without() {
        assert_eq!(without_tag("ada+news@example.com"), without_tag("ada+a+b@example.com"));
        assert_eq!(without_tag("ada@example.com"), "ada@example.com");
        assert_ne!(without_tag("ada+news@example.com"), without_tag("ada@example.com"));
        assert_ne!(without_tag("ada+news@example.com"), without_tag("ada+news@example.org"));
    }
}
