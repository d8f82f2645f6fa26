//! Looking up the session and the user of a token.

use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    base::{
        clock::{earlier, later},
        error::Error,
        fingerprint::Fingerprint,
        task::ToTheEnd,
        telemetry,
        token::{SessionHashes, SessionToken, TokenHash},
    },
    browser::{
        cookie_session::CookieSession,
        token_fate::{RememberMeCookie, TokenFate},
    },
    cache::scopes::Stamp,
    model::{
        scope::{Clearance, Found, Scope},
        session::{SessionId, SessionRow, Standing},
        user::AuthUser,
        window::latest,
    },
    sessions::handle::Sessions,
    sigra::{Sigra, transact},
    store,
};

/// The time after which a next token that the browser never presented counts as lost, and another is issued.
const REISSUE_RETRY: Duration = Duration::from_secs(60);

/// The user who presents a token, and what happens to the token.
#[derive(Clone)]
pub(crate) struct Authenticated<U: AuthUser> {
    /// `None` if the token authenticates no user.
    pub scope: Option<Scope<U>>,
    pub fate: TokenFate,
}

impl<U: AuthUser> Authenticated<U> {
    /// A user who keeps the token.
    pub fn known(scope: Scope<U>) -> Self {
        Self { scope: Some(scope), fate: TokenFate::Keep }
    }

    pub fn nobody(fate: TokenFate) -> Self {
        Self { scope: None, fate }
    }
}

/// What a presented token turned out to be.
pub(crate) enum LookedUp<U: AuthUser> {
    /// The token of a session.
    Live(Scope<U>, TokenFate),
    /// A token that another one has replaced, or whose session is used without its device. Its cookies stay.
    Superseded,
    /// A token without a session.
    Dead,
}

impl<U: AuthUser> Sigra<U> {
    /// Returns the scope of a session token. `None` if its session is gone or expired, or if its user is inactive or
    /// hasn't presented or set up a second factor that is required. Also `None` if the session is [bound to a
    /// device](crate::Config::device_bound), because a token alone doesn't prove that this device uses it, or if it
    /// [had to be bound](AuthUser::requires_binding) and isn't.
    ///
    /// It works without the layer [`fetch_current_scope`](Sigra::fetch_current_scope), which also starts the hourly
    /// purge: a host that serves no request through the layer must call
    /// [`purge_expired`](crate::Housekeeping::purge_expired) itself.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn fetch_session(&self, token: &SessionToken) -> Result<Option<Scope<U>>, Error> {
        let presented = self.parts.cache.fingerprints().map(|key| token.fingerprint(key));
        let scope = match presented.and_then(|presented| self.cached(presented)) {
            Some(scope) => Some(scope),
            None => {
                let (found, stamp) = self.find(token.hashes()).await?;
                let found = found.filter(|found| self.authenticates(found));
                found.map(|found| self.keep_scope(presented, found, stamp))
            }
        };
        #[cfg(feature = "device-bound")]
        let scope = scope.filter(|scope| {
            let is_overdue = || self.is_binding_overdue(scope.session(), scope.user());
            !self.is_binding_enforced() || (scope.session().binding.is_none() && !is_overdue())
        });
        Ok(scope.filter(|scope| scope.clearance() == Clearance::Full))
    }
}

impl<U: AuthUser> Sigra<U> {
    /// Returns the cached scope of what a client presented.
    pub(crate) fn cached(&self, presented: Fingerprint) -> Option<Scope<U>> {
        self.parts.cache.get(presented, self.parts.config.clock.now_ms())
    }

