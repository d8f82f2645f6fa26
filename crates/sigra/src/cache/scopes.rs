use std::{fmt::Display, hash::BuildHasherDefault};

use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::{
    base::{
        clock::to_ms,
        fingerprint::{AsIs, Fingerprint, FingerprintKey},
        keys::Secrets,
    },
    model::{database::Dialect, feed::Feed, scope::Scope, session::Lifetimes, user::AuthUser},
};

#[cfg(feature = "api-tokens")]
use crate::model::bearer::Bearer;

type FeedOf<U> = <<U as AuthUser>::Database as Dialect>::Feed;

pub(crate) type Stamp<U> = <FeedOf<U> as Feed>::Stamp;

/// Caches the scopes of recent requests, by the fingerprint of what the client presented: its token cookies, byte for
/// byte, or a token, also a bearer token. What was verified once is neither verified nor hashed again.
///
/// It can only confirm that a token is valid. In every other case the database is queried, also whenever the [`Feed`]
/// isn't sure that the session and the user are unchanged.
pub(crate) struct ScopeCache<U: AuthUser> {
    feed: FeedOf<U>,
    fingerprints: FingerprintKey,
    /// `None` if caching is turned off.
    scopes: Option<Scopes<U>>,
}

type Scopes<U> = Cache<Fingerprint, Cached<U>, UnitWeighter, BuildHasherDefault<AsIs>>;

struct Cached<U: AuthUser> {
    found: Found<U>,
    /// When the session or the token expires, or its row needs an update, in milliseconds since the Unix epoch.
    fresh_until: i64,
    subject: <FeedOf<U> as Feed>::Subject,
    stamp: Stamp<U>,
}

/// What a fingerprint stands for. Those of cookies and of bearer tokens never are equal, because their tags differ.
enum Found<U: AuthUser> {
    Session(Scope<U>),
    #[cfg(feature = "api-tokens")]
    Bearer(Bearer<U>),
}

impl<U: AuthUser> Found<U> {
    fn user(&self) -> &U {
        match self {
            Self::Session(scope) => scope.user(),
            #[cfg(feature = "api-tokens")]
            Self::Bearer(bearer) => bearer.user(),
        }
    }
}

impl<U: AuthUser> Clone for Found<U> {
    fn clone(&self) -> Self {
        match self {
            Self::Session(scope) => Self::Session(scope.clone()),
            #[cfg(feature = "api-tokens")]
            Self::Bearer(bearer) => Self::Bearer(bearer.clone()),
        }
    }
}

impl<U: AuthUser> Clone for Cached<U> {
    fn clone(&self) -> Self {
        Self {
            found: self.found.clone(),
            fresh_until: self.fresh_until,
            subject: self.subject,
            stamp: self.stamp.clone(),
        }
    }
}

impl<U: AuthUser> ScopeCache<U> {
    pub fn new(capacity: usize, secrets: &Secrets, pool: sqlx::Pool<U::Database>) -> Self {
        let scopes = (capacity > 0).then(|| {
            Cache::with(
                capacity,
                capacity as u64,
                UnitWeighter,
                BuildHasherDefault::default(),
                DefaultLifecycle::default(),
            )
        });
        Self { feed: Feed::new(pool, U::TABLE), fingerprints: secrets.fingerprint_key("sigra scope cache"), scopes }
    }

    /// Returns the key of the fingerprints. `None` if caching is turned off.
    pub fn fingerprints(&self) -> Option<&FingerprintKey> {
        self.scopes.as_ref().map(|_| &self.fingerprints)
    }

    /// Returns the scope of what a client presented, if a query is known to return the same.
    pub fn get(&self, presented: Fingerprint, now_ms: i64) -> Option<Scope<U>> {
        match self.find(presented, now_ms)? {
            Found::Session(scope) => Some(scope),
            #[cfg(feature = "api-tokens")]
            Found::Bearer(_) => None,
        }
    }

    /// Returns the bearer of a presented token, if a query is known to return the same.
    #[cfg(feature = "api-tokens")]
    pub fn get_bearer(&self, presented: Fingerprint, now_ms: i64) -> Option<Bearer<U>> {
        match self.find(presented, now_ms)? {
            Found::Bearer(bearer) => Some(bearer),
            Found::Session(_) => None,
        }
    }

    fn find(&self, presented: Fingerprint, now_ms: i64) -> Option<Found<U>> {
        let cached = self.scopes.as_ref()?.get(&presented)?;
        let is_fresh = now_ms < cached.fresh_until
            && cached.found.user().is_active()
            && self.feed.is_unchanged(&cached.subject, &cached.stamp);
        is_fresh.then_some(cached.found)
    }

    /// Returns the stamp for a row that is about to be read, or `None` if it can't be cached.
    pub fn stamp(&self) -> Option<Stamp<U>> {
        self.scopes.as_ref().and_then(|_| self.feed.stamp())
    }

    /// Starts following the database, unless that is running.
    pub fn ensure_running(&self) {
        if self.scopes.is_some() {
            self.feed.ensure_running();
        }
    }

    /// Caches the scope of a current token, under the fingerprint of what it was presented in.
    pub fn insert(&self, presented: Fingerprint, scope: Scope<U>, stamp: Option<Stamp<U>>, lifetimes: &Lifetimes) {
        if let (Some(scopes), Some(stamp)) = (&self.scopes, stamp) {
            let subject = FeedOf::<U>::subject(&scope.session().id, &scope.user().id());
            let fresh_until = to_ms(scope.session().fresh_until(lifetimes));
            scopes.insert(presented, Cached { found: Found::Session(scope), fresh_until, subject, stamp });
        }
    }

    /// Caches the bearer of a valid token, under the token's fingerprint, until its row is due for an update.
    #[cfg(feature = "api-tokens")]
    pub fn insert_bearer(&self, presented: Fingerprint, bearer: Bearer<U>, stamp: Option<Stamp<U>>) {
        let row = bearer.row();
        if let (Some(scopes), Some(stamp), Some(fresh_until)) = (&self.scopes, stamp, row.fresh_until()) {
            let subject = FeedOf::<U>::subject(&row.id, &bearer.user().id());
            let fresh_until = to_ms(fresh_until);
            scopes.insert(presented, Cached { found: Found::Bearer(bearer), fresh_until, subject, stamp });
        }
    }

    /// Forgets the cached scopes of a session, a bearer token or a user, by its ID.
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
