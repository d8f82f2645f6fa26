//! The language of a request: the user's, else the one that was chosen in this browser, else the first one in
//! `Accept-Language` that there is, else English.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
// <pages>
use axum::http::Uri;
// </pages>
// <mfa>
use sigra::mfa::MfaChallenge;
// </mfa>
use sigra::{Scope, session::SessionRejection};

use crate::{
    accounts::User,
    config::AppEnv,
    languages::{self, Language},
};
// <pages>
use crate::web::unsigned_cookies::UnsignedCookie;
// </pages>

// <pages>
/// The language that was chosen in this browser, for a year.
pub const COOKIE: UnsignedCookie = UnsignedCookie { name: "_my_app_language", path: "/", max_age: 365 * 24 * 60 * 60 };
// </pages>

/// In a response's extensions: the language of its body.
#[derive(Clone, Copy)]
struct ContentLanguage(&'static Language);

// <pages>
/// What pages need to know about the request.
struct RequestInfo {
    /// The language of the browser.
    language: &'static Language,
    uri: Uri,
}

tokio::task_local! {
    static REQUEST: RequestInfo;
}

/// Returns the path and query of the request, to return to after a change of language.
pub fn current_path() -> String {
    REQUEST.try_with(|request| request.uri.path_and_query().map(ToString::to_string)).ok().flatten().unwrap_or_default()
}

/// Continues in the language of the browser, after a logout.
pub fn use_language_of_browser() {
    if let Ok(language) = REQUEST.try_with(|request| request.language) {
        languages::switch_to(language);
    }
}
// </pages>

/// Runs the request in the language of the browser. Adds `Content-Language` and `Vary` to pages and JSON.
pub async fn negotiate_language(State(app_env): State<AppEnv>, request: Request, next: Next) -> Response {
    let mut response = run_in_language(None, app_env, request, next).await;
    if has_translated_body(response.headers()) {
        let language = response_language(&response);
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("accept-language"));
        if let Ok(tag) = HeaderValue::from_str(&language.tag) {
            headers.insert(header::CONTENT_LANGUAGE, tag);
        }
    }
    response
}

/// Returns whether the response is a page or JSON.
fn has_translated_body(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.starts_with("text/html") || content_type.contains("json")
}

/// Runs the request in the language of the user, if they have chosen one.
pub async fn use_language_of_user(
    State(app_env): State<AppEnv>,
    scope: Result<Option<Scope<User>>, SessionRejection>,
    // <mfa>
    challenge: Result<Option<MfaChallenge<User>>, SessionRejection>,
    // </mfa>
    request: Request,
    next: Next,
) -> Response {
    let user_language = scope.ok().flatten().and_then(|scope| scope.user().language());
    // <mfa>
    let user_language =
        user_language.or_else(|| challenge.ok().flatten().and_then(|challenge| challenge.user().language()));
    // </mfa>
    run_in_language(user_language, app_env, request, next).await
}

/// Runs the request in the language of the user, or else of the browser. Adds the language that it ended in to the
/// response, for outer layers that write a body, such as error pages.
async fn run_in_language(
    user_language: Option<&'static Language>,
    app_env: AppEnv,
    request: Request,
    next: Next,
) -> Response {
    let browser_language = browser_language(request.headers(), app_env);
    // <pages>
    let info = RequestInfo { language: browser_language, uri: request.uri().clone() };
    // </pages>
    let response = async {
        let mut response = next.run(request).await;
        response.extensions_mut().get_or_insert(ContentLanguage(languages::current()));
        response
    };
    // <pages>
    let response = REQUEST.scope(info, response);
    // </pages>
    languages::with_language(user_language.unwrap_or(browser_language), response).await
}

/// Returns the language of a visitor.
pub fn browser_language(headers: &HeaderMap, app_env: AppEnv) -> &'static Language {
    // <!pages>
    // let _ = app_env;
    // </!pages>
    // <pages>
    if let Some(chosen) = COOKIE.read(headers, app_env).and_then(languages::find) {
        return chosen;
    }
    // </pages>
    accept_language(headers)
}

/// Returns the language in which a response was written.
pub fn response_language(response: &Response) -> &'static Language {
    response.extensions().get().map_or_else(languages::current, |ContentLanguage(language)| language)
}

/// Returns the language that the header `Accept-Language` prefers.
pub fn accept_language(headers: &HeaderMap) -> &'static Language {
    let mut values = headers.get_all(header::ACCEPT_LANGUAGE).into_iter().filter_map(|value| value.to_str().ok());
    values.find_map(languages::from_accept_language).unwrap_or(&languages::ENGLISH)
}
