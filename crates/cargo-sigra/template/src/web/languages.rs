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
use crate::web::plain_cookies::PlainCookie;
// </pages>

// <pages>
/// The language that was chosen in this browser, for a year.
pub const COOKIE: PlainCookie = PlainCookie { name: "_my_app_language", path: "/", max_age: 365 * 24 * 60 * 60 };
// </pages>

/// In a response's extensions: the language of its text.
#[derive(Clone, Copy)]
struct Spoken(&'static Language);

// <pages>
/// What a page needs to know about the request.
struct Asked {
    /// The language of the browser.
    language: &'static Language,
    uri: Uri,
}

tokio::task_local! {
    static ASKED: Asked;
}

/// Returns the path and the query of the request, where someone who changes the language stays.
pub fn path() -> String {
    ASKED.try_with(|asked| asked.uri.path_and_query().map(ToString::to_string)).ok().flatten().unwrap_or_default()
}

/// Continues in the language of the browser, because the user logs out.
pub fn forget_user() {
    if let Ok(language) = ASKED.try_with(|asked| asked.language) {
        languages::switch_to(language);
    }
}
// </pages>

/// Runs the request in the language of the browser. If the response has a text, says in which language.
pub async fn speak(State(app_env): State<AppEnv>, request: Request, next: Next) -> Response {
    let mut response = within(None, app_env, request, next).await;
    if has_text(response.headers()) {
        let language = of_response(&response);
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("accept-language"));
        if let Ok(tag) = HeaderValue::from_str(&language.tag) {
            headers.insert(header::CONTENT_LANGUAGE, tag);
        }
    }
    response
}

/// Returns whether the response is a page or JSON.
fn has_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.starts_with("text/html") || content_type.contains("json")
}

/// Runs the request in the language of the user, if they have chosen one.
pub async fn speak_to_user(
    State(app_env): State<AppEnv>,
    scope: Result<Option<Scope<User>>, SessionRejection>,
    // <mfa>
    challenge: Result<Option<MfaChallenge<User>>, SessionRejection>,
    // </mfa>
    request: Request,
    next: Next,
) -> Response {
    let of_user = scope.ok().flatten().and_then(|scope| scope.user().language());
    // <mfa>
    let of_user = of_user.or_else(|| challenge.ok().flatten().and_then(|challenge| challenge.user().language()));
    // </mfa>
    within(of_user, app_env, request, next).await
}

/// Runs the request in the language of the user, else in that of the browser. Notes the language that it ended in, for
/// what layers around this one write, such as error pages.
async fn within(of_user: Option<&'static Language>, app_env: AppEnv, request: Request, next: Next) -> Response {
    let of_browser = of_browser(request.headers(), app_env);
    // <pages>
    let asked = Asked { language: of_browser, uri: request.uri().clone() };
    // </pages>
    let response = async {
        let mut response = next.run(request).await;
        response.extensions_mut().get_or_insert(Spoken(languages::current()));
        response
    };
    // <pages>
    let response = ASKED.scope(asked, response);
    // </pages>
    languages::within(of_user.unwrap_or(of_browser), response).await
}

/// Returns the language of a visitor.
pub fn of_browser(headers: &HeaderMap, app_env: AppEnv) -> &'static Language {
    // <!pages>
    // let _ = app_env;
    // </!pages>
    // <pages>
    if let Some(chosen) = COOKIE.read(headers, app_env).and_then(languages::find) {
        return chosen;
    }
    // </pages>
    asked_for(headers)
}

/// Returns the language of a response, to add to its text.
pub fn of_response(response: &Response) -> &'static Language {
    response.extensions().get().map_or_else(languages::current, |Spoken(language)| language)
}

/// Returns the language of a browser in which none was chosen.
pub fn asked_for(headers: &HeaderMap) -> &'static Language {
    let mut values = headers.get_all(header::ACCEPT_LANGUAGE).into_iter().filter_map(|value| value.to_str().ok());
    values.find_map(languages::accepted).unwrap_or(&languages::ENGLISH)
}
