//! A host with providers: its routes, and what a browser does at them.

use axum::{
    Form, Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use sigra::{
    Checked, Client, CookieSession, LoginOutcome, RememberMe, Scope, Sigra, Sudo,
    oauth::{
        AddressOwner, Callback, Decision, FlowError, FlowOutcome, FlowPurpose, Linked, ProviderIdentity, Providers,
    },
    testing::{TestClient, TestHost, TestProvider, TestResponse, assert_status},
};
use uuid::Uuid;

use super::host::{Host, User};

/// The nickname of a user who never confirmed their email address.
pub const UNCONFIRMED: &str = "unconfirmed";

/// A host with two providers, `corp` and `rival`. Both are trusted to verify email addresses.
pub struct OauthHost {
    pub host: Host,
    pub corp: TestProvider,
    pub rival: TestProvider,
    providers: Providers,
}

impl OauthHost {
    pub async fn new() -> Self {
        Self::with(|config| config.login_providers(["corp", "rival"])).await
    }

    pub async fn with(configure: impl FnOnce(sigra::Config) -> sigra::Config) -> Self {
        let host = Host::with(configure).await;
        let clock = host.clock().clone();
        let corp = TestProvider::start().await.clock(clock.clone());
        let rival = TestProvider::start().await.clock(clock.clone());
        let providers =
            [corp.oidc("corp").trust_verified_emails().keep_tokens(), rival.oidc("rival").trust_verified_emails()];
        let providers = Providers::new(providers).expect("valid settings").clock(clock);
        Self { host, corp, rival, providers }
    }

    pub fn sigra(&self) -> &Sigra<User> {
        &self.host.sigra
    }

    pub fn router(&self) -> Router {
        let app = App { sigra: self.host.sigra.clone(), providers: self.providers.clone() };
        Router::new()
            .route("/auth/{provider}", post(log_in))
            .route("/auth/{provider}/link", post(link))
            .route("/auth/{provider}/sudo", post(sudo))
            .route("/auth/{provider}/callback", get(callback))
            .route("/pending", get(pending))
            .route("/pending/link", post(link_pending))
            .route("/identities", get(list))
            .route("/identities/{id}/unlink", post(unlink))
            .layer(self.host.sigra.fetch_current_scope())
            .with_state(app)
            .merge(self.host.router())
    }

    pub fn client(&self) -> TestClient {
        TestClient::new(self.router())
    }

    /// A registered user, logged in with their password.
    pub async fn user(&self) -> (User, TestClient) {
        let (user, browser) = (self.host.registered_fixture().await, self.client());
        assert_status(&self.host.post_log_in(&browser, &user, false).await, StatusCode::SEE_OTHER);
        (user, browser)
    }

    /// Visits a provider, and returns the path that it sends the browser back to.
    pub async fn visit(&self, browser: &TestClient, path: &str) -> String {
        let begun = browser.post(path, &[]).await;
        assert_status(&begun, StatusCode::SEE_OTHER);
        let url = begun.location().expect("the provider's URL");
        let provider = if url.starts_with(self.corp.issuer()) { &self.corp } else { &self.rival };
        provider.approve(url).path_and_query()
    }

    /// Visits a provider and comes back.
    pub async fn log_in(&self, browser: &TestClient, path: &str) -> TestResponse {
        let back = self.visit(browser, path).await;
        browser.get(&back).await
    }

    pub async fn count(&self, table: &'static str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(&self.host.pool).await.expect("a count")
    }

    /// Links an identity to a user, without a browser.
    pub async fn link(&self, user: &User, provider: &str, subject: &str) {
        let issuer = if provider == "corp" { self.corp.issuer() } else { self.rival.issuer() };
        let identity = ProviderIdentity::new(provider, issuer, subject);
        let mut tx = self.sigra().begin().await.unwrap();
        let linked = self.sigra().identities().insert_in(&mut tx, &user.id, &identity, &Client::default()).await;
        assert_eq!(linked.unwrap(), Linked::Now);
        tx.commit().await.unwrap();
    }

    pub async fn remove_password(&self, user: &User) {
        let remove = sqlx::query("UPDATE users SET hashed_password = NULL WHERE id = $1").bind(user.id);
        remove.execute(&self.host.pool).await.unwrap();
        self.sigra().catch_up().await;
    }

    pub async fn mark_unconfirmed(&self, user: &User) {
        let mark = sqlx::query("UPDATE users SET nickname = $1 WHERE id = $2").bind(UNCONFIRMED).bind(user.id);
        mark.execute(&self.host.pool).await.unwrap();
        self.sigra().catch_up().await;
    }
}

#[derive(Clone)]
struct App {
    sigra: Sigra<User>,
    providers: Providers,
}

fn redirect_uri(provider: &str) -> String {
    format!("https://localhost/auth/{provider}/callback")
}

#[derive(Deserialize, Default)]
struct LogIn {
    #[serde(default)]
    remember_me: RememberMe,
}

async fn log_in(
    State(app): State<App>,
    session: CookieSession,
    Path(provider): Path<String>,
    Form(form): Form<LogIn>,
) -> Response {
    begin(&app, &session, &provider, FlowPurpose::LogIn(form.remember_me)).await
}

async fn link(
    State(app): State<App>,
    session: CookieSession,
    user: Sudo<User>,
    Path(provider): Path<String>,
) -> Response {
    begin(&app, &session, &provider, FlowPurpose::Link(&user)).await
}

async fn sudo(
    State(app): State<App>,
    session: CookieSession,
    scope: Scope<User>,
    Path(provider): Path<String>,
) -> Response {
    begin(&app, &session, &provider, FlowPurpose::Reauthenticate(&scope)).await
}

async fn begin(app: &App, session: &CookieSession, provider: &str, purpose: FlowPurpose<'_, User>) -> Response {
    let uri = redirect_uri(provider);
    match app.sigra.oauth_flows().begin(session, &app.providers, provider, &uri, purpose).await {
        Ok(url) => Redirect::to(&url).into_response(),
        Err(error) => failed(error),
    }
}

fn failed(error: FlowError) -> Response {
    match error {
        FlowError::Library(error) => error.into_response(),
        error => (StatusCode::BAD_REQUEST, error.reason()).into_response(),
    }
}

async fn callback(
    State(app): State<App>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(provider): Path<String>,
    Query(callback): Query<Callback>,
) -> Response {
    let (flows, uri) = (app.sigra.oauth_flows(), redirect_uri(&provider));
    match flows.complete(&session, scope.as_ref(), &app.providers, &provider, &uri, &callback).await {
        Ok(arrival) => {
            arrive(&app, &session, scope.as_ref(), arrival).await.unwrap_or_else(IntoResponse::into_response)
        }
        Err(error) => failed(error),
    }
}

async fn arrive(
    app: &App,
    session: &CookieSession,
    scope: Option<&Scope<User>>,
    arrival: FlowOutcome,
) -> sigra::Result<Response> {
    let said = match (arrival, scope) {
        (FlowOutcome::LogIn { identity, remember_me }, _) => follow(app, session, &identity, remember_me).await?,
        (FlowOutcome::Link(identity), Some(scope)) => {
            let mut tx = app.sigra.begin().await?;
            let linked = app.sigra.identities().link_in(&mut tx, session, scope, &identity).await?;
            tx.commit().await?;
            said_of(linked)
        }
        (FlowOutcome::Reauthenticate(identity), Some(scope)) => {
            match app.sigra.identities().reauthenticate(session, scope, &identity).await? {
                Checked::Valid(()) => "confirmed",
                Checked::Invalid => "not theirs",
            }
        }
        _ => "nobody",
    };
    Ok(said.into_response())
}

fn said_of(linked: Linked) -> &'static str {
    match linked {
        Linked::Now => "linked",
        Linked::Before => "linked before",
        Linked::ByAnother => "linked by another",
        Linked::TooMany { .. } => "too many",
    }
}

