//! Error responses: pages for people, problems in JSON (RFC 9457) for programs.

// <pages>
use askama::Template;
use axum::http::StatusCode;
// </pages>
use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};
// <pages>
use sigra::{ClientKind, Scope, session::SessionRejection};
// </pages>
use sigra::Problem;

use super::error::{detail_of, title_of};
// <languages>
use super::languages;
// </languages>
// <pages>
use super::{
    layout::{self, Layout},
    user_auth::LOGIN_PATH,
};
use crate::accounts::User;
// </pages>

const PROBLEM_JSON: &str = "application/problem+json";

/// The longest plain text that becomes the `detail` of a problem, in bytes. A longer one is left out.
const MAX_REASON: usize = 4 * 1024;

// <pages>
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    layout: Layout,
    status: u16,
    advice: String,
    /// Whether the request was a login, for which the page offers other ways.
    is_log_in: bool,
}

/// What the navigation of an error page depends on.
#[derive(Clone)]
struct NavContext {
    /// The email address of the logged-in user, or `None` for a visitor.
    email: Option<String>,
    can_register: bool,
}

/// Adds what the navigation of an error page depends on. While the database is unreachable, the page has no navigation.
pub async fn add_nav_context(
    scope: Result<Option<Scope<User>>, SessionRejection>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if is_error(&response)
        && let Ok(scope) = scope
    {
        let email = scope.map(|scope| scope.user().email.clone());
        response.extensions_mut().insert(NavContext { email, can_register: layout::can_register() });
    }
    response
}
// </pages>

/// Gives every error response a body: a page for browsers, and JSON for programs.
pub async fn error_pages(request: Request, next: Next) -> Response {
    // <pages>
    let audience = ClientKind::of(request.headers());
    let own = match audience {
        ClientKind::Program => PROBLEM_JSON,
        ClientKind::Browser => "text/html",
    };
    let is_log_in = request.uri().path().starts_with(LOGIN_PATH);
    // </pages>
    // <!pages>
    // let own = PROBLEM_JSON;
    // </!pages>
    let mut response = next.run(request).await;
    if !is_error(&response) || has_content_type(&response, own) {
        return response;
    }
    // A handler that writes JSON says more than a problem could, as the errors of OAuth do (RFC 6749 section 5.2).
    if has_own_json(&response) {
        return response;
    }
    // <api_tokens>
    // It says how a program authenticates, in JSON.
    if response.headers().contains_key(header::WWW_AUTHENTICATE) {
        return response;
    }
    // </api_tokens>
    let reason = if own == PROBLEM_JSON { reason_in(&mut response).await } else { None };
    let problem = response.extensions().get::<Problem>().copied().unwrap_or(Problem::new(response.status()));
    let write = || {
        // <pages>
        if audience == ClientKind::Browser {
            return ("text/html; charset=utf-8", render(problem, is_log_in, response.extensions().get()));
        }
        // </pages>
        (PROBLEM_JSON, problem.to_json_with(title_of(&problem), detail_of(&problem).or(reason).as_deref()))
    };
    // <languages>
    let (content_type, body) = crate::languages::with_language_sync(languages::response_language(&response), write);
    // </languages>
    // <!languages>
    // let (content_type, body) = write();
    // </!languages>
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Response::from_parts(parts, body.into())
}

/// Takes the plain text of a handler or an extractor, such as which field the JSON of a request lacks. The text of a
/// server error could reveal something, and that of a [`Problem`] only names the status.
async fn reason_in(response: &mut Response) -> Option<String> {
    let has_problem = response.extensions().get::<Problem>().is_some();
    if has_problem || !response.status().is_client_error() || !has_content_type(response, "text/plain") {
        return None;
    }
    let text = to_bytes(std::mem::take(response.body_mut()), MAX_REASON).await.ok()?;
    String::from_utf8(text.into()).ok().filter(|text| !text.is_empty())
}

fn is_error(response: &Response) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

/// Returns whether the handler rendered a body itself, such as a form with errors beside its fields.
fn has_content_type(response: &Response, own: &str) -> bool {
    content_type(response).starts_with(own)
}

/// Returns whether the body is JSON, but no problem.
fn has_own_json(response: &Response) -> bool {
    let essence = content_type(response).split(';').next().unwrap_or_default().trim();
    essence == "application/json" || (essence.ends_with("+json") && essence != PROBLEM_JSON)
}

