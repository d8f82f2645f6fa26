//! Programs that users give access: the email about it. The library does the rest.

use sigra::oauth_server::NewGrant;

use super::{Accounts, Transaction, User};

impl Accounts {
    /// Emails the user about a program that gets access, when the transaction commits. Sends none if the user wasn't
    /// asked, as for a program of your own.
    pub async fn notify_program_access(&self, tx: &mut Transaction, new: &NewGrant<User>) -> Result<(), sigra::Error> {
        if !new.was_asked {
            return Ok(());
        }
        self.notifier.notify_in(tx, &new.user, "program", self.notifier.program_got_access(new)).await
    }
}
