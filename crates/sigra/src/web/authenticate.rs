//! Finds the user of a request by its token cookies, and decides what happens to these.

use crate::{
    base::{
        error::Error,
        fingerprint::Fingerprint,
        telemetry,
        token::{CookieSessionId, SessionHashes, SessionToken},
    },
    browser::{
        cookie_session::CookieSession,
        presented::PresentedTokens,
        token_fate::{RememberMeCookie, TokenFate},
    },
    model::{scope::Scope, user::AuthUser},
    sessions::look_up::{Authenticated, LookedUp},
    sigra::Sigra,
};

/// Returns the cached scope of a token whose cookies need no change. If the session is bound to a device, the request
/// must have a valid bound cookie too.
pub(crate) fn cached<U: AuthUser>(sigra: &Sigra<U>, session: &CookieSession) -> Option<Scope<U>> {
    let scope = sigra.cached(session.fingerprint(sigra.parts.cache.fingerprints()?)?)?;
    #[cfg(feature = "device-bound")]
    if session.binding().renews || !sigra.admits_device_of_cached(session, &scope) {
        return None;
    }
    Some(scope)
}

#[tracing::instrument(level = "debug", name = "sigra.fetch_current_scope", skip_all)]
pub(crate) async fn authenticate<U: AuthUser>(
    sigra: &Sigra<U>,
    session: &CookieSession,
    is_safe: bool,
) -> Result<Authenticated<U>, Error> {
    #[cfg(feature = "device-bound")]
    if session.binding().renews {
        return Ok(anonymous(session, TokenFate::Keep));
    }
    let tokens = session.tokens();
    let PresentedTokens { key, remember_me } = &tokens;
    if key.is_invalid() || (remember_me.is_invalid() && key.is_absent()) {
        // A cookie with a bad signature logs nobody in, and neither does one that comes beside it. It stays until a
        // login overwrites it or the browser is closed: no row can tell whether that has happened by the time this
        // response arrives.
        tracing::info!(target: "sigra", event = telemetry::COOKIE_REJECTED);
        return Ok(anonymous(session, TokenFate::Keep));
    }

    // What is cached is never verified again, so only what needs no change is.
    let fingerprints = sigra.parts.cache.fingerprints().filter(|_| tokens.are_settled());
    let presented = fingerprints.and_then(|key| session.fingerprint(key));
    // The cookie session decides. The remember-me cookie counts only if the cookie session has no live token.
    let in_key: Vec<Candidate<'_>> = key.valid().map(|key| (&key.token, Some(key.id))).collect();
    let is_new = |token: &&SessionToken| in_key.iter().all(|(known, _)| known.hash() != token.hash());
    let remembered = remember_me.valid().filter(is_new).map(|token| (token, None)).collect();
    let is_outdated = key.is_outdated() || remember_me.is_outdated();
    let mut dead = Vec::new();
    for (candidates, presented) in [(in_key.clone(), presented), (remembered, None)] {
        let found = look_up_all(sigra, session, candidates, presented, is_outdated, &mut dead).await?;
        if let Some(authenticated) = found {
            return Ok(authenticated);
        }
    }
    // A form can take long to arrive, or wait for its body, while its browser logs out and in again. The next page
    // deletes the dead cookies.
    if dead.is_empty() || !is_safe {
        return Ok(anonymous(session, TokenFate::Keep));
    }
    let (key, remember_me) = (!key.is_absent(), !remember_me.is_invalid() && !remember_me.is_absent());
    Ok(anonymous(session, TokenFate::Expire { dead, key, remember_me }))
}

fn anonymous<U: AuthUser>(session: &CookieSession, fate: TokenFate) -> Authenticated<U> {
    session.continue_without_token();
    Authenticated::nobody(fate)
}

/// A presented token, and the cookie session it was in, if any.
type Candidate<'t> = (&'t SessionToken, Option<CookieSessionId>);

/// Tries each token in cookies of one name. There is more than one if cookies of several domains have the name, such as
/// an old one from before the cookie domain was changed. Returns `None` if all are dead.
async fn look_up_all<U: AuthUser>(
    sigra: &Sigra<U>,
    session: &CookieSession,
    candidates: Vec<Candidate<'_>>,
    presented: Option<Fingerprint>,
    is_outdated: bool,
    dead: &mut Vec<SessionHashes>,
) -> Result<Option<Authenticated<U>>, Error> {
    let mut found: Option<(Candidate<'_>, Scope<U>, TokenFate)> = None;
    let mut is_superseded = false;
    for candidate in candidates {
        sigra.ensure_purged();
        match (Box::pin(sigra.look_up(session, candidate.0, presented)).await?, &found) {
            (LookedUp::Live(scope, fate), None) => found = Some((candidate, scope, fate)),
            (LookedUp::Live(scope, _), Some((_, other, _))) if scope.user().id() != other.user().id() => {
                // One of them was planted, and there is no way to tell which.
                tracing::info!(target: "sigra", event = telemetry::COOKIE_REJECTED);
                return Ok(Some(anonymous(session, TokenFate::Keep)));
            }
            (LookedUp::Live(..), Some(_)) => {}
            (LookedUp::Superseded, _) => is_superseded = true,
            (LookedUp::Dead, _) => dead.push(candidate.0.hashes()),
        }
    }
    Ok(match found {
        Some(((token, id), scope, fate)) => {
            session.continue_under(token, id);
            let needs_fresh_cookies = fate.is_keep() && (is_outdated || id.is_none());
            let fate = if needs_fresh_cookies { in_fresh_cookies(sigra, token, &scope) } else { fate };
            Some(Authenticated { scope: Some(scope), fate })
        }
        // The cookies of a superseded token have been replaced, or soon will be.
        None => is_superseded.then(|| anonymous(session, TokenFate::Keep)),
    })
}

/// Keeps the token but writes its cookies again: it came from the remember-me cookie, or must be signed with the newest
/// key.
fn in_fresh_cookies<U: AuthUser>(sigra: &Sigra<U>, token: &SessionToken, scope: &Scope<U>) -> TokenFate {
    let remember_me = RememberMeCookie::lasting(sigra.remember_for(scope.session()));
    TokenFate::Replace { token: token.clone(), remember_me }
}

/// Decides about the token cookies when the response is ready. By then the browser may have logged in or out in another
/// request, so this queries the database again in order not to undo that.
pub(crate) async fn settle<U: AuthUser>(sigra: &Sigra<U>, session: &CookieSession, fate: TokenFate) {
    if session.is_settled() {
        return;
    }
    match &fate {
        TokenFate::Keep => return,
        TokenFate::Replace { token, .. } => {
            if !matches!(sigra.is_to_be_held(token.hashes()).await, Ok(true)) {
                return;
            }
        }
        TokenFate::Expire { dead, .. } => {
            for token in dead {
                if !matches!(sigra.is_dead(*token).await, Ok(true)) {
                    return;
                }
            }
        }
    }
    session.set_token_fate(fate);
}
