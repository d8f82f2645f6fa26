//! Pages whose parts htmx replaces, and what it does when the session has ended.
//!
//! htmx isn't in this repository: save `dist/htmx.min.js` of the npm package `htmx.org` in this folder,
//! `examples/htmx`. Then run `cargo run --package example-htmx`, open <http://localhost:3000>, and log in as
//! `ada@example.com` with `correct horse battery staple`. Log out in another tab, and add a note in this one: htmx
//! opens the login page.

mod database;

use std::{error::Error, net::SocketAddr};

use axum::{
    Form, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use sigra::{
    CookieSession, HashedPassword, LoginMethod, LoginOutcome, Password, RememberMe, Scope, Sigra, Verification,
};
use tokio::net::TcpListener;

const HTMX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/htmx.min.js");

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: i64,
    hashed_password: Option<HashedPassword>,
}

impl sigra::AuthUser for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }
}

async fn page(_: Scope<User>) -> Html<&'static str> {
    Html(include_str!("notes.html"))
}

/// A part of the page: all notes.
async fn notes(State(sigra): State<Sigra<User>>, scope: Scope<User>) -> sigra::Result<Html<String>> {
    let all = sqlx::query_scalar("SELECT text FROM notes WHERE user_id = $1").bind(scope.user().id);
    let all: Vec<String> = all.fetch_all(sigra.pool()).await?;
    Ok(Html(all.iter().map(|text| item(text)).collect()))
}

#[derive(serde::Deserialize)]
struct Note {
    text: String,
}

/// A part of the page: the new note.
async fn add(
    State(sigra): State<Sigra<User>>,
    scope: Scope<User>,
    Form(note): Form<Note>,
) -> sigra::Result<Html<String>> {
    let insert = sqlx::query("INSERT INTO notes (text, user_id) VALUES ($1, $2)");
    insert.bind(&note.text).bind(scope.user().id).execute(sigra.pool()).await?;
    Ok(Html(item(&note.text)))
}

fn item(text: &str) -> String {
    format!("<li>{}</li>", text.replace('&', "&amp;").replace('<', "&lt;"))
}

/// Makes htmx open the login page when the session has ended.
async fn open_log_in(request: Request, next: Next) -> Response {
    let is_htmx = request.headers().contains_key("hx-request");
    let mut response = next.run(request).await;
    if is_htmx && response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert("hx-redirect", HeaderValue::from_static("/users/log-in"));
    }
    response
}

async fn htmx() -> Result<impl IntoResponse, StatusCode> {
    let script = std::fs::read(HTMX).map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(([(header::CONTENT_TYPE, "text/javascript")], script))
}

#[derive(serde::Deserialize)]
struct LogIn {
    email: String,
    password: Password,
}

async fn log_in(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    Form(form): Form<LogIn>,
) -> sigra::Result<Redirect> {
    sigra.limits().check_address(&session.client())?;
    let by_email = sqlx::query_as("SELECT * FROM users WHERE email = $1").bind(&form.email);
    let user: Option<User> = by_email.fetch_optional(sigra.pool()).await?;
    let id = user.as_ref().map(|user| user.id);
    let check = sigra.verify_password(user.as_ref(), &form.password);
    let user = match (sigra.limits().attempt_log_in(&session, &form.email, id.as_ref(), check).await?, user) {
        (Verification::Valid, user) => user,
        (Verification::Outdated(new), Some(user)) => {
            // Unless the password was changed in the meantime.
            let update = "UPDATE users SET hashed_password = $1 WHERE id = $2 AND hashed_password = $3 RETURNING *";
            let update = sqlx::query_as(update).bind(new).bind(user.id).bind(user.hashed_password);
            update.fetch_optional(sigra.pool()).await?
        }
        _ => None,
    };
    let Some(user) = user else { return Ok(Redirect::to("/users/log-in")) };
    sigra.limits().forget_logins(&session, &form.email, &user.id).await?;
    Ok(match sigra.log_in(&session, &user, LoginMethod::Password, RememberMe::No).await? {
        LoginOutcome::Complete => Redirect::to("/"),
        // This can't happen here, because users can't add a second factor.
        LoginOutcome::SecondFactorPending => Redirect::to("/users/log-in"),
    })
}

async fn log_out(State(sigra): State<Sigra<User>>, session: CookieSession) -> sigra::Result<Redirect> {
    sigra.log_out(&session).await?;
    Ok(Redirect::to("/users/log-in"))
}

fn app(sigra: Sigra<User>) -> Router {
    let parts = Router::new().route("/notes", get(notes).post(add)).route_layer(from_fn(open_log_in));
    Router::new()
        .route("/", get(page))
        .merge(parts)
        .route("/users/log-in", get(Html(include_str!("log_in.html"))).post(log_in))
        .route("/users/log-out", post(log_out))
        .route("/htmx.min.js", get(htmx))
        .layer(sigra.fetch_current_scope())
        .with_state(sigra)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(database::open("htmx.db").await?);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("Listening on http://localhost:3000");
    if !std::fs::exists(HTMX)? {
        println!("There is no htmx yet: save htmx.min.js as {HTMX}");
    }
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use sigra::testing::{TestClient, TestResponse, assert_contains, assert_redirected_to, assert_status};

    use super::*;

    /// Sends what htmx sends.
    async fn fetch(browser: &TestClient, method: &str, body: &str) -> TestResponse {
        let request = Request::builder().method(method).uri("/notes");
        let request = request.header("hx-request", "true").header("sec-fetch-mode", "cors");
        let request = request.header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        browser.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    #[tokio::test]
    async fn htmx_opens_the_login_page_when_the_session_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let sigra = database::open(folder.path().join("htmx.db").to_str().unwrap()).await.unwrap();
        let browser = TestClient::new(app(sigra));
        assert_redirected_to(&browser.get("/").await, "/users/log-in");
        browser.post("/users/log-in", &[("email", "ada@example.com"), ("password", database::PASSWORD)]).await;
        assert_contains(&browser.get("/").await, "hx-post=\"/notes\"");

        assert_contains(&fetch(&browser, "POST", "text=%3Cb%3Ebread").await, "<li>&lt;b>bread</li>");
        assert_contains(&fetch(&browser, "GET", "").await, "<li>&lt;b>bread</li>");

        browser.post("/users/log-out", &[]).await;
        let response = fetch(&browser, "POST", "text=butter").await;
        assert_status(&response, 401);
        assert_eq!(response.header("hx-redirect"), Some("/users/log-in"));
    }
}
