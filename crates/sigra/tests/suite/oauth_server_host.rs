//! A host with an OAuth server: its routes, and what programs and browsers do at them.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{
    Form, Json, Router,
    extract::{OriginalUri, Request, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sigra::{
    Bearer, Clock, Config, CookieSession, Password, Permission, Scope, Sigra, Sudo,
    bearer::PermissionList,
    config::Argon2Params,
    mail::{Mail, Mailer},
    oauth_server::{AuthorizationError, AuthorizationServer, OauthClient, UserCode},
    scope::SudoRejection,
    testing::{TestClient, TestHost, TestResponse, assert_status},
};
use url::{Url, form_urlencoded};

use super::host::{Host, User, secret};

pub struct ReadProjects;
pub struct WriteProjects;

impl Permission for ReadProjects {
    const NAME: &'static str = "projects:read";
    const DESCRIPTION: &'static str = "See your projects";
}

impl Permission for WriteProjects {
    const NAME: &'static str = "projects:write";
    const DESCRIPTION: &'static str = "Change your projects";
}

pub const ISSUER: &str = "https://localhost";
pub const CALLBACK: &str = "http://127.0.0.1:49152/callback";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub struct ServerHost {
    pub host: Host,
    /// Sends the emails about programs that got access.
    pub mailer: Mailer,
}

impl From<Host> for ServerHost {
    fn from(host: Host) -> Self {
        Self { host, mailer: Mailer::from_url("memory:", "MyApp <hello@example.com>").expect("a mailer") }
    }
}

impl TestHost for ServerHost {
    type User = User;

    fn router(&self) -> Router {
        self.router()
    }

    fn sigra(&self) -> &Sigra<User> {
        self.sigra()
    }

    async fn register(&self, email: &str, password: &Password) -> User {
        self.host.register(email, password).await
    }
}

impl ServerHost {
    pub async fn new() -> Self {
        Self::with(|server| server, |config| config).await
    }

    pub async fn with(
        server: impl FnOnce(AuthorizationServer) -> AuthorizationServer,
        configure: impl FnOnce(Config) -> Config,
    ) -> Self {
        let server = server(settings());
        Host::with(|config| configure(configured(config, server))).await.into()
    }

    /// The same application in another process.
    pub async fn another_node(&self) -> Self {
        self.host.restart(|config| configured(config, settings())).await.into()
    }

    /// The same application on a server whose clock is an hour behind.
    pub async fn behind(&self) -> Self {
        let clock = Clock::wrong_by(time::Duration::hours(-1));
        self.host.restart(|config| configured(config, settings()).clock(clock)).await.into()
    }

    /// The same application, restarted without its clients.
    pub async fn without_clients(&self) -> Self {
        let server = AuthorizationServer::new(ISSUER);
        self.host.restart(|config| configured(config, server)).await.into()
    }

    /// The same application, restarted with a client that can have less.
    pub async fn with_less_for_the_client(&self) -> Self {
        let cli = OauthClient::new("cli", "Acme CLI").redirect_uri("http://127.0.0.1/callback");
        let server = AuthorizationServer::new(ISSUER).client(cli.permissions([ReadProjects::NAME]));
        self.host.restart(|config| configured(config, server)).await.into()
    }

    /// The same application, restarted with other settings of the server.
    pub async fn restarted(&self, server: AuthorizationServer) -> Self {
        self.host.restart(|config| configured(config, server)).await.into()
    }

    /// The same application, restarted with a newer secret key base.
    pub async fn with_newer_secret(&self) -> Self {
        let clock = self.host.clock().clone();
        let restarted = self.host.restart(|_| {
            let config = Config::new("my_app", secret("b")).older_secrets([secret("a")]).clock(clock);
            configured(config.argon2(Argon2Params::INSECURE_FOR_TESTS), settings())
        });
        restarted.await.into()
    }

    pub fn sigra(&self) -> &Sigra<User> {
        &self.host.sigra
    }

    pub fn router(&self) -> Router {
        let pages = Router::new()
            .route("/oauth/authorize", get(ask).post(answer))
            .route("/device", post(enter))
            .route("/device/decision", post(decide))
            .route("/api/read", any(async |bearer: Bearer<User, ReadProjects>| bearer.user().email.clone()))
            .route("/api/write", any(async |bearer: Bearer<User, WriteProjects>| bearer.permissions().to_string()))
            .route("/api/caller", any(async |bearer: Bearer<User>| format!("{:?}", bearer.token())))
            .route("/mcp", any(async |bearer: Bearer<User, ReadProjects>| bearer.user().email.clone()))
            .layer(self.host.sigra.fetch_current_scope());
        let mailer = self.mailer.clone();
        let token = async move |State(sigra): AppState, request: Request| token(sigra, mailer, request).await;
        let programs = Router::new()
            .route("/oauth/token", post(token).options(preflight))
            .route("/oauth/revoke", post(revoke))
            .route("/oauth/introspect", post(introspect))
            .route("/oauth/device_authorization", post(device_authorization))
            .route("/oauth/register", post(register))
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/.well-known/oauth-protected-resource", get(resource_metadata))
            .route("/.well-known/oauth-protected-resource/{*path}", get(resource_metadata));
        pages.merge(programs).with_state(self.host.sigra.clone()).merge(self.host.router())
    }

    /// A registered user, logged in with their password.
    pub async fn user(&self) -> (User, TestClient) {
        let (user, browser) = (self.host.registered_fixture().await, TestClient::new(self.router()));
        assert_status(&self.host.post_log_in(&browser, &user, false).await, StatusCode::SEE_OTHER);
        (user, browser)
    }

    /// A program on the user's computer.
    pub fn program(&self) -> TestClient {
        TestClient::new(self.router()).user_agent("acme-cli/1.0 (linux)").json()
    }

    /// Goes through the whole flow of a code, and returns the tokens.
    pub async fn log_in(&self, browser: &TestClient) -> Tokens {
        self.log_in_with(browser, &[]).await
    }

    pub async fn log_in_with(&self, browser: &TestClient, changes: &[(&str, &str)]) -> Tokens {
        let code = code_of(&approve(browser, changes).await);
        let response = self.exchange(&code, &[]).await;
        assert_status(&response, StatusCode::OK);
        Tokens::of(&response)
    }

    pub async fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> TestResponse {
        let form = changed(
            &[
                ("grant_type", "authorization_code"),
                ("client_id", "cli"),
                ("code", code),
                ("code_verifier", VERIFIER),
                ("redirect_uri", CALLBACK),
            ],
            changes,
        );
        post_form(&self.program(), "/oauth/token", &form).await
    }

    pub async fn refresh(&self, token: &str, changes: &[(&str, &str)]) -> TestResponse {
        let form = changed(&[("grant_type", "refresh_token"), ("client_id", "cli"), ("refresh_token", token)], changes);
        post_form(&self.program(), "/oauth/token", &form).await
    }

    /// Begins device authorization, and returns the program's code and the user's.
    pub async fn begin_device(&self) -> (String, String) {
        let response = self.program().post("/oauth/device_authorization", &[("client_id", "cli")]).await;
        assert_status(&response, StatusCode::OK);
        let body: Value = response.json();
        assert_eq!(body["verification_uri"], "https://localhost/device");
        (text(&body, "device_code"), text(&body, "user_code"))
    }

    pub async fn poll(&self, device_code: &str) -> TestResponse {
        let form = [("grant_type", DEVICE_CODE), ("client_id", "cli"), ("device_code", device_code)];
        self.program().post("/oauth/token", &form).await
    }

    /// Opens a route with an access token.
    pub async fn open(&self, path: &str, access: &str) -> TestResponse {
        TestClient::new(self.router()).json().bearer(access).get(path).await
    }

    /// The emails that were sent about programs.
    pub async fn mails(&self) -> Vec<Mail> {
        self.mailer.settle().await;
        self.mailer.mailbox().expect("emails are kept in memory").mails()
    }

    pub async fn count(&self, table: &'static str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(&self.host.pool).await.expect("a count")
    }
}

pub fn settings() -> AuthorizationServer {
    AuthorizationServer::new(ISSUER)
        .client(OauthClient::new("cli", "Acme CLI").redirect_uri("http://127.0.0.1/callback").device_flow(true))
        .client(OauthClient::new("other", "Other").redirect_uri("http://127.0.0.1/callback").device_flow(true))
        .client(OauthClient::new("reader", "Reader").redirect_uri(APP).permissions([ReadProjects::NAME]))
        .client(OauthClient::new("own", "Our website").redirect_uri(APP).skip_consent(true))
        .client(OauthClient::new("server", "Our server").secret(SECRET).redirect_uri(APP).skip_consent(true))
        .client(OauthClient::new("api", "Our API").secret(SECRET).introspection_for("https://api.example.com"))
        .client(OauthClient::new("gateway", "Our gateway").secret(SECRET).introspection(true))
        .client(OauthClient::new("site", "A website").secret(SECRET).redirect_uri(APP))
        .resource(MCP)
        .resource("https://api.example.com")
}

/// A resource of the server itself.
pub const MCP: &str = "https://localhost/mcp";

pub const APP: &str = "https://app.example.com/callback";

fn configured(config: Config, server: AuthorizationServer) -> Config {
    let permissions = PermissionList::new().with::<ReadProjects>().with::<WriteProjects>();
    config.permissions(permissions).oauth_server(server)
}

/// The tokens of a response.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub scope: String,
}