/// Does what the decision says. What changed in the meantime leads to another decision.
async fn follow(
    app: &App,
    session: &CookieSession,
    identity: &ProviderIdentity,
    remember_me: RememberMe,
) -> sigra::Result<&'static str> {
    loop {
        match app.sigra.identities().decide(identity, owner_of(app, identity)).await? {
            Decision::LogIn(known) => {
                return Ok(match app.sigra.identities().log_in(session, &known, remember_me).await? {
                    LoginOutcome::Complete => "logged in",
                    LoginOutcome::SecondFactorPending => "second factor",
                });
            }
            Decision::Register { email } => register(app, &email, identity).await?,
            Decision::TakeOver(user) => take_over(app, &user, identity).await?,
            Decision::LogInToLink => {
                app.sigra.identities().hold(session, identity, remember_me).await?;
                return Ok("log in to link");
            }
            Decision::AskForEmail => {
                app.sigra.identities().hold(session, identity, remember_me).await?;
                return Ok("which address");
            }
            Decision::Inactive => return Ok("inactive"),
        }
    }
}

async fn owner_of(app: &App, identity: &ProviderIdentity) -> sigra::Result<AddressOwner<User>> {
    let email = identity.email.as_deref().and_then(sigra::mail::normalize_address);
    let Some(email) = email else { return Ok(AddressOwner::Invalid) };
    let owner: Option<User> = sqlx::query_as("SELECT * FROM users WHERE lower(email) = lower($1)")
        .bind(&email)
        .fetch_optional(app.sigra.pool())
        .await?;
    Ok(match owner {
        None => AddressOwner::Nobody(email),
        Some(user) if user.nickname.as_deref() == Some(UNCONFIRMED) => AddressOwner::Unconfirmed(user),
        Some(user) => AddressOwner::Confirmed(user),
    })
}