    /// Finds the session and user of a presented token, and does what is due: reissue the token, promote it, delete an
    /// expired session, update `last_used_at`. The scope is cached under the fingerprint, if there is one.
    pub(crate) async fn look_up(
        &self,
        session: &CookieSession,
        token: &SessionToken,
        presented: Option<Fingerprint>,
    ) -> Result<LookedUp<U>, Error> {
        let (hashes, now) = (token.hashes(), self.now());
        let (found, stamp) = self.find(hashes).await?;
        let Some(Found { mut scope, standing }) = found else {
            tracing::info!(target: "sigra", event = telemetry::TOKEN_REJECTED);
            return Ok(LookedUp::Dead);
        };
        if scope.session().is_ahead(&self.parts.config.sessions, now) {
            tracing::warn!(target: "sigra", session_id = %scope.session().id, "a session from the future was refused: check the clocks of your servers");
            return Ok(LookedUp::Dead);
        }
        if !self.is_usable(scope.session(), scope.user()) {
            tracing::info!(target: "sigra", event = telemetry::SESSION_EXPIRED, session_id = %scope.session().id);
            let sigra = self.clone();
            let deleted = async move { sigra.delete_ended(&scope).await };
            self.keep_up("could not delete an expired session", deleted).await;
            return Ok(LookedUp::Dead);
        }
        #[cfg(feature = "device-bound")]
        if self.presents_bound_cookie_first(session, scope.session()) {
            let confirmed_at = self.confirm_binding(scope.session()).await;
            confirmed_at.into_iter().for_each(|now| scope.confirm_binding(now));
        }
        // A thief without the key must not get the next token, and doesn't count as the user's activity.
        #[cfg(feature = "device-bound")]
        if !self.admits_device(session, scope.session(), scope.user()).await {
            return Ok(LookedUp::Superseded);
        }
        #[cfg(not(feature = "device-bound"))]
        let _ = session;
        let mut fate = TokenFate::Keep;
        match standing {
            Standing::Previous(Some(until)) if self.is_in_grace(until) => {}
            Standing::Previous(_) => return Ok(LookedUp::Superseded),
            Standing::Next => {
                let (sigra, next, id) = (self.clone(), hashes.token, scope.session().id);
                let promoted = async move { sigra.promote(next, id, now).await };
                self.keep_up("could not promote the next token of a session", promoted).await;
            }
            Standing::Current if scope.session().is_due_for_reissue(&self.parts.config.sessions, now) => {
                let (sigra, token, id) = (self.clone(), token.clone(), scope.session().id);
                let issued = async move { sigra.reissue(token, id, now).await };
                if let Some(token) = self.keep_up("could not reissue the token of a session", issued).await.flatten() {
                    let remember_me = RememberMeCookie::lasting(self.remember_for(scope.session()));
                    fate = TokenFate::Replace { token, remember_me };
                }
            }
            Standing::Current => {}
        }
        let is_due = scope.session().is_due_for_touch(&self.parts.config.sessions, now);
        if is_due && Box::pin(self.touch(scope.session().id, now)).await {
            scope.note_use(now);
        }
        Ok(LookedUp::Live(self.keep_scope(presented, Found { scope, standing }, stamp), fate))
    }

    /// Returns the session with an id, if the browser presents a token of it, or no token at all.
    #[cfg(feature = "device-bound")]
    pub(crate) async fn find_presented(
        &self,
        session: &CookieSession,
        id: SessionId,
    ) -> Result<Option<SessionRow>, Error> {
        if !session.has_token() {
            let found = self.find_sessions(&[id]).await?.into_iter().next();
            return Ok(found.filter(|(row, user)| self.is_usable(row, user)).map(|(row, _)| row));
        }
        for token in session.presented() {
            let found = self.parts.reader.find(token.hashes()).await?;
            if let Some(found) = found.filter(|found| found.scope.session().id == id && self.authenticates(found)) {
                return Ok(Some(found.scope.session().clone()));
            }
        }
        Ok(None)
    }

    /// Updates `last_used_at` of a session, if that is due.
    #[cfg(feature = "device-bound")]
    pub(crate) async fn note_use(&self, session: &SessionRow) {
        let now = self.now();
        if session.is_due_for_touch(&self.parts.config.sessions, now) {
            self.touch(session.id, now).await;
        }
    }

    /// Returns whether a browser should keep this token: it was not replaced, and its session is live.
    pub(crate) async fn is_to_be_held(&self, token: SessionHashes) -> Result<bool, Error> {
        let found = self.parts.reader.find(token).await?;
        let is_replaced = |found: &Found<U>| matches!(found.standing, Standing::Previous(_));
        Ok(found.is_some_and(|found| !is_replaced(&found) && self.authenticates(&found)))
    }

    /// Returns whether a token belongs to no session, not even as a replaced one, and never will.
    pub(crate) async fn is_dead(&self, token: SessionHashes) -> Result<bool, Error> {
        Ok(self.parts.reader.find(token).await?.is_none())
    }

    /// Returns those of the sessions that still exist, with their users.
    pub(crate) async fn find_sessions(&self, ids: &[SessionId]) -> Result<Vec<(SessionRow, U)>, Error> {
        let mut conn = self.parts.pool.acquire().await?;
        Ok(store::sessions::find::<U>(&mut conn, ids).await?)
    }

    /// Returns whether a session that exists can be used: it is live, and its user is active.
    fn is_usable(&self, session: &SessionRow, user: &U) -> bool {
        session.is_live(&self.parts.config.sessions, self.now()) && user.is_active()
    }

    /// Returns whether a session can be used, and requires no second factor first.
    pub(crate) fn gives_full_access(&self, session: &SessionRow, user: &U) -> bool {
        self.is_usable(session, user) && Clearance::of(user, session) == Clearance::Full
    }

    /// Queries the database. Returns the cache's stamp from before the query too.
    async fn find(&self, token: SessionHashes) -> Result<(Option<Found<U>>, Option<Stamp<U>>), Error> {
        self.parts.cache.ensure_running();
        let stamp = self.parts.cache.stamp();
        Ok((self.parts.reader.find(token).await?, stamp))
    }

