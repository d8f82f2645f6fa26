//! What all links in emails have in common.

use sigra::{EmailToken, token::Context};

use super::{Accounts, User};
// <languages>
use crate::languages;
// </languages>

impl Accounts {
    /// Sends an email to the account with this address, if there is one. All the work happens after the response, so
    /// that its timing doesn't reveal whether there is an account.
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
        let work = languages::with_current_language(work);
        // </languages>
        self.mailer().defer(work);
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
}
