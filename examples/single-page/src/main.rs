//! A JSON API for a single-page frontend, which is in the folder `frontend`.
//!
//! Run `cargo run --package example-single-page`, and in `frontend` `npm install` and `npm run dev`. Then open
//! <http://localhost:5173>, and log in as `ada@example.com` with `correct horse battery staple`.
//!
//! Vite passes requests for `/api` on to this program, so the browser sees one origin. For a frontend that calls
//! `http://localhost:3000` itself, there are [`cors`] and the trusted origin.

mod database;

use std::{error::Error, net::SocketAddr};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sigra::{
    CookieSession, HashedPassword, LoginMethod, LoginOutcome, Password, Problem, RememberMe, Scope, Sigra, Verification,
};
use tokio::net::TcpListener;
use tower_http::cors::CorsLayer;

/// Where the frontend is.
const FRONTEND: &str = "http://localhost:5173";

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: i64,
    email: String,
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

#[derive(serde::Deserialize)]
struct Credentials {
    email: String,
    password: Password,
}

#[derive(serde::Serialize)]
struct Me {
    email: String,
}

async fn log_in(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    Json(sent): Json<Credentials>,
) -> sigra::Result<Response> {
    sigra.limits().check_address(&session.client())?;
    let by_email = sqlx::query_as("SELECT * FROM users WHERE email = $1").bind(&sent.email);
    let user: Option<User> = by_email.fetch_optional(sigra.pool()).await?;
    let id = user.as_ref().map(|user| user.id);
    let check = sigra.verify_password(user.as_ref(), &sent.password);
    let user = match (sigra.limits().attempt_log_in(&session, &sent.email, id.as_ref(), check).await?, user) {
        (Verification::Valid, user) => user,
        (Verification::Outdated(new), Some(user)) => {
            // Unless the password was changed in the meantime.
            let update = "UPDATE users SET hashed_password = $1 WHERE id = $2 AND hashed_password = $3 RETURNING *";
            let update = sqlx::query_as(update).bind(new).bind(user.id).bind(user.hashed_password);
            update.fetch_optional(sigra.pool()).await?
        }
        _ => None,
    };
    let Some(user) = user else {
        return Ok(Problem::new(StatusCode::UNAUTHORIZED).code("wrong_credentials").into_response());
    };
    sigra.limits().forget_logins(&session, &sent.email, &user.id).await?;
    Ok(match sigra.log_in(&session, &user, LoginMethod::Password, RememberMe::Yes).await? {
        LoginOutcome::Complete => Json(Me { email: user.email }).into_response(),
        LoginOutcome::SecondFactorPending => {
            Problem::new(StatusCode::UNAUTHORIZED).code("second_factor_required").into_response()
        }
    })
}

async fn log_out(State(sigra): State<Sigra<User>>, session: CookieSession) -> sigra::Result<StatusCode> {
    sigra.log_out(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn me(scope: Scope<User>) -> Json<Me> {
    Json(Me { email: scope.user().email.clone() })
}

/// Sends every problem as JSON, also those of the library, such as a 401 without a login.
async fn as_json(response: Response) -> Response {
    match response.extensions().get::<Problem>() {
        Some(problem) => problem.into_json_response(),
        None => response,
    }
}

/// Lets the frontend's scripts read responses. With cookies, browsers accept no `*`.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(HeaderValue::from_static(FRONTEND))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER])
        .allow_credentials(true)
}

fn app(sigra: Sigra<User>) -> Router {
    Router::new()
        .route("/api/log-in", post(log_in))
        .route("/api/log-out", post(log_out))
        .route("/api/me", get(me))
        .layer(sigra.fetch_current_scope())
        .layer(map_response(as_json))
        .layer(cors())
        .with_state(sigra)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(database::open("single-page.db").await?);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("The API is at http://localhost:3000/api, and expects the frontend at {FRONTEND}");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use sigra::testing::{TestClient, TestResponse, assert_contains, assert_problem, assert_status};

    use super::*;

    async fn api() -> (tempfile::TempDir, TestClient) {
        let folder = tempfile::tempdir().unwrap();
        let sigra = database::open(folder.path().join("api.db").to_str().unwrap()).await.unwrap();
        (folder, TestClient::new(app(sigra)).json())
    }

    fn assert_code(response: &TestResponse, status: u16, code: &str) {
        assert_problem(response, status);
        assert_contains(response, code);
    }

    async fn log_in_from(browser: &TestClient, origin: &str, site: &str, password: &str) -> TestResponse {
        let body = serde_json::json!({ "email": "ada@example.com", "password": password });
        let request = Request::post("/api/log-in").header("content-type", "application/json");
        let request = request.header("origin", origin).header("sec-fetch-site", site);
        browser.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    #[tokio::test]
    async fn the_frontend_logs_in_and_out() {
        let (_folder, browser) = api().await;
        assert_code(&browser.get("/api/me").await, 401, "authentication_required");
        assert_code(&log_in_from(&browser, FRONTEND, "same-site", "wrong").await, 401, "wrong_credentials");

        let response = log_in_from(&browser, FRONTEND, "same-site", database::PASSWORD).await;
        assert_status(&response, 200);
        assert_eq!(response.header("access-control-allow-origin"), Some(FRONTEND));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        assert_status(&browser.get("/api/me").await, 200);

        assert_status(&browser.post("/api/log-out", &[]).await, 204);
        assert_status(&browser.get("/api/me").await, 401);
    }

    #[tokio::test]
    async fn another_site_can_neither_log_in_nor_read() {
        let (_folder, browser) = api().await;
        let response = log_in_from(&browser, "https://evil.example", "cross-site", database::PASSWORD).await;
        assert_code(&response, 403, "cross_origin");
        assert_ne!(response.header("access-control-allow-origin"), Some("https://evil.example"));
        assert_status(&browser.get("/api/me").await, 401);
    }

    #[tokio::test]
    async fn a_preflight_request_allows_what_the_frontend_sends() {
        let (_folder, browser) = api().await;
        let request = Request::options("/api/log-in").header("origin", FRONTEND);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type");
        let response = browser.send(request.body(Body::empty()).unwrap()).await;
        assert_status(&response, 200);
        assert_eq!(response.header("access-control-allow-headers"), Some("content-type"));
        assert_eq!(response.header("access-control-allow-methods"), Some("GET,POST"));
    }
}
