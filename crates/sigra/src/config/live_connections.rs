//! The settings of live connections.

use std::time::Duration;

use crate::model::limit::LiveLimit;

#[derive(Clone, Debug)]
pub(crate) struct LiveSettings {
    pub limit: LiveLimit,
    /// How long they stay open while the database is unreachable.
    pub without_database: Duration,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self { limit: LiveLimit::default(), without_database: Duration::from_mins(5) }
    }
}
