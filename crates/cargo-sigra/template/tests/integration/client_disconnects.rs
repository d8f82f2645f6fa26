//! Clients hang up, and processes are killed, at every point of a request where the application waits. Each change that
//! was made is announced by email, and no others.

use std::time::{Duration, Instant};

use crate::support::{Host, SECRET, TestDatabase, email_form, token_of};
// <mfa>
use crate::support::{code_of, key_on};
// </mfa>
use axum::{
    body::Body,
    http::{Request, header},
};
// <passkeys>
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
// </passkeys>
use my_app::accounts::User;
use serde_json::{Value, json};
use sigra::{
    mail::{Mail, Mailer},
    testing::{TestClient, TestHost, VALID_PASSWORD},
};

const NEW_PASSWORD: &str = "a quite different password";

/// The next process reads what the previous one encrypted.
const ENVIRONMENT: &[(&str, &str)] = &[("RATE_LIMITS", "off"), ("SECRET_KEY_BASE", SECRET)];

/// How often each point is tried. Where a request waits depends on the speed of the database.
const ROUNDS: usize = 2;

/// The server that the client talks to.
#[derive(Clone, Copy, Debug)]
enum Front {
    Pages,
    // <api>
    Api,
    // </api>
}

const FRONTS: &[Front] = &[
    Front::Pages,
    // <api>
    Front::Api,
    // </api>
];

impl Front {
    /// Returns a client of this server, with the cookies of a browser.
    fn client(self, host: &Host, browser: &TestClient) -> TestClient {
        let client = match self {
            Self::Pages => host.client(),
            // <api>
            Self::Api => TestClient::new(host.api.clone()),
            // </api>
        };
        for (name, value) in browser.cookies() {
            client.set_cookie(&name, &value);
        }
        client
    }

    /// The fields of a form have the prefix `user`.
    fn request(self, method: &str, path: &str, fields: &Value) -> Request<Body> {
        let request = Request::builder().method(method).uri(path);
        let (content_type, body) = match self {
            Self::Pages => ("application/x-www-form-urlencoded", form(fields)),
            // <api>
            Self::Api => ("application/json", fields.to_string()),
            // </api>
        };
        request.header(header::CONTENT_TYPE, content_type).body(body.into()).expect("a request")
    }
}

fn form(fields: &Value) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields.as_object().into_iter().flatten() {
        // A script fills a field with JSON.
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        form.append_pair(&format!("user[{name}]"), &value);
    }
    form.finish()
}

/// A request to send, and the recipient of its email.
struct Attempt {
    browser: TestClient,
    request: Request<Body>,
    recipient: String,
}

/// Hangs up at every point, and kills the process at every point. If the change was made, an email with this subject
/// announces it.
async fn assert_emailed(
    subject: &str,
    prepare: impl AsyncFn(&Host, Front) -> Attempt + Sync,
    is_done: impl AsyncFn(&Host, &str) -> bool,
) {
    assert_emailed_after_hanging_up(subject, &prepare, &is_done).await;
    assert_emailed_after_a_kill(subject, &prepare, &is_done).await;
}

async fn assert_emailed_after_hanging_up(
    subject: &str,
    prepare: &impl AsyncFn(&Host, Front) -> Attempt,
    is_done: &impl AsyncFn(&Host, &str) -> bool,
) {
    let host = Host::with(ENVIRONMENT).await;
    let mut hung_up = 0;
    for front in FRONTS.iter().cycle().take(ROUNDS * FRONTS.len()) {
        let mut polls = 0;
        loop {
            let Attempt { browser, request, recipient } = prepare(&host, *front).await;
            let response = browser.send_and_hang_up(request, polls).await;
            host.sigra().settle().await;
            let is_emailed = host.mails_to(&recipient).await.iter().any(|mail| mail.subject == subject);
            assert_eq!(is_emailed, is_done(&host, &recipient).await, "{subject}, after {polls} polls of {front:?}");
            if let Some(response) = response {
                assert!(is_emailed, "{subject}: {response:?}");
                break;
            }
            polls += 1;
        }
        hung_up += polls;
    }
    assert!(hung_up > ROUNDS * FRONTS.len(), "the request never waited: {hung_up}");
}

