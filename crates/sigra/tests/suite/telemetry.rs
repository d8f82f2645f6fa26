//! What is logged, and what never is: tokens, hashes, cookies and passwords.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use axum::{Router, http::Request, routing::get};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sigra::{
    Error, Password, RememberMe, SessionToken, Sigra, Verification, audit,
    limits::Limit,
    live::Live,
    mail::{Mail, Mailer},
    oauth_server::OauthClient,
    session::ReturnTo,
    telemetry,
    testing::{TestClient, TestHost, VALID_PASSWORD, assert_problem, assert_status},
};
use tokio::sync::Notify;
use tracing::{Event, Subscriber, field::Visit};
use tracing_subscriber::{
    fmt::format::FmtSpan,
    layer::{Context, Layer, SubscriberExt},
};

use super::{
    device_bound,
    host::{self, DAY, Host, KEY, MINUTE, REMEMBER_ME, User, remembered_token, token, who},
    oauth_host::OauthHost,
    oauth_server,
    oauth_server_host::{APP, DEVICE_CODE, SECRET, ServerHost, approve, code_of},
};
use crate::database::{ALLOW_COMMITS, REFUSE_COMMITS};

/// Everything that any thread of this process logs, at every level.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
        .with(Listener);
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The events of the library, in order.
static EVENTS: Mutex<Vec<LoggedEvent>> = Mutex::new(Vec::new());

/// An event of the library, with its fields.
#[derive(Clone, Debug)]
struct LoggedEvent {
    level: String,
    fields: BTreeMap<String, String>,
}

impl LoggedEvent {
    fn name(&self) -> &str {
        &self.fields["event"]
    }
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Fields(BTreeMap<String, String>);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.insert(field.name().to_owned(), format!("{value:?}"));
            }
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                self.0.insert(field.name().to_owned(), value.to_owned());
            }
        }
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        if event.metadata().target() == "sigra" && fields.0.contains_key("event") {
            let level = event.metadata().level().to_string().to_lowercase();
            EVENTS.lock().unwrap().push(LoggedEvent { level, fields: fields.0 });
        }
    }
}

/// Returns the last event with a name.
#[track_caller]
fn last_event(event: &str) -> LoggedEvent {
    let events = EVENTS.lock().unwrap();
    events.iter().rfind(|logged| logged.name() == event).unwrap_or_else(|| panic!("{event} was not logged")).clone()
}

/// Secrets that must not be found, in each encoding.
#[derive(Default)]
struct Secrets(BTreeSet<Vec<u8>>);

impl Secrets {
    fn add_text(&mut self, text: &str) {
        assert!(text.len() >= 8, "{text:?} is too short to look for");
        self.0.insert(text.as_bytes().to_vec());
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for spelling in
            [hex.to_uppercase(), hex, STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes), format!("{bytes:?}")]
        {
            self.add_text(&spelling);
        }
    }

    fn add_token(&mut self, token: &SessionToken) {
        self.add_bytes(&URL_SAFE_NO_PAD.decode(&*token.encode()).unwrap());
    }

    fn add_browser(&mut self, browser: &TestClient) {
        self.add_token(&token(browser));
        self.add_bytes(token(browser).hash().as_bytes());
        for name in [KEY, REMEMBER_ME] {
            if let Some(value) = browser.cookie(name) {
                self.add_text(&value[..43]);
                self.add_text(&value[44..]);
            }
        }
    }

    #[track_caller]
    fn assert_absent(&self, place: &str, haystack: &[u8]) {
        for secret in &self.0 {
            let found = haystack.windows(secret.len()).position(|window| window == secret);
            if let Some(at) = found {
                let context =
                    String::from_utf8_lossy(&haystack[at.saturating_sub(300)..(at + 100).min(haystack.len())]);
                panic!("{place} shows `{}`:\n{context}", String::from_utf8_lossy(secret));
            }
        }
    }
}