async fn register(app: &App, email: &str, identity: &ProviderIdentity) -> sigra::Result<()> {
    let mut tx = app.sigra.begin().await?;
    let inserted: Option<User> = sqlx::query_as(
        "INSERT INTO users (id, email, nickname) VALUES ($1, $2, 'Ada') ON CONFLICT DO NOTHING RETURNING *",
    )
    .bind(Uuid::now_v7())
    .bind(email)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(user) = inserted else { return Ok(()) };
    if app.sigra.identities().insert_in(&mut tx, &user.id, identity, &Client::default()).await? == Linked::Now {
        tx.commit().await?;
    }
    Ok(())
}

async fn take_over(app: &App, user: &User, identity: &ProviderIdentity) -> sigra::Result<()> {
    let mut tx = app.sigra.begin().await?;
    let revoked = app.sigra.recovery().take_over_in(&mut tx, &user.id, &Client::default()).await?;
    let confirm = "UPDATE users SET hashed_password = NULL, nickname = 'Ada' WHERE id = $1 AND nickname = $2";
    let confirmed = sqlx::query(confirm).bind(user.id).bind(UNCONFIRMED).execute(&mut *tx).await?;
    if confirmed.rows_affected() == 1
        && app.sigra.identities().insert_in(&mut tx, &user.id, identity, &Client::default()).await? == Linked::Now
    {
        tx.commit().await?;
        app.sigra.sessions().announce(revoked);
    }
    Ok(())
}

async fn pending(State(app): State<App>, session: CookieSession) -> sigra::Result<String> {
    let pending = app.sigra.identities().pending(&session).await?;
    Ok(pending.map_or_else(|| "nothing".to_owned(), |pending| pending.id))
}

#[derive(Deserialize)]
struct Which {
    id: String,
}

async fn link_pending(
    State(app): State<App>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Form(which): Form<Which>,
) -> sigra::Result<&'static str> {
    let mut tx = app.sigra.begin().await?;
    let Some(pending) = app.sigra.identities().take_pending_in(&mut tx, &session, &which.id).await?.valid() else {
        return Ok("nothing");
    };
    let linked = app.sigra.identities().link_in(&mut tx, &session, &scope, &pending.identity).await?;
    tx.commit().await?;
    Ok(said_of(linked))
}

async fn list(State(app): State<App>, scope: Scope<User>) -> sigra::Result<Json<Vec<Uuid>>> {
    let identities = app.sigra.identities().list(&scope.user().id).await?;
    Ok(Json(identities.into_iter().map(|identity| identity.id).collect()))
}

async fn unlink(
    State(app): State<App>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> sigra::Result<StatusCode> {
    let mut tx = app.sigra.begin().await?;
    let unlinked = app.sigra.identities().unlink_in(&mut tx, &session, &sudo, id).await?;
    tx.commit().await?;
    Ok(if unlinked.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}