async fn assert_emailed_after_a_kill(
    subject: &str,
    prepare: &(impl AsyncFn(&Host, Front) -> Attempt + Sync),
    is_done: &impl AsyncFn(&Host, &str) -> bool,
) {
    let database = TestDatabase::create();
    let next = Host::on(database.clone(), ENVIRONMENT).await;
    let (mut polls, mut answered, mut later) = (0, 0, Vec::new());
    // A request that is answered early, because the database is fast, is killed at more points.
    while answered < FRONTS.len() || polls <= 2 * FRONTS.len() {
        let front = FRONTS[polls % FRONTS.len()];
        let killed = std::thread::scope(|scope| {
            scope.spawn(|| run_and_kill(&database, front, polls, prepare)).join().expect("the process does not panic")
        });
        wait_for_killed_process(&next).await;
        let mut mails = killed.sent;
        mails.extend(sent_later(&next, &mut later, &killed.recipient).await);
        mails.retain(|mail| mail.to == killed.recipient && mail.subject == subject);
        let is_done = is_done(&next, &killed.recipient).await;
        // Two emails, if the process was killed after sending one and before recording that.
        assert_eq!(!mails.is_empty(), is_done, "{subject}, after {polls} polls of {front:?}");
        answered += usize::from(killed.has_response);
        polls += 1;
    }
    assert!(polls > answered, "the request never waited: {polls}");
}

/// What a process did before it was killed.
struct Killed {
    recipient: String,
    sent: Vec<Mail>,
    has_response: bool,
}

/// Acts as a separate process. Everything that it does ends with the request.
fn run_and_kill(
    database: &TestDatabase,
    front: Front,
    polls: usize,
    prepare: &impl AsyncFn(&Host, Front) -> Attempt,
) -> Killed {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let host = Host::on(database.clone(), ENVIRONMENT).await;
        let Attempt { browser, request, recipient } = prepare(&host, front).await;
        host.accounts.mailer().settle().await;
        let has_response = browser.send_and_hang_up(request, polls).await.is_some();
        let sent = host.accounts.mailer().mailbox().expect("emails are kept in memory").mails();
        Killed { recipient, sent, has_response }
    })
}

/// Waits until the database has completed the transaction of the killed process.
async fn wait_for_killed_process(next: &Host) {
    // <sqlite>
    // There is one writer at a time.
    // <template>
    #[cfg(not(feature = "postgres"))]
    // </template>
    let tx = next.sigra().begin().await.expect("a transaction");
    // </sqlite>
    // <postgres>
    // Nobody else writes emails meanwhile.
    // <template>
    #[cfg(feature = "postgres")]
    // </template>
    let tx = {
        let mut tx = next.pool.begin().await.expect("a transaction");
        sqlx::query("LOCK TABLE outgoing_mails IN SHARE MODE").execute(&mut *tx).await.expect("locked");
        tx
    };
    // </postgres>
    tx.rollback().await.expect("rolled back");
}

/// Returns what later processes send to an address. They stay, because an earlier one of them may take an email over.
async fn sent_later(next: &Host, later: &mut Vec<Mailer>, email: &str) -> Vec<Mail> {
    sqlx::query("UPDATE outgoing_mails SET held_until = 0").execute(&next.pool).await.expect("released");
    let mailer = Mailer::from_url("memory:", "MyApp <hello@example.com>").expect("a mailer");
    later.push(mailer.with_outbox(next.sigra().outbox()));
    let begun = Instant::now();
    while count_unsent(next).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no process sends the email");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut mails = next.mails_to(email).await;
    for mailer in later {
        mailer.settle().await;
        mails.extend(mailer.mailbox().expect("emails are kept in memory").mails());
    }
    mails
}

async fn count_unsent(host: &Host) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outgoing_mails").fetch_one(&host.pool).await.expect("a count")
}