impl Tokens {
    pub fn of(response: &TestResponse) -> Self {
        let body: Value = response.json();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)), "{response:?}");
        assert_eq!(response.header("cache-control"), Some("no-store"));
        Self { access: text(&body, "access_token"), refresh: text(&body, "refresh_token"), scope: text(&body, "scope") }
    }
}

pub fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}")).to_owned()
}

/// The code of a protocol error.
pub fn error_of(response: &TestResponse) -> String {
    text(&response.json::<Value>(), "error")
}

#[track_caller]
pub fn assert_refused(response: &TestResponse, error: &str) {
    assert_eq!(error_of(response), error, "{response:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

pub fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

/// The path of a request for access, with some of its parameters changed, or removed by an empty value.
pub fn authorize_path(changes: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let parameters = changed(
        &[
            ("response_type", "code"),
            ("client_id", "cli"),
            ("redirect_uri", CALLBACK),
            ("scope", "projects:read projects:write"),
            ("state", "xyz"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ],
        changes,
    );
    format!("/oauth/authorize?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish())
}

fn changed(parameters: &[(&str, &str)], changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for (name, value) in changes {
        all.retain(|(known, _)| known != name);
        if !value.is_empty() {
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    all
}

async fn post_form(client: &TestClient, path: &str, form: &[(String, String)]) -> TestResponse {
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    client.post(path, &form).await
}

/// Allows a program what it asks for.
pub async fn approve(browser: &TestClient, changes: &[(&str, &str)]) -> TestResponse {
    browser.post(&authorize_path(changes), &[("decision", "allow")]).await
}

/// The answer in the URL that a browser is redirected to.
pub fn answer_in(response: &TestResponse) -> Vec<(String, String)> {
    assert_status(response, StatusCode::SEE_OTHER);
    let url = Url::parse(response.location().expect("a location")).expect("a URL");
    url.query_pairs().into_owned().collect()
}

pub fn code_of(response: &TestResponse) -> String {
    let answer = answer_in(response);
    let value = |name: &str| answer.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert_eq!(value("iss").as_deref(), Some(ISSUER));
    value("code").unwrap_or_else(|| panic!("no code in {answer:?}"))
}

/// Another IP address for each call, so that their limits don't meet.
pub fn another_address() -> std::net::SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let host = u8::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 250).unwrap_or(1);
    ([192, 0, 2, host], 443).into()
}

type AppState = State<Sigra<User>>;

fn refuse(error: AuthorizationError) -> Response {
    match error {
        AuthorizationError::Untrusted(why) => (StatusCode::BAD_REQUEST, why).into_response(),
        AuthorizationError::Redirect(url) => Redirect::to(&url).into_response(),
        AuthorizationError::Library(error) => error.into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn ask(
    State(sigra): AppState,
    session: CookieSession,
    scope: Scope<User>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let request = match sigra.oauth_server().authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error),
    };
    match sigra.oauth_server().skip_consent(&scope, &request, &session.client()).await {
        Ok(Some(url)) => return Redirect::to(&url).into_response(),
        Ok(None) => {}
        Err(error) => return error.into_response(),
    }
    let permissions: Vec<&str> = request.permissions().iter().map(|permission| permission.description).collect();
    let page = json!({
        "client": request.client().name(),
        "permissions": permissions,
        "destination": request.destination(),
        "form_action": request.form_action(),
        "resource": request.resource(),
    });
    Json(page).into_response()
}

#[derive(Deserialize)]
struct Decision {
    decision: String,
    #[serde(default)]
    user_code: String,
}

async fn answer(
    State(sigra): AppState,
    session: CookieSession,
    sudo: Result<Sudo<User>, SudoRejection>,
    OriginalUri(uri): OriginalUri,
    Form(form): Form<Decision>,
) -> Response {
    let server = sigra.oauth_server();
    let request = match server.authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error),
    };
    let url = match (form.decision.as_str(), sudo) {
        ("allow", Ok(sudo)) => server.approve(&sudo, &request, &session.client()).await,
        ("allow", Err(rejection)) => return rejection.into_response(),
        _ => server.deny(&request),
    };
    url.map_or_else(IntoResponse::into_response, |url| Redirect::to(&url).into_response())
}

#[derive(Deserialize)]
struct Entered {
    user_code: String,
}

async fn enter(State(sigra): AppState, scope: Scope<User>, Form(form): Form<Entered>) -> sigra::Result<Json<Value>> {
    let Some(code) = UserCode::parse(&form.user_code) else { return Ok(Json(Value::Null)) };
    let request = sigra.oauth_server().enter_user_code(&scope, &code).await?;
    Ok(Json(
        request.map_or(Value::Null, |request| json!({ "client": request.client.name(), "system": request.system })),
    ))
}

async fn decide(State(sigra): AppState, sudo: Sudo<User>, Form(form): Form<Decision>) -> sigra::Result<Json<bool>> {
    let Some(code) = UserCode::parse(&form.user_code) else { return Ok(Json(false)) };
    let decided = match form.decision.as_str() {
        "allow" => sigra.oauth_server().approve_device(&sudo, &code).await?,
        _ => sigra.oauth_server().deny_device(&sudo.0, &code).await?,
    };
    Ok(Json(decided.is_some()))
}

async fn token(sigra: Sigra<User>, mailer: Mailer, request: Request) -> Response {
    let server = sigra.oauth_server();
    server
        .token_with(request, move |tx, new| {
            let asked = if new.was_asked { "asked" } else { "not asked" };
            let text = format!("{}, {asked}, until {}", new.grant.device(), new.ends_at.date());
            let mail = Mail::new(&new.user.email, "A program got access", text);
            Box::pin(async move { mailer.send_in(tx, mail).await })
        })
        .await
}

async fn preflight(State(sigra): AppState) -> Response {
    sigra.oauth_server().preflight()
}

async fn revoke(State(sigra): AppState, request: Request) -> Response {
    sigra.oauth_server().revoke(request).await
}

async fn introspect(State(sigra): AppState, request: Request) -> Response {
    sigra.oauth_server().introspect(request).await
}

async fn device_authorization(State(sigra): AppState, request: Request) -> Response {
    sigra.oauth_server().device_authorization(request).await
}

async fn register(State(sigra): AppState, request: Request) -> Response {
    sigra.oauth_server().register(request).await
}

async fn metadata(State(sigra): AppState) -> sigra::Result<Response> {
    sigra.oauth_server().metadata()
}

async fn resource_metadata(State(sigra): AppState, OriginalUri(uri): OriginalUri) -> sigra::Result<Response> {
    let path = uri.path().trim_start_matches("/.well-known/oauth-protected-resource");
    let found = sigra.oauth_server().resource_metadata(path)?;
    Ok(found.unwrap_or_else(|| StatusCode::NOT_FOUND.into_response()))
}
