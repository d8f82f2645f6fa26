//! What is done to a handler's answer: its cookies are written, and caches are told who may keep it.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    base::error::Failed,
    browser::cookie_session::CookieSession,
    model::{scope::Clearance, user::AuthUser},
    sessions::look_up::Authenticated,
    sigra::Sigra,
    web::authenticate::settle,
};

/// What there is to do once a request of a known sender is answered.
pub(crate) async fn look_after<U: AuthUser>(
    sigra: &Sigra<U>,
    session: &CookieSession,
    Authenticated { scope, fate }: Authenticated<U>,
    mut response: Response,
) -> Response {
    if scope.as_ref().is_some_and(|scope| scope.clearance() == Clearance::ChallengePending) {
        response.extensions_mut().insert(AtChallenge);
    }
    forget_if_failed(&response, session);
    doubt_if_failed(&response, sigra);
    settle(sigra, session, fate).await;
    finish(response, session, scope.is_some())
}

/// Lets the readiness probe ask the database, where an answer says that it failed.
pub(crate) fn doubt_if_failed<U: AuthUser>(response: &Response, sigra: &Sigra<U>) {
    if response.extensions().get::<Failed>().is_some_and(|failed| failed.by_database) {
        sigra.parts.health.doubt();
    }
}

/// Among the extensions of a response: the second factor of its session was still to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtChallenge;

/// Lets no later page tell of what has failed.
pub(crate) fn forget_if_failed(response: &Response, session: &CookieSession) {
    if response.status().is_server_error() || response.extensions().get::<Failed>().is_some() {
        session.take_entries_back();
    }
}

/// Writes what changed in the cookies, and who may keep the page.
pub(crate) fn finish(mut response: Response, session: &CookieSession, is_authenticated: bool) -> Response {
    let changed = session.commit(response.headers_mut());
    keep_private(response.headers_mut(), is_authenticated || changed);
    response
}

/// The answer in place of a handler's.
pub(crate) fn not_asked(why: impl IntoResponse) -> Response {
    let mut response = why.into_response();
    keep_private(response.headers_mut(), false);
    response
}

/// What depends on the cookies is kept by no shared cache, and what shows a user by no cache at all
/// (OWASP ASVS 14.2.2, 14.3.2).
pub(crate) fn keep_private(headers: &mut HeaderMap, private: bool) {
    headers.append(header::VARY, HeaderValue::from_static("cookie"));
    if private && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
