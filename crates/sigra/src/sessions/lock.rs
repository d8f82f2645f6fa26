//! Locks that everything that opens or ends sessions takes first, always in the same order.

use crate::{
    base::{
        error::Error,
        token::{SessionHashes, SessionToken},
    },
    browser::cookie_session::CookieSession,
    model::{
        scope::Scope,
        session::SessionId,
        user::{AuthUser, Connection},
    },
    sessions::handle::Sessions,
    sigra::Sigra,
    store,
};

impl<U: AuthUser> Sigra<U> {
    /// Locks the user's row, as everything that opens or ends sessions does first. In another order, a login and a
    /// password reset could deadlock, and a login during the setup of a second factor could miss the new factor. Fails
    /// for a user who can't be logged in: every way to log in comes here.
    pub(crate) async fn lock_user(&self, conn: &mut Connection<U>, user: &U) -> Result<(), Error> {
        let locked = store::users::lock::<U>(conn, &user.id()).await?.filter(AuthUser::is_active);
        locked.map(drop).ok_or(Error::CredentialsChanged)
    }

    /// Locks the rows of all users whose sessions a browser presents, and of `user`.
    pub(crate) async fn lock_presented(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U,
    ) -> Result<(), Error> {
        self.lock_users_of(conn, &session.presented(), session.authenticated_session(), Some(&user.id())).await
    }

    pub(crate) async fn lock_users_of(
        &self,
        conn: &mut Connection<U>,
        tokens: &[SessionToken],
        authenticated: Option<SessionId>,
        user: Option<&U::Id>,
    ) -> Result<(), Error> {
        if tokens.is_empty() && authenticated.is_none() {
            return Ok(());
        }
        let tokens: Vec<SessionHashes> = tokens.iter().map(SessionToken::hashes).collect();
        Ok(store::users::lock_owners::<U>(conn, &tokens, authenticated, user).await?)
    }

    /// Locks the row of the user who sent the request, and returns the user as they are now.
    pub(crate) async fn lock_scope(&self, conn: &mut Connection<U>, scope: &Scope<U>) -> Result<U, Error> {
        let user = store::users::lock::<U>(conn, &scope.user().id()).await?;
        user.filter(AuthUser::is_active).ok_or(Error::SessionEnded)
    }
}

impl<U: AuthUser> Sessions<'_, U> {
    /// Locks the rows of two users until the end of the transaction, in the order of their IDs. Call it first in a
    /// transaction in which one user affects the other, such as taking over an email address: two transactions that
    /// lock the same rows in different orders can deadlock.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn lock_both_in(self, conn: &mut Connection<U>, one: &U::Id, other: &U::Id) -> Result<(), Error> {
        Ok(store::users::lock_both::<U>(conn, one, other).await?)
    }
}
