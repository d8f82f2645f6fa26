//! Locks that all who open or end sessions take first, in one order.

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
    /// Locks the user's row, which all that opens or ends sessions does first: in another order a log-in and a reset
    /// could wait for each other, and a log-in beside an enrolment could do without the new factor.
    pub(crate) async fn lock_user(&self, conn: &mut Connection<U>, user: &U) -> Result<(), Error> {
        store::users::lock::<U>(conn, &user.id()).await?.map(drop).ok_or(Error::CredentialsChanged)
    }

    /// Locks the rows of all users whose sessions a browser presents, and of one more.
    pub(crate) async fn lock_presented(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U,
    ) -> Result<(), Error> {
        self.lock_users_of(conn, &session.presented(), session.let_in(), Some(&user.id())).await
    }

    pub(crate) async fn lock_users_of(
        &self,
        conn: &mut Connection<U>,
        tokens: &[SessionToken],
        let_in: Option<SessionId>,
        user: Option<&U::Id>,
    ) -> Result<(), Error> {
        if tokens.is_empty() && let_in.is_none() {
            return Ok(());
        }
        let tokens: Vec<SessionHashes> = tokens.iter().map(SessionToken::hashes).collect();
        Ok(store::users::lock_owners::<U>(conn, &tokens, let_in, user).await?)
    }

    /// Locks the row of who sends a request, and gives the user as they are now.
    pub(crate) async fn lock_scope(&self, conn: &mut Connection<U>, scope: &Scope<U>) -> Result<U, Error> {
        let user = store::users::lock::<U>(conn, &scope.user().id()).await?;
        user.filter(AuthUser::is_active).ok_or(Error::SessionEnded)
    }
}

impl<U: AuthUser> Sessions<'_, U> {
    /// Locks the rows of two users until the end of a transaction: for what one of them does to the other, such as taking
    /// an address over. It is to come first. Whoever locked one and then the other could wait for somebody who does it the
    /// other way round; here the order is that of their ids.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn lock_both_in(self, conn: &mut Connection<U>, one: &U::Id, other: &U::Id) -> Result<(), Error> {
        Ok(store::users::lock_both::<U>(conn, one, other).await?)
    }
}