/// Uses the library in many ways, and collects each token.
async fn use_sessions(host: &Host, secrets: &mut Secrets) -> (User, TestClient) {
    let (user, browser) = host.logged_in(true).await;
    secrets.add_browser(&browser);
    browser.post("/log-in", &[("email", &user.email), ("password", "wrong wrong wrong")]).await;
    browser.post("/log-in", &[("email", &host.unique_email()), ("password", "wrong wrong wrong")]).await;
    for path in ["/confirm", "/renew"] {
        browser.post(path, &[]).await;
        secrets.add_browser(&browser);
    }
    browser.close_and_reopen();
    who(&browser).await;
    host.clock().advance(DAY * 7);
    who(&browser).await;
    secrets.add_browser(&browser);
    who(&browser).await;

    let thief = browser.fork();
    let forged = host.client();
    forged.set_cookie(KEY, &token(&browser).encode());
    who(&forged).await;
    browser.post("/put", &[("name", "cart"), ("value", &"x".repeat(5000))]).await;

    let second = host.log_in(&user).await;
    secrets.add_browser(&second);
    host.sigra().delete_session(&token(&second)).await.unwrap();
    let third = host.log_in(&user).await;
    secrets.add_browser(&third);
    let scope = host.sigra().fetch_session(&token(&browser)).await.unwrap().unwrap();
    host.sigra().sessions().delete_others(&scope).await.unwrap();
    who(&third).await;

    browser.post("/log-out", &[]).await;
    who(&thief).await;
    host.post_log_in(&browser, &user, true).await;
    secrets.add_browser(&browser);
    host.clock().advance(DAY * 61);
    who(&browser).await;
    host.post_log_in(&browser, &user, true).await;
    secrets.add_browser(&browser);
    (user, browser)
}

async fn secrets_of(host: &Host) -> (Secrets, User, TestClient) {
    let mut secrets = Secrets::default();
    let (user, browser) = use_sessions(host, &mut secrets).await;
    secrets.add_text(VALID_PASSWORD);
    secrets.add_text(&VALID_PASSWORD.replace(' ', "+"));
    secrets.add_text("wrong wrong wrong");
    secrets.add_text(host::secret("a").expose());
    let phc = user.hashed_password.as_ref().unwrap().as_str();
    secrets.add_text(phc.rsplit('$').next().unwrap());
    secrets.add_text(phc.rsplit('$').nth(1).unwrap());
    (secrets, user, browser)
}

#[tokio::test]
async fn invariant_1_the_log_contains_no_secret_at_any_level() {
    LazyLock::force(&LOG);
    let host = Host::new().await;
    let (mut secrets, user, browser) = secrets_of(&host).await;
    secrets.add_text(&user.email);

    let restarted = host.restart(|config| config).await;
    let failing = restarted.take_over(&browser);
    restarted.pool.close().await;
    failing.get("/me").await;
    restarted.post_log_in(&failing, &user, true).await;

    let log = LOG.text();
    assert!(log.contains(telemetry::LOGIN_SUCCESS) && log.contains("service unavailable"), "the log is there");
    // This includes what sqlx and others log, which a host can turn on.
    secrets.assert_absent("the log", log.as_bytes());
}

#[tokio::test]
async fn invariant_1_the_database_contains_no_token_and_no_password() {
    let host = Host::new().await;
    let mut secrets = Secrets::default();
    let (_, browser) = use_sessions(&host, &mut secrets).await;

    // The database does contain the hash of the token.
    let hash = token(&browser).hash();
    let mut forbidden = Secrets::default();
    forbidden.add_token(&token(&browser));
    forbidden.add_token(&remembered_token(&browser));
    forbidden.0.insert(URL_SAFE_NO_PAD.decode(&*token(&browser).encode()).unwrap());
    forbidden.add_text(VALID_PASSWORD);
    forbidden.add_text("wrong wrong wrong");
    forbidden.add_text(host::secret("a").expose());
    forbidden.add_text(&browser.cookie(KEY).unwrap());

    let files = host.database_files().await;
    assert!(
        files.iter().any(|bytes| bytes.windows(32).any(|window| window == hash.as_bytes())),
        "the files contain the hash, so the search works"
    );
    for bytes in files {
        forbidden.assert_absent("the database", &bytes);
    }
}

