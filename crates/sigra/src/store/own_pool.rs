use std::time::Duration;

use sqlx::Pool;

use crate::model::database::Dialect;

/// Connections that wait for nothing but lookups.
pub(super) const READER_CONNECTIONS: u32 = 2;

/// Connections that a [`Feed`](crate::model::feed::Feed) may keep.
const FEED_CONNECTIONS: u32 = 2;

/// How long the database may take to connect.
const PATIENCE: Duration = Duration::from_secs(2);

/// A pool of the library's own.
pub(crate) enum OwnPool<DB: Dialect> {
    /// Whoever takes a connection may keep it.
    Own(Pool<DB>),
    /// It is the host's after all: the database is private to the pool's connections.
    Borrowed(Pool<DB>),
}

impl<DB: Dialect> OwnPool<DB> {
    /// Connects as the host's pool does, hooks included.
    pub fn like(host: &Pool<DB>) -> Self {
        if DB::is_private(host) {
            return Self::Borrowed(host.clone());
        }
        let options = host.options().clone();
        let patience = options.get_acquire_timeout().min(PATIENCE);
        let options = options
            .min_connections(0)
            .max_connections(READER_CONNECTIONS + FEED_CONNECTIONS)
            .acquire_timeout(patience)
            // They are kept: one that is taken anew may have been ended by the server while it lay there.
            .test_before_acquire(true)
            .idle_timeout(None)
            .max_lifetime(None);
        Self::Own(options.connect_lazy_with((*host.connect_options()).clone()))
    }

    pub fn pool(&self) -> &Pool<DB> {
        match self {
            Self::Own(pool) | Self::Borrowed(pool) => pool,
        }
    }
}
