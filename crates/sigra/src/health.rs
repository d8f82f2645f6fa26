//! The health check: whether the database responds and accepts writes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use sqlx::Connection as _;

use crate::{
    base::error::Error,
    in_process::health::{GOOD_FOR, Probe},
    model::user::AuthUser,
    sigra::Sigra,
    store,
};

impl<U: AuthUser> Sigra<U> {
    /// Checks that the database responds and accepts writes, for the page that a load balancer requests. It can request
    /// it at any rate: this writes at most every 5 seconds, or when a request has failed since.
    ///
    /// A database whose disk is full, or whose primary became a standby, still responds to reads.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use axum::extract::State;
    /// use sigra::Sigra;
    ///
    /// async fn health(State(sigra): State<Sigra<User>>) -> sigra::Result<&'static str> {
    ///     sigra.check_health().await?;
    ///     Ok("ok")
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`], whose response is 503 if the failure may be temporary.
    pub async fn check_health(&self) -> Result<(), Error> {
        let requested = Instant::now();
        let health = &self.parts.health;
        let mut last = health.last.lock().await;
        if let Some(probe) = last.as_ref().filter(|probe| probe.at >= requested) {
            // Another call finished a probe while this one waited.
            return probe.outcome.clone().map_err(Error::Database);
        }
        let is_doubtful = health.is_doubtful.swap(false, Ordering::Relaxed);
        let takes_writes = last.as_ref().is_some_and(|probe| probe.outcome.is_ok() && probe.at.elapsed() < GOOD_FOR);
        let writes = is_doubtful || !takes_writes;
        let outcome = self.examine(writes).await.map_err(Arc::new);
        if writes || outcome.is_err() {
            *last = Some(Probe { at: Instant::now(), outcome: outcome.clone() });
        }
        outcome.map_err(Error::Database)
    }

    async fn examine(&self, writes: bool) -> sqlx::Result<()> {
        let mut conn = self.pool().acquire().await?;
        conn.ping().await?;
        if writes {
            store::probe::<U::Database>(&mut conn).await?;
        }
        Ok(())
    }
}