#[tokio::test]
async fn invariant_1_no_public_type_shows_a_secret_in_debug() {
    let host = Host::new().await;
    let (secrets, user, browser) = secrets_of(&host).await;
    let sigra: &Sigra<User> = host.sigra();
    let token = token(&browser);
    let scope = sigra.fetch_session(&token).await.unwrap().unwrap();
    let password = Password::new(VALID_PASSWORD);
    let passwords =
        sigra::password::Passwords::new(sigra::config::Argon2Params::INSECURE_FOR_TESTS, 1, MINUTE).unwrap();
    let outdated = Verification::Outdated(user.hashed_password.clone().unwrap());
    let config = sigra::Config::new("my_app", host::secret("a")).older_secrets([host::secret("a")]);
    let return_to = ReturnTo::parse(&format!("/reset?token={}", *token.encode())).unwrap();

    let shown = [
        format!("{token:?} {:?} {:?}", token.hash(), Some(&token)),
        format!("{password:?} {passwords:?} {outdated:?}"),
        format!("{:?} {:?} {config:?}", user, user.hashed_password),
        format!("{sigra:?} {:?}", host::secret("a")),
        format!("{scope:?} {:?} {:?}", scope.session(), sigra::Sudo(scope.clone())),
        format!("{return_to:?} {browser:?}"),
        format!("{:?}", sigra.sessions().list(&user.id).await.unwrap()),
    ];
    for shown in shown {
        secrets.assert_absent("Debug", shown.as_bytes());
    }
}

#[tokio::test]
async fn invariant_1_no_error_and_no_error_page_shows_a_secret() {
    let host = Host::with(|config| config.cached_scopes(0)).await;
    let (secrets, user, browser) = secrets_of(&host).await;
    let too_large = browser.post("/put", &[("name", "cart"), ("value", &"x".repeat(5000))]).await;
    host.change_password(&user, "another correct horse").await;
    let changed = host.sigra().create_session(&user, RememberMe::No, &sigra::Client::default()).await.unwrap_err();
    host.pool.close().await;
    let gone: Error = host.sigra().fetch_session(&token(&browser)).await.unwrap_err();
    for shown in [
        format!("{changed} {changed:?}"),
        format!("{gone} {gone:?}"),
        too_large.text(),
        browser.get("/me").await.text(),
    ] {
        secrets.assert_absent("an error", shown.as_bytes());
    }
}

/// The table in the documentation: names with their levels and fields.
fn documented() -> Vec<(String, String, String)> {
    let source = include_str!("../../src/base/telemetry.rs");
    let name = |constant: &str| {
        let rest = source.split(&format!("pub const {constant}: &str = \"")).nth(1).expect("a constant");
        rest.split('"').next().expect("a name").to_owned()
    };
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (name(cells[0].trim_matches(['`', ']'])), cells[1].to_owned(), cells[2].to_owned())
    })
    .collect()
}

