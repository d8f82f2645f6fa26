//! Clients that hang up during a request, at every point where the application waits.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode},
    routing::{get, post},
};
use futures_util::{FutureExt, future::BoxFuture};
use sigra::{
    CookieSession, Scope, Sigra,
    live::Live,
    testing::{ProviderAccount, TestClient, TestHost, assert_status},
};
use tokio::task::yield_now;

use super::{
    host::{Host, User, get_request, token},
    oauth_host::OauthHost,
};

fn post_to(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).expect("a request")
}

/// How often each point is tried. Where a request waits depends on the speed of the database.
const ROUNDS: usize = 8;

/// Sends a request repeatedly, and hangs up one poll later each time, until there is a response.
pub async fn at_every_point(mut send: impl AsyncFnMut(usize) -> bool) {
    let mut hung_up = 0;
    for _ in 0..ROUNDS {
        let mut polls = 0;
        while !send(polls).await {
            polls += 1;
        }
        hung_up += polls;
    }
    assert!(hung_up > ROUNDS, "the request never waited: {hung_up}");
}

#[derive(Clone)]
struct Owner {
    sigra: Sigra<User>,
    /// The number of announcements after commits.
    announced: Arc<AtomicUsize>,
}

/// Commits a change, waits, and announces it.
async fn change(State(owner): State<Owner>, session: CookieSession) -> sigra::Result<()> {
    let mut tx = owner.sigra.begin().await?;
    let audit = sigra::audit::Audit::new("changed").from(&session.client());
    owner.sigra.audit().record_in(&mut tx, &audit).await?;
    tx.commit().await?;
    yield_now().await;
    owner.announced.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

async fn count_changes(host: &Host) -> usize {
    let count = "SELECT count(*) FROM audit_events WHERE action = 'changed'";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&host.pool).await.expect("a count");
    usize::try_from(count).expect("not negative")
}

#[tokio::test]
async fn invariant_17_a_request_that_committed_runs_to_its_end_even_if_its_client_hangs_up() {
    let host = Host::new().await;
    let owner = Owner { sigra: host.sigra.clone(), announced: Arc::default() };
    let router = Router::new().route("/", post(change)).layer(host.sigra.fetch_current_scope());
    let router = router.with_state(owner.clone());
    let (_, browser) = host.logged_in(true).await;
    let known = TestClient::new(router.clone());
    for (name, value) in browser.cookies() {
        known.set_cookie(&name, &value);
    }
    for (who, client) in [("a visitor", &TestClient::new(router)), ("a user", &known)] {
        at_every_point(async |polls| {
            let has_response = client.send_and_hang_up(post_to("/"), polls).await.is_some();
            host.sigra.settle().await;
            assert_eq!(
                count_changes(&host).await,
                owner.announced.load(Ordering::SeqCst),
                "{who}, after {polls} polls"
            );
            has_response
        })
        .await;
        assert!(count_changes(&host).await > ROUNDS, "{who}: requests without a client were completed");
    }
}

/// Resolves when a live connection ends.
type Ended = BoxFuture<'static, ()>;

/// Opens a live connection of a browser's session.
async fn open_live_connection(host: &Host, browser: &TestClient) -> Ended {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Ended>();
    let open = get(async move |live: Live<User>| {
        let ended = live.ended();
        let held = Box::pin(async move {
            ended.await;
            drop(live);
        });
        drop(sender.send(held));
    });
    let router = Router::new().route("/", open).layer(host.sigra.fetch_current_scope());
    let client = TestClient::new(router);
    for (name, value) in browser.cookies() {
        client.set_cookie(&name, &value);
    }
    assert_status(&client.get("/").await, StatusCode::OK);
    receiver.try_recv().expect("the connection is open")
}

/// Does what the devices page does.
async fn log_out_everywhere(State(sigra): State<Sigra<User>>, scope: Scope<User>) -> sigra::Result<()> {
    sigra.delete_all_sessions(&scope.user().id).await?;
    Ok(())
}

