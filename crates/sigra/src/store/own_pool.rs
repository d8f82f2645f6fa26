//! The library's own connections, beside the host's pool.

use std::time::Duration;

use sqlx::{Pool, pool::PoolConnection};
use tokio::time::timeout;

use crate::model::database::Dialect;

/// The number of connections of each [`Reader`](super::reader::Reader).
pub(super) const READER_CONNECTIONS: u32 = 2;

/// The readers: of session tokens and, with the feature, of bearer tokens.
const READERS: u32 = if cfg!(feature = "api-tokens") { 2 } else { 1 };

/// The maximum number of connections of this pool that a [`Feed`](crate::model::feed::Feed) can use.
const FEED_CONNECTIONS: u32 = 1;

/// How long the database may take to connect.
const PATIENCE: Duration = Duration::from_secs(2);

/// The library's own pool.
pub(crate) enum OwnPool<DB: Dialect> {
    /// A pool whose connections the library can keep.
    Own(Pool<DB>),
    /// The host's pool, because the database is private to its connections.
    Borrowed(Pool<DB>),
}

impl<DB: Dialect> OwnPool<DB> {
    /// Connects like the host's pool, with its hooks.
    pub fn like(host: &Pool<DB>) -> Self {
        if DB::is_private(host) {
            return Self::Borrowed(host.clone());
        }
        let options = host.options().clone();
        let patience = options.get_acquire_timeout().min(PATIENCE);
        let options = options
            .min_connections(0)
            .max_connections(READERS * READER_CONNECTIONS + FEED_CONNECTIONS)
            .acquire_timeout(patience)
            // The reader keeps its connections. One that was idle in the pool could have been closed by the server.
            .test_before_acquire(true)
            .idle_timeout(None)
            .max_lifetime(None);
        Self::Own(options.connect_lazy_with((*host.connect_options()).clone()))
    }

    /// Returns a connection for looking up tokens.
    pub async fn reader(&self) -> sqlx::Result<PoolConnection<DB>> {
        let mut connection = self.pool().acquire().await?;
        if let Self::Own(_) = self {
            timeout(PATIENCE, DB::prepare_reader(&mut connection)).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        }
        Ok(connection)
    }

    pub fn pool(&self) -> &Pool<DB> {
        match self {
            Self::Own(pool) | Self::Borrowed(pool) => pool,
        }
    }
}