/// Uses second factors, limits, live connections and emails. Returns a host that purges often in the background.
async fn use_everything_else(host: &Host) -> Host {
    let (user, _) = host.mfa_fixture().await;
    let browser = host.client();
    host.post_log_in(&browser, &user, false).await;
    browser.post("/mfa-challenge", &[("code", "000000")]).await;
    host.client().get("/me").await;

    // The owner's token was reissued to a thief.
    let (_, owner) = host.logged_in(true).await;
    let thief = owner.fork();
    host.clock().advance(DAY * 7);
    who(&thief).await;
    who(&thief).await;
    host.clock().advance(MINUTE * 2);
    owner.post("/log-out", &[]).await;

    let limit = Limit::MAIL.free(0);
    for _ in 0..2 {
        let _ = host.sigra().limits().check(limit, "telemetry", "ada").await;
    }

    let (_, browser) = host.logged_in(false).await;
    let begun = Arc::new(Notify::new());
    let handler = {
        let begun = begun.clone();
        async move |live: Live<User>| {
            begun.notify_one();
            live.ended().await;
        }
    };
    let app = Router::new().route("/live", get(handler)).layer(host.sigra().fetch_current_scope());
    let live = TestClient::new(app);
    live.set_cookie(KEY, &browser.cookie(KEY).unwrap());
    let open = tokio::spawn(async move { live.get("/live").await });
    begun.notified().await;
    browser.post("/log-out", &[]).await;
    assert_status(&open.await.unwrap(), 200);

    for (url, is_up) in [("memory:", true), ("smtp://127.0.0.1:1", false), ("none:", true)] {
        let mailer = Mailer::from_url(url, "MyApp <hello@example.com>").unwrap();
        mailer.send(Mail::new("ada@example.com", "Hello", "Hello Ada"));
        if is_up {
            mailer.settle().await;
        }
    }

    let often = Duration::from_millis(10);
    let busy = host.restart(|config| config.purge_interval(often)).await;
    let (_, browser) = busy.logged_in(false).await;
    who(&browser).await;
    busy.sigra().catch_up().await;
    busy
}

