//! What happens to a handler's response: its cookies are written, and caches learn who may store it.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    base::error::Failed,
    browser::cookie_session::{AnyParts, CookieSession},
    model::{scope::Clearance, user::AuthUser},
    sessions::look_up::Authenticated,
    sigra::Sigra,
    web::authenticate::settle,
};

/// Finishes the response to a request whose session was looked up, and settles what becomes of its token.
pub(crate) async fn finish_after_lookup<U: AuthUser>(
    sigra: &Sigra<U>,
    session: &CookieSession,
    Authenticated { scope, fate }: Authenticated<U>,
    response: &mut Response,
) {
    if scope.as_ref().is_some_and(|scope| scope.clearance() == Clearance::ChallengePending) {
        response.extensions_mut().insert(AtChallenge);
    }
    forget_if_failed(response, session);
    doubt_if_failed(response, &*sigra.parts);
    if !fate.is_keep() {
        Box::pin(settle(sigra, session, fate)).await;
    }
    finish(response, session, scope.is_some());
}

/// Makes the readiness probe query the database, if the response says that the database failed.
pub(crate) fn doubt_if_failed(response: &Response, parts: &dyn AnyParts) {
    if response.extensions().get::<Failed>().is_some_and(|failed| failed.by_database) {
        parts.doubt_database();
    }
}

/// In a response's extensions: the session's second factor was pending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtChallenge;

/// Discards the new entries of the cookie session if the request failed, so that no later page shows them.
pub(crate) fn forget_if_failed(response: &Response, session: &CookieSession) {
    if response.status().is_server_error() || response.extensions().get::<Failed>().is_some() {
        session.take_entries_back();
    }
}

/// Writes changed cookies, and the headers for caches.
pub(crate) fn finish(response: &mut Response, session: &CookieSession, is_authenticated: bool) {
    let changed = session.commit(response.headers_mut());
    set_cache_headers(response.headers_mut(), is_authenticated || changed || session.is_private());
}

/// Returns a response for which the handler wasn't called.
pub(crate) fn not_called(why: impl IntoResponse) -> Response {
    let mut response = why.into_response();
    set_cache_headers(response.headers_mut(), false);
    response
}

/// Tells caches that a response depends on cookies. Keeps a private one, such as one that shows a user, out of all
/// caches (OWASP ASVS 14.2.2, 14.3.2).
pub(crate) fn set_cache_headers(headers: &mut HeaderMap, is_private: bool) {
    headers.reserve(2);
    headers.append(header::VARY, HeaderValue::from_static("cookie"));
    if is_private {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}
