//! The sessions of a user.

use crate::{
    base::error::Error,
    model::{session::Sessions, user::AuthUser, window::Window},
    sigra::Sigra,
    store::Store as _,
};

impl<U: AuthUser> Sigra<U> {
    /// The user's sessions that can still be used, the last used first: at most a hundred, and
    /// [whether there are more](Sessions::has_more).
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list_sessions(&self, user: &U::Id) -> Result<Sessions, Error> {
        let (config, now) = (&self.parts.config, self.now());
        let mut conn = self.parts.pool.acquire().await?;
        let (opened, limit) = (Window::of(config.sessions.ttl, now), Sessions::MOST as i64 + 1);
        let mut sessions = U::Database::list_sessions(&mut conn, user, opened, limit).await?;
        sessions.retain(|session| session.is_live(&config.sessions, now));
        Ok(Sessions::first_of(sessions))
    }
}
