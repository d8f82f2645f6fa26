//! Clients that hang up in the middle of a request, at every point where the application waits for anything. What was
//! done is told by mail all the same, and what is told was done.

use crate::support::{Host, email_form, token_of};
use axum::{
    body::Body,
    http::{Request, header},
};
use my_app::accounts::User;
use serde_json::{Value, json};
use sigra::testing::{TestClient, TestHost, VALID_PASSWORD};

const NEW_PASSWORD: &str = "a quite different password";

/// How often each point is tried: where a request waits depends on how fast the database is.
const ROUNDS: usize = 2;

/// Whom the client speaks to.
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
    /// The same browser, before this front.
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

    /// A form's fields are named after the user.
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
        form.append_pair(&format!("user[{name}]"), value.as_str().unwrap_or_default());
    }
    form.finish()
}

/// A request that is about to be sent, and who hears of it.
struct Attempt {
    browser: TestClient,
    request: Request<Body>,
    told: String,
}

/// Hangs up at every point. Whatever is done then, a mail with this subject tells of it.
async fn assert_told(
    subject: &str,
    prepare: impl AsyncFn(&Host, Front) -> Attempt,
    is_done: impl AsyncFn(&Host, &str) -> bool,
) {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let mut hung_up = 0;
    for front in FRONTS.iter().cycle().take(ROUNDS * FRONTS.len()) {
        let mut polls = 0;
        loop {
            let Attempt { browser, request, told } = prepare(&host, *front).await;
            let answer = browser.send_and_hang_up(request, polls).await;
            host.sigra().settle().await;
            let is_told = host.mails_to(&told).await.iter().any(|mail| mail.subject == subject);
            assert_eq!(is_told, is_done(&host, &told).await, "{subject}, after {polls} polls of {front:?}");
            if let Some(answer) = answer {
                assert!(is_told, "{subject}: {answer:?}");
                break;
            }
            polls += 1;
        }
        hung_up += polls;
    }
    assert!(hung_up > ROUNDS * FRONTS.len(), "it waits for something: {hung_up}");
}

/// Whether an event of a user was recorded, whatever has become of them.
async fn is_recorded(host: &Host, action: &str, email: &str) -> bool {
    let recorded = "SELECT count(*) FROM audit_events e JOIN users u ON u.id = e.user_id
        WHERE e.action = $1 AND lower(u.email) = $2";
    let recorded = sqlx::query_scalar::<_, i64>(recorded).bind(action.to_owned()).bind(email.to_owned());
    recorded.fetch_one(&host.pool).await.expect("a count") > 0
}

/// Somebody who is logged in.
async fn confirmed(host: &Host) -> (User, TestClient) {
    let (user, browser) = host.authenticated_fixture().await;
    host.confirm(&user).await;
    (user, browser)
}

#[tokio::test]
async fn invariant_17_who_registers_is_asked_to_confirm_whenever_they_hang_up() {
    let register = async |host: &Host, front: Front| {
        let told = host.unique_email();
        let fields = json!({ "email": told, "password": VALID_PASSWORD });
        let request = front.request("POST", "/users/register", &fields);
        Attempt { browser: front.client(host, &host.client()), request, told }
    };
    let is_registered =
        async |host: &Host, email: &str| host.accounts.get_user_by_email(email).await.expect("an answer").is_some();
    assert_told("Confirm your email address", register, is_registered).await;
}

#[tokio::test]
async fn invariant_17_a_changed_password_is_told_whenever_its_changer_hangs_up() {
    let change = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let fields = json!({ "password": NEW_PASSWORD, "password_confirmation": NEW_PASSWORD });
        let request = front.request("PUT", "/users/settings/password", &fields);
        Attempt { browser: front.client(host, &browser), request, told: user.email }
    };
    let is_changed = async |host: &Host, email: &str| is_recorded(host, sigra::audit::PASSWORD_CHANGED, email).await;
    assert_told("Your password was changed", change, is_changed).await;
}

#[tokio::test]
async fn invariant_17_a_password_set_by_a_link_is_told_whenever_its_setter_hangs_up() {
    let reset = async |host: &Host, front: Front| {
        let user = host.user_fixture().await;
        host.client().post("/users/reset-password", &email_form(&user.email)).await;
        let link = host.link_to(&user.email).await;
        let fields = json!({ "password": NEW_PASSWORD, "password_confirmation": NEW_PASSWORD });
        let request = front.request("PUT", &link, &fields);
        Attempt { browser: front.client(host, &host.client()), request, told: user.email }
    };
    let is_reset = async |host: &Host, email: &str| is_recorded(host, sigra::audit::PASSWORD_RESET, email).await;
    assert_told("Your password was changed", reset, is_reset).await;
}

#[tokio::test]
async fn invariant_17_a_changed_address_is_told_to_the_old_one_whenever_its_changer_hangs_up() {
    let change = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let new = format!("new.{}", user.email);
        browser.put("/users/settings/email", &email_form(&new)).await;
        let link = host.link_to(&new).await;
        let path = format!("/users/settings/confirm-email/{}", token_of(&link));
        Attempt {
            browser: front.client(host, &browser),
            request: front.request("POST", &path, &json!({})),
            told: user.email,
        }
    };
    let is_changed = async |host: &Host, email: &str| {
        host.accounts.get_user_by_email(&format!("new.{email}")).await.expect("an answer").is_some()
    };
    assert_told("Your email address was changed", change, is_changed).await;
}

#[tokio::test]
async fn invariant_17_a_deleted_account_is_told_whenever_its_deleter_hangs_up() {
    let delete = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let request = front.request("DELETE", "/users/settings", &json!({ "email": user.email }));
        Attempt { browser: front.client(host, &browser), request, told: user.email }
    };
    let is_deleted = async |host: &Host, email: &str| {
        let user = host.accounts.get_user_by_email(email).await.expect("an answer");
        user.expect("it can be had back").delete_after.is_some()
    };
    assert_told("Your account will be deleted", delete, is_deleted).await;
}

// <mfa>
#[tokio::test]
async fn invariant_17_a_second_factor_is_told_whenever_its_adder_hangs_up() {
    let enrol = async |host: &Host, front: Front| {
        let (user, browser) = confirmed(host).await;
        let page = browser.get("/users/settings/mfa/totp").await.text();
        let (_, key) = page.split_once("class=\"key\">").expect("a key");
        let key = key.split_once('<').expect("its end").0.replace(' ', "");
        let secret = totp_rs::Secret::try_from_base32(key).expect("a key");
        let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
        let code = totp.generate(host.clock().now().unix_timestamp().unsigned_abs()).to_string();
        let request = front.request("POST", "/users/settings/mfa/totp", &json!({ "code": code }));
        Attempt { browser: front.client(host, &browser), request, told: user.email }
    };
    let has_factor = async |host: &Host, email: &str| is_recorded(host, sigra::audit::TOTP_ENABLED, email).await;
    assert_told("A second factor was added to your account", enrol, has_factor).await;
}

#[tokio::test]
async fn invariant_17_a_removed_second_factor_is_told_whenever_its_remover_hangs_up() {
    let remove = async |host: &Host, front: Front| {
        let (user, browser) = host.mfa_complete_fixture().await;
        host.confirm(&user).await;
        let request = front.request("DELETE", "/users/settings/mfa/totp", &json!({}));
        Attempt { browser: front.client(host, &browser), request, told: user.email }
    };
    let is_removed = async |host: &Host, email: &str| is_recorded(host, sigra::audit::TOTP_DISABLED, email).await;
    assert_told("A second factor was removed from your account", remove, is_removed).await;
}
// </mfa>
