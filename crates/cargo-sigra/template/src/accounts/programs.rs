//! Programs that users give access: the email about it. The library does the rest.

use sigra::oauth_server::NewGrant;

use super::{Accounts, Transaction, User};

impl Accounts {
    /// Emails the user about a program that gets access, when that is committed. Not about a program of your own that
    /// asks nobody.
    pub async fn tell_of_program(&self, tx: &mut Transaction, new: &NewGrant<User>) -> Result<(), sigra::Error> {
        if !new.was_asked {
            return Ok(());
        }
        self.notifier.notify_in(tx, &new.user, "program", self.notifier.program_got_access(new)).await
    }
}