/// Returns whether an audit event of a user was recorded, even if the user was deleted.
async fn is_recorded(host: &Host, action: &str, email: &str) -> bool {
    let recorded = "SELECT count(*) FROM audit_events e JOIN users u ON u.id = e.user_id
        WHERE e.action = $1 AND lower(u.email) = $2";
    let recorded = sqlx::query_scalar::<_, i64>(recorded).bind(action.to_owned()).bind(email.to_owned());
    recorded.fetch_one(&host.pool).await.expect("a count") > 0
}

/// A user with a confirmed email address, and their browser.
async fn confirmed(host: &Host) -> (User, TestClient) {
    let (user, browser) = host.authenticated_fixture().await;
    host.confirm(&user).await;
    (user, browser)
}

#[tokio::test]
async fn invariant_17_a_registration_is_emailed_even_if_the_client_hangs_up() {
    let register = async |host: &Host, front: Front| {
        let recipient = host.unique_email();
        let fields = json!({ "email": recipient, "password": VALID_PASSWORD });
        let request = front.request("POST", "/users/register", &fields);
        Attempt { browser: front.client(host, &host.client()), request, recipient }
    };
    let is_registered =
        async |host: &Host, email: &str| host.accounts.get_user_by_email(email).await.expect("a result").is_some();
    assert_emailed("Confirm your email address", register, is_registered).await;
}

#[tokio::test]
async fn invariant_17_a_password_change_is_emailed_even_if_the_client_hangs_up() {
    let change = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let fields = json!({ "password": NEW_PASSWORD, "password_confirmation": NEW_PASSWORD });
        let request = front.request("PUT", "/users/settings/password", &fields);
        Attempt { browser: front.client(host, &browser), request, recipient: user.email }
    };
    let is_changed = async |host: &Host, email: &str| is_recorded(host, sigra::audit::PASSWORD_CHANGED, email).await;
    assert_emailed("Your password was changed", change, is_changed).await;
}

#[tokio::test]
async fn invariant_17_a_password_reset_is_emailed_even_if_the_client_hangs_up() {
    let reset = async |host: &Host, front: Front| {
        let user = host.registered_fixture().await;
        host.client().post("/users/reset-password", &email_form(&user.email)).await;
        let link = host.link_to(&user.email).await;
        let fields = json!({ "password": NEW_PASSWORD, "password_confirmation": NEW_PASSWORD });
        let request = front.request("PUT", &link, &fields);
        Attempt { browser: front.client(host, &host.client()), request, recipient: user.email }
    };
    let is_reset = async |host: &Host, email: &str| is_recorded(host, sigra::audit::PASSWORD_RESET, email).await;
    assert_emailed("Your password was changed", reset, is_reset).await;
}

#[tokio::test]
async fn invariant_17_an_email_change_is_emailed_to_the_old_address_even_if_the_client_hangs_up() {
    let change = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let new = format!("new.{}", user.email);
        browser.put("/users/settings/email", &email_form(&new)).await;
        let link = host.link_to(&new).await;
        let path = format!("/users/settings/confirm-email/{}", token_of(&link));
        Attempt {
            browser: front.client(host, &browser),
            request: front.request("POST", &path, &json!({})),
            recipient: user.email,
        }
    };
    let is_changed = async |host: &Host, email: &str| {
        host.accounts.get_user_by_email(&format!("new.{email}")).await.expect("a result").is_some()
    };
    assert_emailed("Your email address was changed", change, is_changed).await;
}

#[tokio::test]
async fn invariant_17_a_deletion_is_emailed_even_if_the_client_hangs_up() {
    let delete = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let request = front.request("DELETE", "/users/settings", &json!({ "email": user.email }));
        Attempt { browser: front.client(host, &browser), request, recipient: user.email }
    };
    let is_deleted = async |host: &Host, email: &str| {
        let user = host.accounts.get_user_by_email(email).await.expect("a result");
        user.expect("the account is kept during the grace period").delete_after.is_some()
    };
    assert_emailed("Your account will be deleted", delete, is_deleted).await;
}