    /// Returns the scope of a found session, and caches it if the token is the current one.
    fn keep_scope(&self, presented: Option<Fingerprint>, found: Found<U>, stamp: Option<Stamp<U>>) -> Scope<U> {
        if let Some(presented) = presented.filter(|_| found.standing == Standing::Current) {
            self.parts.cache.insert(presented, found.scope.clone(), stamp, &self.parts.config.sessions);
        }
        found.scope
    }

    /// Returns whether a token authenticates its user: it wasn't replaced, or only just now, and its session can be
    /// used.
    fn authenticates(&self, found: &Found<U>) -> bool {
        let is_valid = match found.standing {
            Standing::Current | Standing::Next => true,
            Standing::Previous(until) => until.is_some_and(|until| self.is_in_grace(until)),
        };
        is_valid && self.is_usable(found.scope.session(), found.scope.user())
    }

    /// Returns whether a token that was replaced because of its age is still valid.
    fn is_in_grace(&self, until: OffsetDateTime) -> bool {
        let now = self.now();
        now < until && until <= later(latest(now), self.parts.config.sessions.reissue_grace)
    }

    /// Runs an update of a session's or a token's row to its end, even if the request is dropped. Best effort: a
    /// failure is logged and must not fail the request. The next request tries again, and a read-only database can't be
    /// updated.
    pub(crate) fn keep_up<T: Send + 'static>(
        &self,
        failure: &'static str,
        upkeep: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        // Box it first: it is seldom needed, and would make the future of every request larger.
        let upkeep = ToTheEnd::new(&self.parts.abandoned, upkeep);
        async move {
            match upkeep.await {
                Ok(done) => Some(done),
                Err(error) => {
                    tracing::warn!(target: "sigra", %error, "{failure}");
                    None
                }
            }
        }
    }

    /// Deletes a session that has expired, by the clock of the database too, or whose user is inactive. The browser
    /// stays trusted. If the clock of this process is ahead, the session stays, and so do its cookies.
    async fn delete_ended(&self, scope: &Scope<U>) -> Result<(), Error> {
        let (user, session) = (scope.user(), scope.session());
        let mut conn = self.pool().acquire().await?;
        if user.is_active() && self.earliest_now(&mut conn).await? < session.expires_at(&self.parts.config.sessions) {
            return Ok(());
        }
        store::sessions::delete_by_id::<U>(&mut conn, &user.id(), session.id).await?;
        self.end_sessions(&[session.id]);
        Ok(())
    }

    async fn reissue(
        &self,
        token: SessionToken,
        id: SessionId,
        now: OffsetDateTime,
    ) -> Result<Option<SessionToken>, Error> {
        let next = token.successor()?;
        let (current, hash, not_since) = (token.hash(), next.hash(), earlier(now, REISSUE_RETRY));
        let issued = transact!(self, conn => Ok(store::sessions::issue_next_token::<U>(conn, current, hash, now, not_since).await?));
        if !issued? {
            return Ok(None);
        }
        tracing::info!(target: "sigra", event = telemetry::SESSION_REISSUED, session_id = %id);
        Ok(Some(next))
    }

    async fn promote(&self, next: TokenHash, id: SessionId, now: OffsetDateTime) -> Result<(), Error> {
        let previous_until = later(now, self.parts.config.sessions.reissue_grace);
        transact!(self, conn => Ok(store::sessions::promote_next_token::<U>(conn, next, now, previous_until).await?))?;
        self.parts.cache.forget(&id);
        Ok(())
    }

    /// Updates `last_used_at` of a session, and returns whether that succeeded. Best effort: a failure is logged and
    /// must not fail the request.
    async fn touch(&self, id: SessionId, now: OffsetDateTime) -> bool {
        let touched = async { transact!(self, conn => Ok(store::sessions::touch::<U>(conn, id, now).await?)) };
        match touched.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(target: "sigra", %error, session_id = %id, "could not update last_used_at of a session");
                false
            }
        }
    }

    /// Resolves when another process may have ended a session.
    #[cfg(feature = "live")]
    pub(crate) async fn changed(&self) {
        self.parts.cache.changed().await;
    }
}

impl<U: AuthUser> Sessions<'_, U> {
    /// Checks in the database that the session of a request still exists. Call it before work that only a logged-in
    /// user may cause, such as [hashing a password](crate::Sigra::hash_password): the session may have ended while the
    /// request waited or was sent many times over.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if it doesn't.
    pub async fn require(self, scope: &Scope<U>) -> Result<(), Error> {
        let found = self.sigra.find_sessions(&[scope.session().id]).await?;
        match found.iter().any(|(session, user)| self.sigra.gives_full_access(session, user)) {
            true => Ok(()),
            false => Err(Error::SessionEnded),
        }
    }
}
