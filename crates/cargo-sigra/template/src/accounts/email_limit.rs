//! How many emails an address gets. Somebody else may have registered an address that was never confirmed, so whatever
//! happens to that account must not flood the address's owner.

use sigra::{limits::Limit, mail::Mail};

use super::{context::Transaction, user::User, user_notifier::UserNotifier};
use crate::database::Connection;

impl UserNotifier {
    /// Tells a user what happened to their account. A confirmed user gets every such email: a thief must not be able to
    /// use up those that would warn them. An address that was never confirmed gets as many of a kind as
    /// [`may_mail`](Self::may_mail) allows.
    pub(super) async fn notify_in(
        &self,
        tx: &mut Transaction,
        user: &User,
        kind: &str,
        mail: Mail,
    ) -> Result<(), sigra::Error> {
        if user.confirmed_at.is_none() && !self.may_mail(tx, kind, &user.email).await? {
            return Ok(());
        }
        self.mailer().send_in(tx, mail).await
    }

    /// Counts an email of a kind to an address, and returns whether it may be sent. The count is for the address, not
    /// for the visitor, and commits with the transaction that sends the email. The visitor must not learn of
    /// a refusal, which would reveal that there is an account.
    pub(super) async fn may_mail(&self, conn: &mut Connection, kind: &str, email: &str) -> Result<bool, sigra::Error> {
        self.count_mail(conn, kind, &without_tag(email)).await
    }

    /// Like [`may_mail`](Self::may_mail), for an email to a user. A confirmed address has its own count, whatever
    /// others register with the same mailbox.
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

/// Returns an address with an empty tag if it has one: `ada+@example.com` for `ada+news@example.com`. Anybody can make
/// up any number of tags, so all of a mailbox count together. They don't count with the address that has none:
/// otherwise, accounts with made-up tags would keep its owner from getting a link.
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