/// Hosts build alerts on the names, so they are part of the interface.
#[tokio::test]
async fn every_event_is_logged_with_its_documented_name_level_and_fields() {
    LazyLock::force(&LOG);
    let host = Host::new().await;
    use_sessions(&host, &mut Secrets::default()).await;
    let _busy = use_everything_else(&host).await;
    OauthHost::new().await.client().get("/auth/corp/callback?error=access_denied").await;
    device_bound::cause_every_event().await;
    oauth_server::cause_every_event().await;

    let documented = documented();
    let was_logged = |event: &str| EVENTS.lock().unwrap().iter().any(|logged| logged.name() == event);
    for (event, _, _) in &documented {
        // What makes a process bypass its cache depends on the database.
        if event == telemetry::CACHE_BYPASSED {
            continue;
        }
        for _ in 0..1200 {
            if was_logged(event) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(was_logged(event), "{event} was not logged");
    }
    for logged in EVENTS.lock().unwrap().iter() {
        let row = documented.iter().find(|(event, _, _)| event == logged.name());
        let (_, level, fields) = row.unwrap_or_else(|| panic!("{} is not documented", logged.name()));
        assert!(level.contains(&logged.level), "{logged:?}");
        for field in logged.fields.keys().filter(|field| !["event", "message"].contains(&field.as_str())) {
            assert!(fields.contains(&format!("`{field}`")), "`{field}` is not documented: {logged:?}");
        }
    }
    let log = LOG.text();
    for span in ["sigra.fetch_current_scope", "sigra.verify_password", "sigra.log_in", "sigra.log_out"] {
        assert!(log.contains(span), "{span} was not logged");
    }
}

#[tokio::test]
async fn an_unreadable_forwarded_header_is_logged_without_its_value() {
    LazyLock::force(&LOG);
    let host = Host::with(|config| config.trusted_proxies(["192.0.2.0/24".parse().unwrap()])).await;
    let behind = host.client().peer("192.0.2.1:443".parse().unwrap());
    let ask = async |forwarded_for: &str| {
        let request = Request::get("/client").header("x-forwarded-for", forwarded_for);
        behind.send(request.body(axum::body::Body::empty()).unwrap()).await.text()
    };
    let warned = || LOG.text().contains("X-Forwarded-For can't be read");
    assert_eq!(ask("203.0.113.9").await, "203.0.113.9");
    assert!(!warned());
    assert_eq!(ask("app.internal.example").await, "192.0.2.1");
    assert!(warned());
    assert_eq!(LOG.text().matches("app.internal.example").count(), 0, "the value may be anything");
}

#[tokio::test]
async fn events_have_the_id_of_a_known_user_and_none_otherwise() {
    LazyLock::force(&LOG);
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let wrong = async |email: &str| {
        host.client().post("/log-in", &[("email", email), ("password", "wrong")]).await;
        last_event(telemetry::LOGIN_FAILURE).fields
    };
    assert_eq!(wrong(&user.email).await["user_id"], user.id.to_string());
    assert!(!wrong("nobody@example.com").await.contains_key("user_id"));
    let browser = host.client();
    host.post_log_in(&browser, &user, false).await;
    host.sigra().delete_all_sessions(&user.id).await.unwrap();
    for event in [telemetry::LOGIN_SUCCESS, telemetry::SESSION_REVOKED] {
        assert_eq!(last_event(event).fields["user_id"], user.id.to_string());
    }
    let log = LOG.text();
    let debugged: Vec<&str> =
        log.lines().filter(|line| line.contains("id=Some(") || line.contains("id=None")).collect();
    assert!(debugged.is_empty(), "{debugged:?}");
}

#[tokio::test]
async fn what_is_rolled_back_is_not_logged() {
    LazyLock::force(&LOG);
    let host = Host::new().await;
    let (user, _) = host.logged_in(false).await;
    let session = host.sigra().sessions().list(&user.id).await.unwrap()[0].id;
    let logged = || {
        let events = EVENTS.lock().unwrap();
        let is_it = |logged: &&LoggedEvent| {
            logged.name() == telemetry::SESSION_REVOKED && logged.fields["user_id"] == user.id.to_string()
        };
        events.iter().filter(is_it).cloned().collect::<Vec<_>>()
    };
    let mut tx = host.sigra().begin().await.unwrap();
    drop(host.sigra().sessions().delete_in(&mut tx, &user.id, session).await.unwrap());
    tx.rollback().await.unwrap();
    let mut tx = host.sigra().begin().await.unwrap();
    drop(host.sigra().sessions().delete_all_in(&mut tx, &user.id, None).await.unwrap());
    tx.rollback().await.unwrap();
    assert!(logged().is_empty(), "{:?}", logged());

    let mut tx = host.sigra().begin().await.unwrap();
    let revoked = host.sigra().sessions().delete_in(&mut tx, &user.id, session).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra().sessions().announce(revoked);
    assert!(!host.sigra().sessions().delete(&user.id, session).await.unwrap());
    assert_eq!(logged().len(), 1, "{:?}", logged());
    assert_eq!(logged()[0].fields["session_id"], session.to_string());
}

/// Of a program, too, nothing is logged that wasn't committed.
#[tokio::test]
async fn a_program_whose_end_is_not_committed_is_not_logged() {
    LazyLock::force(&LOG);
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    let grant = host.sigra().oauth_server().grants(&user.id).await.unwrap()[0].id.to_string();
    let logged = || {
        let events = EVENTS.lock().unwrap();
        let of_grant = events.iter().filter(|logged| logged.fields.get("grant_id") == Some(&grant));
        of_grant.map(|logged| logged.name().to_owned()).collect::<Vec<_>>()
    };
    host.refresh(&tokens.refresh, &[]).await;
    host.host.clock().advance(MINUTE);
    host.host.execute(REFUSE_COMMITS).await;
    let revoke = [("client_id", "cli"), ("token", &tokens.refresh)];
    assert_status(&host.program().post("/oauth/revoke", &revoke).await, 500);
    assert_status(&host.refresh(&tokens.refresh, &[]).await, 500);
    assert_eq!(logged(), [telemetry::PROGRAM_AUTHORIZED]);

    host.host.execute(ALLOW_COMMITS).await;
    assert_status(&host.refresh(&tokens.refresh, &[]).await, 400);
    assert_eq!(logged(), [telemetry::PROGRAM_AUTHORIZED, telemetry::TOKEN_REUSED]);
}

/// OWASP ASVS 16.3.1 and 16.3.3.
#[tokio::test]
async fn a_refused_program_is_logged_once_with_the_reason() {
    LazyLock::force(&LOG);
    let own = OauthClient::new("logged", "Logged").secret(SECRET).redirect_uri(APP).device_flow(true);
    let host = ServerHost::with(|server| server.client(own), |config| config).await;
    let (user, browser) = host.user().await;
    let (site, secret) = ([("client_id", "logged"), ("redirect_uri", APP)], ("client_secret", SECRET));
    let logged = || {
        let events = EVENTS.lock().unwrap();
        let is_it = |logged: &&LoggedEvent| {
            logged.name() == telemetry::PROGRAM_REFUSED
                && logged.fields.get("client_id").is_some_and(|client| client == "logged")
        };
        events.iter().filter(is_it).map(|logged| logged.fields["reason"].clone()).collect::<Vec<_>>()
    };
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/device_authorization"] {
        let form = [("client_id", "logged"), ("client_secret", "a wrong secret"), ("token", "x")];
        assert_status(&host.program().post(path, &form).await, 401);
    }
    assert_eq!(logged(), ["wrong_secret"; 4]);
    host.program().post("/oauth/token", &[("client_id", "nobody we know")]).await;
    let unknown = last_event(telemetry::PROGRAM_REFUSED);
    assert_eq!((unknown.fields["reason"].as_str(), unknown.fields.get("client_id")), ("unknown_client", None));

    let code = code_of(&approve(&browser, &site).await);
    let other_verifier = ("code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert_status(&host.exchange(&code, &[site[0], site[1], secret, other_verifier]).await, 400);
    assert_eq!(logged()[4..], ["wrong_verifier"]);
    let events = host.sigra().audit().list(&user.id, None, 10).await.unwrap();
    let refused: Vec<_> = events.iter().filter(|event| event.action == audit::PROGRAM_REFUSED).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].metadata, json!({ "client": "logged", "reason": "wrong_verifier" }));
    assert_status(&host.exchange(&code, &[site[0], site[1], secret]).await, 400);
    assert_eq!(logged()[5..], ["used_code"]);

    let mut secrets = Secrets::default();
    for text in [code.as_str(), "a wrong secret", "nobody we know", other_verifier.1] {
        secrets.add_text(text);
    }
    secrets.assert_absent("the log", LOG.text().as_bytes());

    // A program that waits for its user isn't refused.
    let begun = host.program().post("/oauth/device_authorization", &[site[0], secret]).await.json::<Value>();
    let device_code = begun["device_code"].as_str().unwrap();
    for _ in 0..2 {
        let form = [("grant_type", DEVICE_CODE), site[0], secret, ("device_code", device_code)];
        assert_status(&host.program().post("/oauth/token", &form).await, 400);
    }
    assert_eq!(logged().len(), 6, "{:?}", logged());
}

