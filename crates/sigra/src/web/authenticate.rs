//! Whose request it is: what its token cookies stand for, and what becomes of them.

use crate::{
    base::{
        error::Error,
        telemetry,
        token::{CookieSessionId, SessionHashes, SessionToken},
    },
    browser::{
        cookie_session::{CookieSession, RememberMe, TokenWrite},
        cookies::PresentedTokens,
    },
    model::{scope::Scope, user::AuthUser},
    sessions::look_up::Lookup,
    sigra::Sigra,
};

/// Who sent the request, and what their cookies need when it is answered.
pub(crate) struct Authenticated<U: AuthUser> {
    pub scope: Option<Scope<U>>,
    pub upkeep: Upkeep,
}

impl<U: AuthUser> Authenticated<U> {
    /// One that there is nothing to look after for.
    pub fn known(scope: Scope<U>) -> Self {
        Self { scope: Some(scope), upkeep: Upkeep::None }
    }
}

impl<U: AuthUser> Clone for Authenticated<U> {
    fn clone(&self) -> Self {
        Self { scope: self.scope.clone(), upkeep: self.upkeep.clone() }
    }
}

/// What to write into the token cookies, unless the handler logs in or out meanwhile.
#[derive(Clone)]
pub(crate) enum Upkeep {
    None,
    /// Write this token: it was remembered, reissued, or is to be signed by the newest key.
    Write {
        token: SessionToken,
        remember_me: RememberMe,
    },
    /// Drop cookies that stand for nothing.
    Drop {
        dead: Vec<SessionHashes>,
        key: bool,
        remember_me: bool,
    },
}

/// The scope of a token that there is nothing to do about, if it is known.
pub(crate) fn cached<U: AuthUser>(sigra: &Sigra<U>, tokens: &PresentedTokens) -> Option<Scope<U>> {
    let _span = tracing::debug_span!("sigra.fetch_current_scope").entered();
    let key = tokens.key.only().filter(|_| !tokens.key.is_outdated() && !tokens.remember_me.is_outdated());
    key.and_then(|key| sigra.cached(&key.token.hash()))
}

#[tracing::instrument(level = "debug", name = "sigra.fetch_current_scope", skip_all)]
pub(crate) async fn authenticate<U: AuthUser>(
    sigra: &Sigra<U>,
    session: &CookieSession,
    tokens: &PresentedTokens,
    is_safe: bool,
) -> Result<Authenticated<U>, Error> {
    let PresentedTokens { key, remember_me } = tokens;
    if key.is_invalid() || (remember_me.is_invalid() && key.is_absent()) {
        // What is not ours logs nobody in, and neither does what comes beside it. It stays where it is until
        // a login writes over it, or the browser is closed: there is no row to tell whether that has happened by
        // the time this response arrives.
        tracing::info!(target: "sigra", event = telemetry::COOKIE_REJECTED);
        return Ok(anonymous(session, Upkeep::None));
    }

    // The cookie session decides, and a remembered session only where that stands for nothing.
    let in_key: Vec<Candidate<'_>> = key.valid().map(|key| (&key.token, Some(key.id))).collect();
    let is_new = |token: &&SessionToken| in_key.iter().all(|(known, _)| known.hash() != token.hash());
    let remembered = remember_me.valid().filter(is_new).map(|token| (token, None)).collect();
    let mut dead = Vec::new();
    for candidates in [in_key.clone(), remembered] {
        match look_up_all(sigra, candidates, &mut dead).await? {
            Outcome::Live { scope, reissued, token, id } => {
                session.act_under(token, id);
                let is_outdated = key.is_outdated() || remember_me.is_outdated() || id.is_none();
                let upkeep = match reissued.or_else(|| is_outdated.then(|| token.clone())) {
                    Some(token) => {
                        let remember_me = RememberMe::lasting(sigra.remember_for(scope.session()));
                        Upkeep::Write { token, remember_me }
                    }
                    None => Upkeep::None,
                };
                return Ok(Authenticated { scope: Some(scope), upkeep });
            }
            Outcome::Contradiction => {
                tracing::info!(target: "sigra", event = telemetry::COOKIE_REJECTED);
                return Ok(anonymous(session, Upkeep::None));
            }
            // Its cookies have been replaced, or are about to be.
            Outcome::Superseded => return Ok(anonymous(session, Upkeep::None)),
            Outcome::Dead => {}
        }
    }
    // A form may have been long on its way, or have waited for its body, while its browser logged out and in again. What
    // is dead then is dropped by the next page.
    if dead.is_empty() || !is_safe {
        return Ok(anonymous(session, Upkeep::None));
    }
    let (key, remember_me) = (!key.is_absent(), !remember_me.is_invalid() && !remember_me.is_absent());
    Ok(anonymous(session, Upkeep::Drop { dead, key, remember_me }))
}

fn anonymous<U: AuthUser>(session: &CookieSession, upkeep: Upkeep) -> Authenticated<U> {
    session.disown();
    Authenticated { scope: None, upkeep }
}

/// A token that came, and the cookie session that it came in, if it did.
type Candidate<'t> = (&'t SessionToken, Option<CookieSessionId>);

/// What the tokens in cookies of one name stand for together.
enum Outcome<'t, U: AuthUser> {
    Live {
        scope: Scope<U>,
        reissued: Option<SessionToken>,
        token: &'t SessionToken,
        id: Option<CookieSessionId>,
    },
    /// For several users: one of them was planted by somebody, and nobody can tell which.
    Contradiction,
    Superseded,
    Dead,
}

/// Tries each token. More than one comes if cookies of several domains have the name: an old one, say, from before the
/// cookie domain was changed.
async fn look_up_all<'t, U: AuthUser>(
    sigra: &Sigra<U>,
    candidates: Vec<Candidate<'t>>,
    dead: &mut Vec<SessionHashes>,
) -> Result<Outcome<'t, U>, Error> {
    let mut outcome: Outcome<'_, U> = Outcome::Dead;
    for (token, id) in candidates {
        sigra.ensure_purged();
        match (sigra.look_up(token).await?, &outcome) {
            (Lookup::Live { scope, .. }, Outcome::Live { scope: other, .. }) => {
                if scope.user().id() != other.user().id() {
                    return Ok(Outcome::Contradiction);
                }
            }
            (Lookup::Live { scope, reissued }, _) => outcome = Outcome::Live { scope, reissued, token, id },
            (Lookup::Superseded, Outcome::Dead) => outcome = Outcome::Superseded,
            (Lookup::Superseded, _) => {}
            (Lookup::Dead, _) => dead.push(token.hashes()),
        }
    }
    Ok(outcome)
}

/// Looks after the token cookies when the response is ready. It may have taken long, and the browser may
/// have logged in or out meanwhile: so the database is asked once more, lest this response undo that.
pub(crate) async fn settle<U: AuthUser>(sigra: &Sigra<U>, session: &CookieSession, upkeep: Upkeep) {
    if session.is_settled() {
        return;
    }
    match upkeep {
        Upkeep::None => {}
        Upkeep::Write { token, remember_me } => {
            if matches!(sigra.is_to_be_held(token.hashes()).await, Ok(true)) {
                session.write_token(TokenWrite::Set { token, remember_me });
            }
        }
        Upkeep::Drop { dead, key, remember_me } => {
            for token in dead {
                if !matches!(sigra.is_dead(token).await, Ok(true)) {
                    return;
                }
            }
            session.write_token(TokenWrite::Expire { key, remember_me });
        }
    }
}