fn content_type(response: &Response) -> &str {
    response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

// <pages>
fn render(problem: Problem, is_log_in: bool, nav: Option<&NavContext>) -> String {
    let layout = Layout {
        has_nav: nav.is_some(),
        email: nav.and_then(|nav| nav.email.clone()),
        can_register: nav.is_some_and(|nav| nav.can_register),
        ..Layout::without_session(title_for(&problem))
    };
    let page = ErrorPage { layout, status: problem.status().as_u16(), advice: advice(problem), is_log_in };
    page.render().unwrap_or_else(|_| title_for(&problem).to_owned())
}

/// The heading of an error page. HTTP's own words are for programs.
fn title_for(problem: &Problem) -> &'static str {
    match problem.status() {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            t!("We couldn't read the form")
        }
        StatusCode::UNAUTHORIZED => t!("Log in to continue"),
        StatusCode::FORBIDDEN => t!("Request refused"),
        StatusCode::NOT_FOUND => t!("Page not found"),
        StatusCode::METHOD_NOT_ALLOWED => t!("This page can't be opened"),
        StatusCode::MISDIRECTED_REQUEST => t!("For development only"),
        StatusCode::PAYLOAD_TOO_LARGE => t!("Request too large"),
        // <oauth_server>
        StatusCode::URI_TOO_LONG => t!("This link is too long"),
        // </oauth_server>
        StatusCode::TOO_MANY_REQUESTS => t!("Please wait"),
        StatusCode::SERVICE_UNAVAILABLE => t!("Temporarily unavailable"),
        status if status.is_server_error() => t!("Something went wrong"),
        _ => title_of(problem),
    }
}

/// What the user can do now.
fn advice(problem: Problem) -> String {
    detail_of(&problem).unwrap_or_else(|| advice_for(problem.status()).to_owned())
}

fn advice_for(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => t!("Go back, fill it in again and resend it."),
        StatusCode::UNAUTHORIZED => t!("You aren't logged in, or your session has expired. Log in and try again."),
        StatusCode::FORBIDDEN => {
            t!("This request didn't come from one of our own pages. Open the page on this site and try again.")
        }
        StatusCode::NOT_FOUND => t!("There is no page at this URL. Check it, or start from the home page."),
        StatusCode::MISDIRECTED_REQUEST => t!("This page is for development, and only opens at localhost."),
        StatusCode::METHOD_NOT_ALLOWED => t!("This page can't be opened in that way. Start from the home page."),
        StatusCode::PAYLOAD_TOO_LARGE => t!("You sent more data than this page accepts. Send less."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => t!("Forms must be sent as application/x-www-form-urlencoded."),
        // <oauth_server>
        StatusCode::URI_TOO_LONG => t!(
            "The program that sent you here uses a link of more than 2048 characters, which we can't return to after you log in. Log in first, then start again in the program."
        ),
        // </oauth_server>
        StatusCode::TOO_MANY_REQUESTS => t!("Too many attempts. Try again in a moment."),
        StatusCode::SERVICE_UNAVAILABLE => t!("The site is busy or restarting. Try again in a few seconds."),
        status if status.is_client_error() => t!("We couldn't understand the request."),
        _ => t!("The problem is on our side. Try again in a moment."),
    }
}
// </pages>

// <app>
#[cfg(test)]
mod tests {
    use axum::{Json, Router, http::StatusCode, middleware::from_fn, response::IntoResponse, routing::get};
    use serde_json::{Value, json};
    use sigra::testing::{TestClient, TestResponse};

    use super::*;

    /// Returns what a program gets from a handler.
    async fn program_gets(response: impl IntoResponse + Clone + Send + Sync + 'static) -> TestResponse {
        let own = Router::new().route("/", get(response)).layer(from_fn(error_pages));
        TestClient::new(own).json().get("/").await
    }

    #[tokio::test]
    async fn an_error_of_a_handler_in_json_stays_as_it_is() {
        let quota = json!({ "error": "quota", "limit": 3 });
        for status in [StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_GATEWAY] {
            let response = program_gets((status, Json(quota.clone()))).await;
            assert_eq!((response.status(), response.json::<Value>()), (status, quota.clone()));
        }
        let json_api = [(header::CONTENT_TYPE, "application/vnd.api+json; charset=utf-8")];
        let response = program_gets((StatusCode::CONFLICT, json_api, r#"{"errors":[]}"#)).await;
        assert_eq!(response.text(), r#"{"errors":[]}"#);
    }

    // <pages>
    #[tokio::test]
    async fn an_error_in_json_stays_as_it_is_for_a_browser_too() {
        let own = get((StatusCode::CONFLICT, Json(json!({ "error": "quota" }))));
        let browser = TestClient::new(Router::new().route("/", own).layer(from_fn(error_pages)));
        assert_eq!(browser.get("/").await.json::<Value>(), json!({ "error": "quota" }));
    }
    // </pages>

    #[tokio::test]
    async fn the_plain_text_of_a_client_error_becomes_the_detail_of_the_problem() {
        const TEXT: &str = "Your plan allows 3 projects";
        for status in [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::CONFLICT] {
            let response = program_gets((status, TEXT)).await;
            assert_eq!((response.status(), response.header("content-type")), (status, Some(PROBLEM_JSON)));
            assert_eq!(response.json::<Value>()["detail"], TEXT);
        }
    }

    #[tokio::test]
    async fn the_text_of_a_server_error_and_the_name_of_a_status_are_no_detail() {
        let failed = program_gets((StatusCode::INTERNAL_SERVER_ERROR, "no such table: projects")).await;
        let refused = program_gets(Problem::new(StatusCode::UNPROCESSABLE_ENTITY)).await;
        let empty = program_gets((StatusCode::CONFLICT, "")).await;
        for response in [failed, refused, empty] {
            assert_eq!(response.header("content-type"), Some(PROBLEM_JSON));
            assert_eq!(response.json::<Value>().get("detail"), None, "{}", response.text());
        }
    }
}
// </app>