#[tokio::test]
async fn a_missing_ip_address_is_logged_once_with_its_fix() {
    LazyLock::force(&LOG);
    let host = Host::new().await;
    let logged = || LOG.text().matches("into_make_service_with_connect_info").count();
    host.sigra().limits().check_address(&sigra::Client::new([192, 0, 2, 1], "")).unwrap();
    assert_eq!(logged(), 0);
    for _ in 0..1000 {
        host.sigra().limits().check_address(&sigra::Client::default()).unwrap();
    }
    assert_eq!(logged(), 1);
    assert!(matches!(
        host.sigra().limits().check_address(&sigra::Client::default()),
        Err(Error::TooManyAttempts { .. })
    ));
    assert_eq!(last_event(telemetry::RATE_LIMITED).fields["limit"], "address");
}

/// OWASP ASVS 16.3.2.
#[tokio::test]
async fn a_request_without_its_bound_cookie_is_logged_with_the_reason_of_the_browser() {
    LazyLock::force(&LOG);
    let before = EVENTS.lock().unwrap().len();
    let (_host, browser) = device_bound::cause_every_event().await;
    let session = browser.cookie("__Host-_my_app_binding").unwrap();
    let logged = EVENTS.lock().unwrap()[before..].to_vec();
    let missing: Vec<_> = logged.iter().filter(|logged| logged.name() == telemetry::BINDING_MISSING).collect();
    let reasons =
        |name: &str| missing.iter().filter_map(|logged| logged.fields.get(name).cloned()).collect::<BTreeSet<_>>();
    assert!(reasons("skipped").contains("unreachable"), "{missing:?}");
    assert!(reasons("reason").contains("expired"), "{missing:?}");
    assert!(reasons("mode").contains("enforce"), "{missing:?}");
    let mut secrets = Secrets::default();
    secrets.add_text(&session);
    secrets.add_token(&token(&browser));
    secrets.assert_absent("the log", LOG.text().as_bytes());
}

