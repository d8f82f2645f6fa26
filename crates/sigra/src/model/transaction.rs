//! Transactions that have follow-ups.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use tokio_util::task::TaskTracker;

use crate::{
    base::{error::Error, task::ToTheEnd},
    model::{
        database::in_time,
        user::{AuthUser, Connection},
    },
};

/// A transaction that may write, from [`Sigra::begin`](crate::Sigra::begin). It dereferences to a connection. If it is
/// dropped before it is committed, it is rolled back.
///
/// It has a list of actions for after its commit: to send an email that was [sent in
/// it](crate::mail::Mailer::send_in), and to set the new token of a session that was [renewed in
/// it](crate::Sigra::renew_session_in). If it is rolled back, none of them happens. They happen after the commit even
/// if the client disconnects while the database commits.
///
/// ```
/// # use sigra::doctest::User;
/// use sigra::{Sigra, mail::{Mail, Mailer}};
///
/// async fn upgrade(sigra: &Sigra<User>, mailer: &Mailer, user: &User) -> sigra::Result<()> {
///     let mut tx = sigra.begin().await?;
///     sqlx::query("UPDATE users SET plan = 'team' WHERE id = $1").bind(user.id).execute(&mut *tx).await?;
///     mailer.send_in(&mut tx, Mail::new(&user.email, "Your plan", "You have the team plan now.")).await?;
///     tx.commit().await
/// }
/// ```
#[must_use = "it is rolled back unless you commit it"]
pub struct Transaction<U: AuthUser> {
    database: sqlx::Transaction<'static, U::Database>,
    after_commit: Vec<Box<dyn FnOnce() + Send>>,
    /// Tracks a commit whose caller was dropped.
    abandoned: TaskTracker,
}

impl<U: AuthUser> Transaction<U> {
    pub(crate) fn new(database: sqlx::Transaction<'static, U::Database>, abandoned: TaskTracker) -> Self {
        Self { database, after_commit: Vec::new(), abandoned }
    }

    /// Commits the transaction, and runs the actions that follow. Once it has begun, it runs to its end in the
    /// background if its future is dropped, as when a client disconnects; [`Sigra::settle`](crate::Sigra::settle) waits
    /// for it.
    ///
    /// # Errors
    ///
    /// [`Error::Database`]. If the connection was lost, the transaction may have been committed nevertheless.
    pub async fn commit(self) -> Result<(), Error> {
        let Self { database, after_commit, abandoned } = self;
        let to_commit = async move {
            in_time::<U::Database, _>(Box::pin(database.commit())).await?;
            after_commit.into_iter().for_each(|follow_up| follow_up());
            Ok(())
        };
        ToTheEnd::new(&abandoned, to_commit).await
    }

    /// Rolls the transaction back, as dropping it does, and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn rollback(self) -> Result<(), Error> {
        Ok(in_time::<U::Database, _>(Box::pin(self.database.rollback())).await?)
    }

    /// Adds an action for after the commit. It may be lost, because the process can end before.
    pub(crate) fn after_commit(&mut self, follow_up: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(follow_up));
    }
}

impl<U: AuthUser> Deref for Transaction<U> {
    type Target = Connection<U>;

    fn deref(&self) -> &Connection<U> {
        &self.database
    }
}

impl<U: AuthUser> DerefMut for Transaction<U> {
    fn deref_mut(&mut self) -> &mut Connection<U> {
        &mut self.database
    }
}

/// Never shows its content.
impl<U: AuthUser> fmt::Debug for Transaction<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}
