//! An MCP server with one tool, and the OAuth server that its clients log in at. Run `cargo run --package example-mcp`,
//! and give a client for MCP the URL <http://localhost:3000/mcp>. It opens a page: log in as `ada@example.com` with
//! `correct horse battery staple`.

mod mcp;
mod oauth;

use std::{env, error::Error, net::SocketAddr};

use axum::{
    Form, Router,
    extract::State,
    response::{Html, Redirect},
    routing::{get, post},
};
use sigra::{
    Config, CookieSession, HashedPassword, LoginMethod, LoginOutcome, Password, Permission, RememberMe, SecretKeyBase,
    Sigra, Verification, bearer::PermissionList, oauth_server::AuthorizationServer,
};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use tokio::net::TcpListener;

#[derive(Clone, sqlx::FromRow)]
pub struct User {
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

pub struct ReadProjects;

impl Permission for ReadProjects {
    const NAME: &'static str = "projects:read";
    const DESCRIPTION: &'static str = "See your projects";
}

fn config(url: &str) -> sigra::Result<Config> {
    let mcp = format!("{url}/mcp");
    // Nobody has checked the programs that register themselves, so they get tokens for the MCP server only.
    let server = AuthorizationServer::new(url)
        .resource(&mcp)
        .max_registered_clients(1000)
        .registered_client_resources([&mcp])
        .registered_client_permissions([ReadProjects::NAME]);
    // Store the secret in your own application: with a new one, every restart logs everyone out.
    let config = Config::new("example", SecretKeyBase::generate()?).login_page("/log-in", "Log in first.");
    // To give a program access takes a recent login.
    let config = config.sudo_page("/log-in", "Log in again.");
    Ok(config.permissions(PermissionList::new().with::<ReadProjects>()).oauth_server(server))
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
    let Some(user) = user else { return Ok(Redirect::to("/log-in")) };
    sigra.limits().forget_logins(&session, &form.email, &user.id).await?;
    // The page that asks for access, which required the login.
    let next = session.take_return_to();
    Ok(match sigra.log_in(&session, &user, LoginMethod::Password, RememberMe::No).await? {
        LoginOutcome::Complete => Redirect::to(next.as_ref().map_or("/", |path| path.as_str())),
        // This can't happen here, because users can't add a second factor.
        LoginOutcome::SecondFactorPending => Redirect::to("/log-in"),
    })
}

fn app(sigra: Sigra<User>) -> Router {
    let pages = Router::new()
        .route("/", get(Html("<!doctype html><title>Example</title><p>You are logged in.")))
        .route("/log-in", get(Html(include_str!("log_in.html"))).post(log_in))
        .route("/oauth/authorize", get(oauth::ask).post(oauth::decide))
        .route("/mcp", post(mcp::serve))
        .layer(sigra.fetch_current_scope());
    pages.merge(oauth::endpoints()).with_state(sigra)
}

/// Opens the database file, or creates it with the tables and one user.
async fn database(file: &str, config: Config) -> Result<Sigra<User>, Box<dyn Error>> {
    let is_new = !std::fs::exists(file)?;
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    let sigra = Sigra::new(config, pool.clone())?;
    if is_new {
        let users = "CREATE TABLE users (
            id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, hashed_password TEXT
        )";
        sqlx::raw_sql(users).execute(&pool).await?;
        sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await?;
        let password = sigra.hash_password(&Password::new("correct horse battery staple")).await?;
        let ada = "INSERT INTO users (email, hashed_password) VALUES ('ada@example.com', $1)";
        sqlx::query(ada).bind(password).execute(&pool).await?;
    }
    Ok(sigra)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let file = env::var("DATABASE").unwrap_or_else(|_| "example-mcp.db".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let url = format!("http://localhost:{}", listener.local_addr()?.port());
    let app = app(database(&file, config(&url)?).await?);
    println!("Listening on {url}/mcp");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use serde_json::{Value, json};
    use sigra::testing::{TestClient, assert_redirected_to, assert_status};

    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CALLBACK: &str = "http://127.0.0.1:9/callback";

    fn json_post(path: &str, body: &Value) -> Request<Body> {
        let request =
            Request::post(path).header("content-type", "application/json").header("accept", "application/json");
        request.body(Body::from(body.to_string())).unwrap()
    }

    #[tokio::test]
    async fn a_client_registers_logs_in_and_calls_a_tool_that_knows_the_user() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("example.db");
        let sigra = database(file.to_str().unwrap(), config("http://localhost:3000").unwrap()).await.unwrap();
        let (client, browser) = (TestClient::new(app(sigra.clone())).json(), TestClient::new(app(sigra.clone())));
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "list_projects" } });
        let refused = client.send(json_post("/mcp", &list)).await;
        assert_status(&refused, 401);
        let metadata = "http://localhost:3000/.well-known/oauth-protected-resource/mcp";
        assert!(refused.header("www-authenticate").unwrap().contains(metadata));

        let registration = json!({ "client_name": "Agent", "redirect_uris": [CALLBACK] });
        let registered: Value = client.send(json_post("/oauth/register", &registration)).await.json();
        let id = registered["client_id"].as_str().unwrap();
        let path = format!(
            "/oauth/authorize?response_type=code&client_id={id}&redirect_uri={CALLBACK}&code_challenge={CHALLENGE}\
             &code_challenge_method=S256&resource=http://localhost:3000/mcp"
        );
        assert_redirected_to(&browser.get(&path).await, "/log-in");
        let form = [("email", "ada@example.com"), ("password", "correct horse battery staple")];
        assert_redirected_to(&browser.post("/log-in", &form).await, &path);
        let page = browser.get(&path).await.text();
        assert!(page.contains("<b>Agent</b>") && page.contains("limited to http://localhost:3000/mcp"), "{page}");
        let allowed = browser.post(&path, &[("decision", "allow")]).await;
        let code = allowed.location().unwrap().split(['=', '&']).nth(1).unwrap().to_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", id),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ];
        let tokens: Value = client.post("/oauth/token", &form).await.json();
        let agent = TestClient::new(app(sigra)).json().bearer(tokens["access_token"].as_str().unwrap());
        let called: Value = agent.send(json_post("/mcp", &list)).await.json();
        assert_eq!(called["result"]["content"][0]["text"], "The projects of ada@example.com: Difference Engine");
    }
}
