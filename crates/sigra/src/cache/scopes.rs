use std::fmt::Display;

use quick_cache::sync::Cache;
use time::OffsetDateTime;

use crate::{
    base::token::TokenHash,
    model::{database::Dialect, feed::Feed, scope::Scope, session::Lifetimes, user::AuthUser},
};

type FeedOf<U> = <<U as AuthUser>::Database as Dialect>::Feed;

pub(crate) type Stamp<U> = <FeedOf<U> as Feed>::Stamp;

/// Scopes of requests that were, for the ones that come.
///
/// It only ever says that a token is good. Whatever else it may stand for, the database is asked; and so it
/// is whenever the [`Feed`] isn't sure that the session and the user are as they were.
pub(crate) struct ScopeCache<U: AuthUser> {
    feed: FeedOf<U>,
    scopes: Option<Cache<TokenHash, Cached<U>>>,
}

struct Cached<U: AuthUser> {
    scope: Scope<U>,
    /// When it ends by itself, or is to be looked after.
    fresh_until: OffsetDateTime,
    subject: <FeedOf<U> as Feed>::Subject,
    stamp: Stamp<U>,
}

impl<U: AuthUser> Clone for Cached<U> {
    fn clone(&self) -> Self {
        Self {
            scope: self.scope.clone(),
            fresh_until: self.fresh_until,
            subject: self.subject,
            stamp: self.stamp.clone(),
        }
    }
}

impl<U: AuthUser> ScopeCache<U> {
    pub fn new(capacity: usize, pool: sqlx::Pool<U::Database>) -> Self {
        let scopes = (capacity > 0).then(|| Cache::new(capacity));
        Self { feed: Feed::new(pool, U::TABLE), scopes }
    }

    /// The scope of a token, if it is known that a query would find the same.
    pub fn get(&self, token: &TokenHash, now: OffsetDateTime) -> Option<Scope<U>> {
        let cached = self.scopes.as_ref()?.get(token)?;
        let is_good = now < cached.fresh_until
            && cached.scope.user().is_active()
            && self.feed.is_unchanged(&cached.subject, &cached.stamp);
        is_good.then_some(cached.scope)
    }

    /// The moment before a row is read. `None` if what is read can't be kept.
    pub fn stamp(&self) -> Option<Stamp<U>> {
        self.scopes.as_ref().and_then(|_| self.feed.stamp())
    }

    /// Begins to follow the database, where that has not begun.
    pub fn ensure_running(&self) {
        if self.scopes.is_some() {
            self.feed.ensure_running();
        }
    }

    /// Keeps the scope that a current token was found to stand for.
    pub fn insert(&self, token: TokenHash, scope: Scope<U>, stamp: Option<Stamp<U>>, lifetimes: &Lifetimes) {
        if let (Some(scopes), Some(stamp)) = (&self.scopes, stamp) {
            let subject = FeedOf::<U>::subject(&scope.session().id, &scope.user().id());
            let fresh_until = scope.session().fresh_until(lifetimes);
            scopes.insert(token, Cached { scope, fresh_until, subject, stamp });
        }
    }

    /// Forgets what is kept of a session or a user, by its id.
    pub fn forget(&self, id: &dyn Display) {
        self.feed.note(id);
    }

    /// Resolves when another process may have changed something.
    #[cfg(feature = "live")]
    pub async fn changed(&self) {
        self.feed.changed().await;
    }

    #[cfg(feature = "testing")]
    pub async fn catch_up(&self) {
        self.ensure_running();
        for _ in 0..500 {
            if self.scopes.is_none() || self.stamp().is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        self.feed.catch_up().await;
    }
}