#[tokio::test]
async fn refused_requests_are_logged_with_the_reason() {
    LazyLock::force(&LOG);
    let host = Host::new().await;
    let refused = || last_event(telemetry::REQUEST_REFUSED).fields;
    let visitor = host.client();

    let foreign = |origin: &str| {
        let request = Request::post("/me").header("origin", origin).header("sec-fetch-site", "cross-site");
        visitor.send(request.body(axum::body::Body::empty()).unwrap())
    };
    assert_problem(&foreign("https://evil.example").await, 403);
    assert_eq!(refused()["reason"], "cross_origin");
    assert_eq!(last_event(telemetry::REQUEST_REFUSED).level, "info");
    assert!(refused()["origin"].contains("https://evil.example"), "{:?}", refused());
    assert_eq!((refused()["method"].as_str(), refused()["route"].as_str()), ("POST", "/me"));
    assert!(refused()["message"].contains("trusted_origins"), "{:?}", refused());
    let referred = Request::post("/me").header("referer", "https://ada:hunter2@evil.example/reset/secret?token=secret");
    let referred = referred.header("origin", "").header("sec-fetch-site", "").body(axum::body::Body::empty());
    assert_problem(&visitor.send(referred.unwrap()).await, 403);
    assert_eq!(refused()["referer"], "https://evil.example", "neither the path nor anything secret");
    foreign(&format!("https://{}", "e".repeat(5000))).await;
    assert!(refused()["origin"].len() < 400, "a visitor cannot fill the log");
    foreign("https://evil.example\u{85}\u{2028}event=\"auth.login.success\"").await;
    assert!(refused()["origin"].is_ascii(), "a visitor cannot add a line: {:?}", refused());

    visitor.get("/me").await;
    assert_eq!(refused()["reason"], "authentication_required");
    assert_eq!(refused()["route"], "/me");
    visitor.post("/sudo", &[]).await;
    assert_eq!((refused()["reason"].as_str(), refused()["route"].as_str()), ("authentication_required", "/sudo"));

    let (user, browser) = host.logged_in(false).await;
    let before = EVENTS.lock().unwrap().len();
    assert_status(&browser.get("/sudo").await, 200);
    assert!(EVENTS.lock().unwrap()[before..].iter().all(|logged| logged.name() != telemetry::REQUEST_REFUSED));
    host.clock().advance(MINUTE * 20);
    browser.get("/sudo").await;
    let scope = host.sigra().fetch_session(&token(&browser)).await.unwrap().unwrap();
    assert_eq!(refused()["reason"], "sudo_required");
    assert_eq!(refused()["user_id"], user.id.to_string());
    assert_eq!(refused()["session_id"], scope.session().id.to_string());

    let (_, pending) = host.mfa_pending_fixture().await;
    pending.get("/me").await;
    assert_eq!(refused()["reason"], "second_factor_required");
    host.execute("UPDATE users SET admin = true").await;
    browser.get("/me").await;
    assert_eq!(refused()["reason"], "second_factor_enrollment_required");
}
