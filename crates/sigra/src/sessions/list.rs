//! The sessions of a user.

use crate::{
    base::error::Error,
    model::{session::SessionList, user::AuthUser, window::Window},
    sessions::handle::Sessions,
    store,
};

impl<U: AuthUser> Sessions<'_, U> {
    /// Returns the user's live sessions, the most recently used first: at most 100, and [whether there are
    /// more](SessionList::has_more).
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{Scope, Sigra};
    ///
    /// async fn count_others(sigra: &Sigra<User>, scope: &Scope<User>) -> sigra::Result<usize> {
    ///     let sessions = sigra.sessions().list(&scope.user().id).await?;
    ///     Ok(sessions.iter().filter(|session| session.id != scope.session().id).count())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list(self, user: &U::Id) -> Result<SessionList, Error> {
        let (config, now) = (&self.sigra.parts.config, self.sigra.now());
        let mut conn = self.sigra.parts.pool.acquire().await?;
        let (opened, limit) = (Window::of(config.sessions.ttl, now), SessionList::MAX as i64 + 1);
        let mut sessions = store::sessions::list::<U>(&mut conn, user, opened, limit).await?;
        sessions.retain(|session| session.is_live(&config.sessions, now));
        Ok(SessionList::first_of(sessions))
    }
}