#[tokio::test]
async fn invariant_17_live_connections_end_with_their_session_even_if_the_client_hangs_up() {
    let host = Host::new().await;
    let everywhere = Router::new()
        .route("/", post(log_out_everywhere))
        .layer(host.sigra.fetch_current_scope())
        .with_state(host.sigra.clone());
    for (path, router) in [("/log-out", host.router()), ("/", everywhere)] {
        at_every_point(async |polls| {
            let (user, browser) = host.logged_in(false).await;
            let mut live = open_live_connection(&host, &browser).await;
            let client = TestClient::new(router.clone());
            for (name, value) in browser.cookies() {
                client.set_cookie(&name, &value);
            }
            let has_response = client.send_and_hang_up(post_to(path), polls).await.is_some();
            host.sigra.settle().await;
            let session_has_ended = host.sigra.sessions().list(&user.id).await.expect("a result").is_empty();
            let has_ended = (&mut live).now_or_never().is_some();
            assert_eq!(has_ended, session_has_ended, "{path} after {polls} polls");
            assert_eq!(
                host.sigra.fetch_session(&token(&browser)).await.expect("a result").is_none(),
                session_has_ended
            );
            has_response
        })
        .await;
    }
}

/// The callback of a provider is a `GET`, which ends with its client.
#[tokio::test]
async fn invariant_17_live_connections_end_with_the_session_that_a_provider_login_replaced_even_if_the_client_hangs_up()
{
    let oauth = OauthHost::new().await;
    let host = &oauth.host;
    let user = host.registered_fixture().await;
    oauth.link(&user, "corp", "the user's").await;
    oauth.corp.log_in_as(ProviderAccount::new("the user's"));
    at_every_point(async |polls| {
        let browser = oauth.client();
        assert_status(&host.post_log_in(&browser, &user, false).await, StatusCode::SEE_OTHER);
        let replaced =
            host.sigra.fetch_session(&token(&browser)).await.expect("a result").expect("a session").session().id;
        let mut live = open_live_connection(host, &browser).await;
        let callback = oauth.visit(&browser, "/auth/corp").await;
        let has_response = browser.send_and_hang_up(get_request(&callback), polls).await.is_some();
        host.sigra.settle().await;
        let left = host.sigra.sessions().list(&user.id).await.expect("a result");
        let was_replaced = left.iter().all(|session| session.id != replaced);
        assert_eq!((&mut live).now_or_never().is_some(), was_replaced, "after {polls} polls");
        host.sigra.delete_all_sessions(&user.id).await.expect("a result");
        has_response
    })
    .await;
}

#[tokio::test]
async fn a_safe_request_is_canceled_when_its_client_hangs_up() {
    let host = Host::new().await;
    let finished = Arc::new(AtomicUsize::new(0));
    let counted = finished.clone();
    let slow = async move || {
        yield_now().await;
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let client = TestClient::new(Router::new().route("/", get(slow)).layer(host.sigra.fetch_current_scope()));
    let page = Request::get("/").body(Body::empty()).expect("a request");
    assert!(client.send_and_hang_up(page, 1).await.is_none());
    host.sigra.settle().await;
    assert_eq!(finished.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_panic_reaches_outer_layers_and_is_harmless_after_the_client_hung_up() {
    let host = Host::new().await;
    let breaks = async || {
        yield_now().await;
        panic!("a handler that breaks");
    };
    let router = Router::new().route("/", post(async move || -> () { breaks().await }));
    let client = TestClient::new(router.layer(host.sigra.fetch_current_scope()));
    assert!(client.send_and_hang_up(post_to("/"), 1).await.is_none());
    host.sigra.settle().await;
    let caught = AssertUnwindSafe(client.send(post_to("/"))).catch_unwind().await;
    assert!(caught.is_err(), "an outer layer can catch the panic");
    host.sigra.settle().await;
}

tokio::task_local! {
    static REQUEST_ID: u32;
}

#[tokio::test]
async fn a_handler_sees_the_task_locals_of_outer_layers() {
    let host = Host::new().await;
    let route = post(async || REQUEST_ID.get().to_string());
    let client = TestClient::new(Router::new().route("/", route).layer(host.sigra.fetch_current_scope()));
    assert_eq!(REQUEST_ID.scope(42, client.send(post_to("/"))).await.text(), "42");
}

/// The client neither sends the body nor hangs up.
#[tokio::test]
async fn a_request_whose_body_never_arrives_times_out() {
    let host = Host::with(|config| config.body_timeout(Duration::from_millis(100))).await;
    let route = post(async |body: Result<String, _>| -> StatusCode {
        body.map_or_else(|error: axum::extract::rejection::StringRejection| error.status(), |_| StatusCode::OK)
    });
    let client = TestClient::new(Router::new().route("/", route).layer(host.sigra.fetch_current_scope()));
    let never = Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>());
    let response = client.send(Request::post("/").body(never).expect("a request")).await;
    assert_status(&response, StatusCode::BAD_REQUEST);
}