// <oauth_server>
#[tokio::test]
async fn invariant_17_access_of_a_program_is_emailed_even_if_the_program_hangs_up() {
    let exchange = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let form = crate::oauth_server::exchange_form(&browser).await;
        let request = Request::post("/oauth/token").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.body(form.into()).expect("a request");
        Attempt { browser: front.client(host, &host.client()), request, recipient: user.email }
    };
    let has_access = async |host: &Host, email: &str| is_recorded(host, sigra::audit::PROGRAM_AUTHORIZED, email).await;
    assert_emailed("A program got access to your account", exchange, has_access).await;
}
// </oauth_server>

// <mfa>
#[tokio::test]
async fn invariant_17_a_new_second_factor_is_emailed_even_if_the_client_hangs_up() {
    let enroll = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let code = code_of(host, &key_on(&browser.get("/users/settings/mfa/totp").await));
        let request = front.request("POST", "/users/settings/mfa/totp", &json!({ "code": code }));
        Attempt { browser: front.client(host, &browser), request, recipient: user.email }
    };
    let has_factor = async |host: &Host, email: &str| is_recorded(host, sigra::audit::TOTP_ENABLED, email).await;
    assert_emailed("A second factor was added to your account", enroll, has_factor).await;
}

// <passkeys>
/// The response of a browser that created a passkey: without an attestation, so nothing has to be signed (WebAuthn
/// sections 6.5.4 and 8.7).
fn new_passkey(options: &Value) -> Value {
    // SHA-256 of `localhost`; flags for user present, user verified and an attached key; a counter.
    const DATA: &[u8] = b"\x49\x96\x0d\xe5\x88\x0e\x8c\x68\x74\x34\x17\x0f\x64\x76\x60\x5b\x8f\xe4\xae\xb9\xa2\x86\x32\xc7\x99\x5c\xf3\xba\x83\x1d\x97\x63\x45\0\0\0\x01";
    // The generator of P-256 (SP 800-186 section 3.2.1.3), as a COSE key (RFC 9053 section 7.1.1).
    const KEY: &[u8] = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20\
        \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
        \x22\x58\x20\
        \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
    let id = uuid::Uuid::now_v7();
    let data = [DATA, &[0; 16], &[0, 16], id.as_bytes(), KEY].concat();
    let length = u8::try_from(data.len()).expect("short");
    let object = [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58", &[length][..], &data].concat();
    let challenge = &options["publicKey"]["challenge"];
    let client_data = json!({ "type": "webauthn.create", "challenge": challenge, "origin": "http://localhost:4000" });
    let id = URL_SAFE_NO_PAD.encode(id);
    let response = json!({
        "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data.to_string()),
        "attestationObject": URL_SAFE_NO_PAD.encode(object),
    });
    json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {} })
}

#[tokio::test]
async fn invariant_17_a_new_passkey_is_emailed_even_if_the_client_hangs_up() {
    let add = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let options = browser.post("/users/settings/passkeys/options", &[]).await.json::<Value>();
        let request =
            front.request("POST", "/users/settings/passkeys", &json!({ "credential": new_passkey(&options) }));
        Attempt { browser: front.client(host, &browser), request, recipient: user.email }
    };
    let has_passkey = async |host: &Host, email: &str| is_recorded(host, sigra::audit::PASSKEY_ADDED, email).await;
    assert_emailed("A second factor was added to your account", add, has_passkey).await;
}
// </passkeys>

#[tokio::test]
async fn invariant_17_a_removed_second_factor_is_emailed_even_if_the_client_hangs_up() {
    let remove = async |host: &Host, front: Front| {
        let (user, browser) = host.mfa_complete_fixture().await;
        host.confirm(&user).await;
        let request = front.request("DELETE", "/users/settings/mfa/totp", &json!({}));
        Attempt { browser: front.client(host, &browser), request, recipient: user.email }
    };
    let is_removed = async |host: &Host, email: &str| is_recorded(host, sigra::audit::TOTP_DISABLED, email).await;
    assert_emailed("A second factor was removed from your account", remove, is_removed).await;
}
// </mfa>
