//! Sessions: their rows, tokens, lifetimes and ends.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::post,
};
use sigra::{
    CookieSession, Error, LoginMethod, LoginOutcome, Password, RememberMe, SessionRow, SessionToken, Sigra,
    Transaction, Verification,
    mfa::{MfaChallenge, MfaCode, SecondFactor, TrustBrowser},
    testing::{TestClient, TestHost, VALID_PASSWORD, assert_redirected_to, assert_sessions_invalidated, assert_status},
};
use sqlx::Row;
use tokio::task::JoinSet;

use super::host::{
    self, DAY, Host, KEY, MINUTE, REMEMBER_ME, SECOND, User, assert_sets_no_cookie, remembered_token, token, who,
};
use crate::database::REFUSE_UPDATES;

const REISSUE_AGE: std::time::Duration = DAY.saturating_mul(7);
const GRACE: std::time::Duration = MINUTE;
const RETRY: std::time::Duration = MINUTE;

#[tokio::test]
async fn a_login_writes_one_row_with_the_hash_of_the_session_token() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;

    let row = "SELECT user_id, context, token, remembered, user_agent, ip FROM users_tokens WHERE context = 'session'";
    let row = sqlx::query(row);
    let row = row.fetch_one(&host.pool).await.unwrap();
    assert_eq!(row.get::<uuid::Uuid, _>("user_id"), user.id);
    assert_eq!(row.get::<String, _>("context"), "session");
    assert_eq!(row.get::<Vec<u8>, _>("token"), token(&browser).hash().as_bytes());
    assert_eq!(remembered_token(&browser).hash(), token(&browser).hash());
    assert!(row.get::<bool, _>("remembered"));
    assert_eq!(row.get::<String, _>("user_agent"), sigra::testing::BROWSER);
    assert_eq!(row.get::<String, _>("ip"), "127.0.0.1");
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn requiring_a_session_fails_after_it_ended() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(true).await;
    let scope = host.sigra.fetch_session(&token(&browser)).await.unwrap().unwrap();
    host.sigra.sessions().require(&scope).await.unwrap();
    browser.post("/log-out", &[]).await;
    assert!(matches!(host.sigra.sessions().require(&scope).await, Err(Error::SessionEnded)));
}

/// Lookups that wait at the same moment share a query, up to 64.
#[tokio::test]
async fn concurrent_lookups_each_find_the_session_of_their_own_token() {
    let host = Host::new().await;
    let users = [host.registered_fixture().await, host.registered_fixture().await];
    let mut tokens = Vec::new();
    for number in 0..40 {
        let (user, client) = (&users[number % 2], sigra::Client::default());
        let (token, session) = host.sigra.create_session(user, RememberMe::No, &client).await.unwrap();
        tokens.push((token, Some((user.id, session.id))));
    }
    tokens.push((SessionToken::generate().unwrap(), None));
    let uncached = host.restart(|config| config.cached_scopes(0)).await;
    for at_once in [1, 2, 3, 5, 33, 41, 64, 200] {
        let mut lookups = JoinSet::new();
        for (token, session) in tokens.iter().cycle().take(at_once).cloned() {
            let sigra = uncached.sigra.clone();
            lookups.spawn(async move { (sigra.fetch_session(&token).await.unwrap(), session) });
        }
        for (found, session) in lookups.join_all().await {
            assert_eq!(found.map(|scope| (scope.user().id, scope.session().id)), session, "of {at_once}");
        }
    }
}

#[tokio::test]
async fn a_user_has_at_most_16_known_browsers_and_old_ones_are_purged() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let known = "SELECT count(*) FROM users_tokens WHERE context = 'known_browser'";
    let known = async || sqlx::query_scalar::<_, i64>(known).fetch_one(&host.pool).await.unwrap();
    for _ in 0..20 {
        host.post_log_in(&host.client(), &user, false).await;
    }
    assert_eq!(known().await, 16);
    host.clock().advance(DAY * 300);
    let browser = host.client();
    for _ in 0..3 {
        host.post_log_in(&browser, &user, false).await;
    }
    assert_eq!(known().await, 16, "several logins on one browser are one known browser");
    host.clock().advance(DAY * 100);
    host.sigra.housekeeping().purge_expired().await.unwrap();
    assert_eq!(known().await, 1);
    sqlx::query("DELETE FROM users").execute(&host.pool).await.unwrap();
    assert_eq!(known().await, 0);
}

/// Otherwise the browser would keep a token that nobody knows, in place of another user's.
#[tokio::test]
async fn a_browser_is_told_that_it_is_known_only_after_the_commit() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let (sigra, remembered) = (host.sigra().clone(), user.clone());
    let log_in = move |session: CookieSession| {
        let (sigra, user) = (sigra.clone(), user.clone());
        async move {
            let fails = async |_: &mut Transaction<User>, _: &SessionRow| Err(Error::Random);
            let login = sigra.log_in_with(&session, &user, LoginMethod::Password, RememberMe::No, fails).await;
            login.unwrap_err().to_string()
        }
    };
    let sigra = host.sigra().clone();
    let remember = move |session: CookieSession| {
        let (sigra, user) = (sigra.clone(), remembered.clone());
        async move {
            let mut tx = sigra.begin().await.unwrap();
            sigra.known_browsers().remember_in(&mut tx, &session, &user.id).await.unwrap();
            tx.rollback().await.unwrap();
        }
    };
    let router = Router::new().route("/log-in", post(log_in)).route("/remember", post(remember));
    let browser = TestClient::new(router.layer(host.sigra().fetch_current_scope()));
    for path in ["/log-in", "/remember"] {
        let response = browser.post(path, &[]).await;
        assert_status(&response, StatusCode::OK);
        assert_sets_no_cookie(&response);
    }
}

/// Ends the user's other sessions.
async fn end_others(sigra: &Sigra<User>, tx: &mut Transaction<User>, user: &User, opened: &SessionRow) -> SessionRow {
    let others = sigra.sessions().delete_all_in(tx, &user.id, Some(opened.id)).await.unwrap();
    sigra.sessions().announce_in(tx, others);
    opened.clone()
}

/// The session that a login passed on is as it is in the database, and the only one.
async fn assert_only_session(sigra: &Sigra<User>, user: &User, opened: SessionRow) {
    let sessions = sigra.sessions().list(&user.id).await.unwrap().to_vec();
    assert_eq!(sessions.into_iter().map(in_milliseconds).collect::<Vec<_>>(), [in_milliseconds(opened)]);
}

/// PostgreSQL rounds times to microseconds.
fn in_milliseconds(mut row: SessionRow) -> SessionRow {
    let times = [&mut row.inserted_at, &mut row.issued_at, &mut row.authenticated_at, &mut row.last_used_at];
    for time in times.into_iter().chain(&mut row.mfa_verified_at) {
        *time = time.replace_nanosecond(time.nanosecond() / 1_000_000 * 1_000_000).unwrap();
    }
    row
}

/// Logs in users, and allows each one session.
fn one_session_for_each_user(sigra: &Sigra<User>, user: &User) -> Router {
    let (log_in, answer) = ((sigra.clone(), user.clone()), sigra.clone());
    let log_in = move |session: CookieSession| async move {
        let ((sigra, user), mut opened) = (log_in, None);
        let also = async |tx: &mut Transaction<User>, row: &SessionRow| {
            opened = Some(end_others(&sigra, tx, &user, row).await);
            Ok(())
        };
        let outcome = sigra.log_in_with(&session, &user, LoginMethod::Password, RememberMe::No, also).await.unwrap();
        assert_eq!(opened.is_some(), outcome == LoginOutcome::Complete);
        if let Some(opened) = opened {
            assert_only_session(&sigra, &user, opened).await;
        }
    };
    let answer = move |session: CookieSession, challenge: MfaChallenge<User>, code: String| async move {
        let (sigra, user, mut opened) = (answer, challenge.user(), None);
        let also = async |tx: &mut Transaction<User>, row: &SessionRow, _| {
            opened = Some(end_others(&sigra, tx, user, row).await);
            Ok(())
        };
        let code = MfaCode::new(code);
        let code = SecondFactor::Code(&code);
        let factor = sigra.mfa().complete_with(&session, &challenge, code, TrustBrowser::No, also).await.unwrap();
        assert!(factor.is_valid());
        assert_only_session(&sigra, user, opened.unwrap()).await;
    };
    Router::new().route("/log-in", post(log_in)).route("/answer", post(answer)).layer(sigra.fetch_current_scope())
}

#[tokio::test]
async fn a_login_can_end_all_other_sessions_of_its_user() {
    let host = Host::new().await;
    let (user, elsewhere) = host.logged_in(true).await;
    let (_, other_user) = host.logged_in(true).await;
    let browser = TestClient::new(one_session_for_each_user(host.sigra(), &user));
    for _ in 0..2 {
        assert_status(&browser.post("/log-in", &[]).await, StatusCode::OK);
        assert_eq!(who(&host.take_over(&browser)).await, user.email);
    }
    assert_eq!(who(&elsewhere).await, "anonymous");
    assert_ne!(who(&other_user).await, "anonymous");
}

/// Otherwise, somebody who has only the password logs the owner out.
#[tokio::test]
async fn other_sessions_end_only_when_the_second_factor_was_presented() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let elsewhere = host.client();
    assert_redirected_to(&host.post_log_in(&elsewhere, &user, false).await, "/mfa-challenge");
    let code = host.totp_code(&user).await;
    assert_status(&elsewhere.post("/mfa-challenge", &[("code", &code)]).await, StatusCode::OK);
    host.clock().advance(MINUTE);
    let browser = TestClient::new(one_session_for_each_user(host.sigra(), &user));
    assert_status(&browser.post("/log-in", &[]).await, StatusCode::OK);
    assert_eq!(who(&elsewhere).await, user.email);

    let code = host.totp_code(&user).await;
    assert_status(&browser.send(Request::post("/answer").body(Body::from(code)).unwrap()).await, StatusCode::OK);
    assert_eq!(who(&elsewhere).await, "anonymous");
    assert_eq!(who(&host.take_over(&browser)).await, user.email);
}

/// The browser that was trusted first is no longer trusted when there are too many.
#[tokio::test]
async fn a_user_has_at_most_16_trusted_browsers() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let mut browsers = Vec::new();
    for _ in 0..17 {
        host.clock().advance(SECOND);
        let browser = host.client();
        host.trust_browser(&browser, &user).await;
        browsers.push(browser);
    }
    assert_eq!(host.sigra.trusted_browsers().list(&user.id).await.unwrap().len(), 16);
    for (browser, leads_to) in [(&browsers[0], "/mfa-challenge"), (&browsers[1], "/"), (&browsers[16], "/")] {
        assert_eq!(host.post_log_in(browser, &user, false).await.location(), Some(leads_to));
    }
}

#[tokio::test]
async fn wrong_passwords_and_unknown_email_addresses_are_refused() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let nobody = host.unique_email();
    for (email, password) in
        [(user.email.as_str(), "wrong"), (user.email.as_str(), ""), (nobody.as_str(), VALID_PASSWORD)]
    {
        let browser = host.client();
        let response = browser.post("/log-in", &[("email", email), ("password", password)]).await;
        assert_redirected_to(&response, "/log-in");
        assert_eq!(browser.cookie(KEY), None);
    }
    assert_eq!(host.rows().await, 0);
}

#[tokio::test]
async fn the_scope_has_the_current_data_of_the_user() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    assert_eq!(browser.get("/me").await.json::<serde_json::Value>()["nickname"], "Ada");
    host.execute("UPDATE users SET nickname = 'Countess'").await;
    assert_eq!(browser.get("/me").await.json::<serde_json::Value>()["nickname"], "Countess");
}

#[tokio::test]
async fn logging_out_deletes_the_row_and_the_cookies_and_always_succeeds() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(true).await;
    let thief = browser.fork();

    assert_redirected_to(&browser.post("/log-out", &[]).await, "/");
    assert_eq!(host.rows().await, 0);
    assert_eq!((browser.cookie(KEY), browser.cookie(REMEMBER_ME)), (None, None));
    assert_eq!(who(&thief).await, "anonymous");

    for logged_out in [browser, thief, host.client()] {
        assert_redirected_to(&logged_out.post("/log-out", &[]).await, "/");
    }
}

/// Deletes the row in four ways, one of them by hand.
#[tokio::test]
async fn invariant_2_a_token_is_valid_exactly_while_its_row_exists() {
    let host = Host::new().await;
    let sigra = host.sigra();
    let (user, _) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;

    let browser = host.log_in(&user).await;
    assert_eq!(who(&browser).await, user.email);
    sigra.delete_session(&token(&browser)).await.unwrap();
    assert_eq!(who(&browser).await, "anonymous");

    let browser = host.log_in(&user).await;
    let id = sigra.fetch_session(&token(&browser)).await.unwrap().unwrap().session().id;
    assert!(sigra.sessions().delete(&user.id, id).await.unwrap());
    assert_eq!(who(&browser).await, "anonymous");
    assert!(!sigra.sessions().delete(&user.id, id).await.unwrap());

    let browser = host.log_in(&user).await;
    let deleted = sqlx::query("DELETE FROM users_tokens WHERE token = $1")
        .bind(token(&browser).hash().as_bytes())
        .execute(&host.pool)
        .await
        .unwrap();
    assert_eq!(deleted.rows_affected(), 1);
    assert_eq!(who(&browser).await, "anonymous");

    assert_eq!(who(&other).await, user.email);
    let kept = sigra.fetch_session(&token(&other)).await.unwrap().unwrap();
    assert_eq!(sigra.sessions().delete_others(&kept).await.unwrap(), 1);
    assert_eq!(who(&other).await, user.email);
    assert_eq!(sigra.delete_all_sessions(&user.id).await.unwrap(), 1);
    assert_eq!(who(&other).await, "anonymous");
    assert_sessions_invalidated(sigra, &user).await;
}

#[tokio::test]
async fn a_user_cannot_end_a_session_of_another_user() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let stranger = host.registered_fixture().await;
    let id = host.sigra().sessions().list(&user.id).await.unwrap()[0].id;

    assert!(!host.sigra().sessions().delete(&stranger.id, id).await.unwrap());
    assert_eq!(host.sigra().delete_all_sessions(&stranger.id).await.unwrap(), 0);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
#[should_panic(expected = "still has 1 usable session(s)")]
async fn assert_sessions_invalidated_counts_the_sessions_that_are_left() {
    let host = Host::new().await;
    let (user, _browser) = host.authenticated_fixture().await;
    assert_sessions_invalidated(host.sigra(), &user).await;
}

#[tokio::test]
async fn invariant_2_no_activity_extends_a_session_beyond_its_ttl() {
    for remembered in [false, true] {
        let host = Host::with(|config| config.session_ttl(DAY * 3)).await;
        let (user, browser) = host.logged_in(remembered).await;
        for _ in 0..3 {
            host.clock().advance(DAY - SECOND);
            assert_eq!(who(&browser).await, user.email);
        }
        assert_status(&browser.post("/confirm", &[]).await, 204);
        host.clock().advance(SECOND * 3);
        assert_eq!(who(&browser).await, "anonymous");
        assert_eq!((browser.cookie(KEY), browser.cookie(REMEMBER_ME)), (None, None), "invalid cookies are expired");
        assert_eq!(host.rows().await, 0, "and the row is deleted");
    }
}

/// The server enforces it, not the cookie's `Max-Age`.
#[tokio::test]
async fn invariant_2_a_stolen_remember_me_cookie_is_invalid_after_logout() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let thief = browser.fork();
    thief.remove_cookie(KEY);
    assert_eq!(who(&thief).await, user.email);

    browser.post("/log-out", &[]).await;
    assert_eq!(who(&thief).await, "anonymous");
    assert_eq!((thief.cookie(KEY), thief.cookie(REMEMBER_ME)), (None, None));
}

#[tokio::test]
async fn invariant_2_idle_sessions_end_and_activity_extends_them() {
    let host = Host::with(|config| config.session_idle_timeout(MINUTE * 30)).await;
    let (user, browser) = host.logged_in(false).await;
    for _ in 0..5 {
        host.clock().advance(MINUTE * 20);
        assert_eq!(who(&browser).await, user.email);
    }
    host.clock().advance(MINUTE * 30);
    assert_eq!(host.sigra().sessions().list(&user.id).await.unwrap().len(), 0);
    assert!(host.sigra().fetch_session(&token(&browser)).await.unwrap().is_none());
    assert_eq!(who(&browser).await, "anonymous");
    assert_eq!(host.rows().await, 0);
}

#[tokio::test]
async fn remembered_sessions_have_no_idle_timeout() {
    let host = Host::with(|config| config.session_idle_timeout(MINUTE * 30)).await;
    let (user, browser) = host.logged_in(true).await;
    host.clock().advance(DAY * 59);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn invariant_4_a_token_of_another_context_is_not_a_session_token() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    for context in ["confirm", "reset_password", "change:ada@example.com", "login", "mfa_trust", "Session", ""] {
        sqlx::query("UPDATE users_tokens SET context = $1 WHERE context <> 'known_browser'")
            .bind(context)
            .execute(&host.pool)
            .await
            .unwrap();
        assert_eq!(who(&browser.fork()).await, "anonymous", "{context}");
        assert!(host.sigra().fetch_session(&token(&browser)).await.unwrap().is_none(), "{context}");
        host.sigra().delete_session(&token(&browser)).await.unwrap();
        host.sigra().delete_all_sessions(&user.id).await.unwrap();
        assert_eq!(host.rows().await, 1, "{context}: a row that is not a session is not deleted as one");
    }
    host.execute("UPDATE users_tokens SET context = 'session' WHERE context <> 'known_browser'").await;
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn last_used_at_is_written_at_most_every_five_minutes() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    let last_used_at = async || host.sigra().sessions().list(&user.id).await.unwrap()[0].last_used_at;
    let at_login = last_used_at().await;

    host.clock().advance(MINUTE * 5 - SECOND);
    who(&browser).await;
    assert_eq!(last_used_at().await, at_login);
    host.clock().advance(SECOND);
    who(&browser).await;
    assert_eq!(last_used_at().await, at_login + MINUTE * 5);
    host.clock().advance(MINUTE);
    who(&browser).await;
    assert_eq!(last_used_at().await, at_login + MINUTE * 5);
}

/// Otherwise a session with a timeout of less than five minutes would end while it is used.
#[tokio::test]
async fn last_used_at_is_written_more_often_with_a_short_idle_timeout() {
    let host = Host::with(|config| config.session_idle_timeout(MINUTE * 2)).await;
    let (user, browser) = host.logged_in(false).await;
    for _ in 0..20 {
        host.clock().advance(SECOND * 45);
        assert_eq!(who(&browser).await, user.email);
    }
}

#[tokio::test]
async fn a_request_succeeds_even_if_last_used_at_cannot_be_written() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    host.execute(REFUSE_UPDATES).await;
    host.clock().advance(MINUTE * 5);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn a_token_is_reissued_once_and_replaces_the_old_one() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    let first = token(&browser);
    let before = browser.fork();

    host.clock().advance(REISSUE_AGE - SECOND);
    assert_sets_no_cookie(&browser.get("/maybe").await);
    host.clock().advance(SECOND);
    let (one, two) = tokio::join!(browser.get("/maybe"), before.get("/maybe"));
    assert_eq!(one.set_cookies().len() + two.set_cookies().len(), 1, "{one:?}\n{two:?}");
    let browser = if one.set_cookies().is_empty() { before } else { browser };

    let second = token(&browser);
    assert_ne!(first.hash(), second.hash());
    assert_eq!(host.rows().await, 1);
    let scope = host.sigra().fetch_session(&second).await.unwrap().unwrap();
    // The new token isn't due for a reissue.
    assert_sets_no_cookie(&browser.get("/session-id").await);
    assert_eq!(host.sigra().fetch_session(&second).await.unwrap().unwrap().session().id, scope.session().id);
    assert_eq!(who(&browser).await, user.email);
}

/// Other requests of the browser may have been sent with the old token, such as by another tab or for an image.
#[tokio::test]
async fn invariant_16_the_old_token_stays_valid_for_a_grace_time_after_a_reissue() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let tab = browser.fork();
    host.clock().advance(REISSUE_AGE);
    assert_eq!(who(&browser).await, user.email);
    host.clock().advance(RETRY - SECOND);
    assert_eq!(who(&tab).await, user.email, "the new token was not used yet");

    assert_eq!(who(&browser).await, user.email, "now the new token was used");
    host.clock().advance(GRACE - SECOND);
    assert_eq!(who(&tab).await, user.email, "within the grace time");
    assert_eq!(token(&tab).hash(), token(&tab.fork()).hash());

    host.clock().advance(SECOND);
    let response = tab.get("/maybe").await;
    assert_eq!(response.text(), "anonymous", "after the grace time");
    // The browser's new cookie must not be expired.
    assert_sets_no_cookie(&response);
    assert!(host.sigra().fetch_session(&token(&tab)).await.unwrap().is_none());
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn invariant_16_a_lost_response_does_not_log_the_user_out() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    host.clock().advance(REISSUE_AGE);
    let lost = browser.send_without_storing(host::get_request("/maybe")).await;
    assert_eq!(lost.set_cookies().len(), 1);

    host.clock().advance(RETRY);
    let response = browser.send_without_storing(host::get_request("/maybe")).await;
    assert_eq!(
        (response.text(), response.set_cookies().len()),
        (user.email.clone(), 0),
        "too early for another reissue"
    );
    host.clock().advance(SECOND);
    let retried = browser.get("/maybe").await;
    assert_eq!((retried.text(), retried.set_cookies().len()), (user.email.clone(), 1), "reissued again");

    host.clock().advance(DAY * 30);
    assert_eq!(who(&browser).await, user.email);
    browser.store(&lost);
    assert_eq!(who(&browser).await, "anonymous", "the lost token is invalid");
}

#[tokio::test]
async fn a_reissue_does_not_extend_a_remembered_session() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.clock().advance(REISSUE_AGE);
    let response = browser.get("/maybe").await;
    let cookies = response.set_cookies();
    let remember_me =
        cookies.iter().find(|cookie| cookie.name() == REMEMBER_ME).expect("the remember-me cookie is set too");
    assert_eq!(remember_me.max_age().unwrap().whole_seconds(), 53 * 24 * 60 * 60);
    assert_eq!(remembered_token(&browser).hash(), token(&browser).hash());

    browser.close_and_reopen();
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn logging_out_with_the_old_or_the_new_token_ends_the_session() {
    for with_the_old_one in [true, false] {
        let host = Host::new().await;
        let (_, old) = host.logged_in(false).await;
        host.clock().advance(REISSUE_AGE);
        let new = old.fork();
        who(&new).await;
        let (first, other) = if with_the_old_one { (old, new) } else { (new, old) };
        first.post("/log-out", &[]).await;
        assert_eq!(host.rows().await, 0);
        assert_eq!(who(&other).await, "anonymous");
    }
}

async fn assert_old_token_is_invalid(host: &Host, user: &User, before: &TestClient, browser: &TestClient) {
    assert_ne!(token(before).hash(), token(browser).hash());
    assert!(host.sigra().fetch_session(&token(before)).await.unwrap().is_none());
    assert_eq!(who(before).await, "anonymous");
    assert_eq!(who(browser).await, user.email);
    assert_eq!(host.rows().await, 1);
}

#[tokio::test]
async fn invariant_3_every_change_of_privilege_replaces_the_token_and_the_cookie_session() {
    for path in ["/log-in", "/renew", "/confirm"] {
        for remembered in [false, true] {
            let host = Host::new().await;
            let (user, browser) = host.logged_in(remembered).await;
            let before = browser.fork();
            let id = browser.get("/session-id").await.text();
            let response = browser.post(path, &host::login_form(&user, remembered)).await;
            assert!(!response.status().is_client_error(), "{response:?}");

            assert_ne!(browser.get("/session-id").await.text(), id, "{path}");
            assert_old_token_is_invalid(&host, &user, &before, &browser).await;
            assert_eq!(browser.cookie(REMEMBER_ME).is_some(), remembered, "{path}");
            if remembered {
                assert_eq!(remembered_token(&browser).hash(), token(&browser).hash(), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn invariant_3_a_renewal_during_a_reissue_revokes_both_tokens() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    let old = browser.fork();
    host.clock().advance(REISSUE_AGE);
    let next = old.fork();
    assert_eq!(who(&next).await, user.email);
    assert_status(&browser.post("/renew", &[]).await, 204);
    assert_eq!(who(&old).await, "anonymous");
    assert_eq!(who(&next).await, "anonymous");
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn a_login_without_remember_me_deletes_the_remember_me_cookie() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.post_log_in(&browser, &user, false).await;
    assert_eq!(browser.cookie(REMEMBER_ME), None);
    browser.close_and_reopen();
    assert_eq!(who(&browser).await, "anonymous");
}

#[tokio::test]
async fn a_login_as_another_user_ends_the_session_of_the_first() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(true).await;
    let before = browser.fork();
    let second = host.registered_fixture().await;
    host.post_log_in(&browser, &second, false).await;
    assert_old_token_is_invalid(&host, &second, &before, &browser).await;
}

#[tokio::test]
async fn a_session_that_ended_during_the_request_is_not_renewed() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let delete_all = host.sigra().delete_all_sessions(&user.id);
    let (response, deleted) = host.during_slow_request(&browser, "/slow?renew=true", delete_all).await;
    assert_eq!(deleted.unwrap(), 1);
    assert_status(&response, StatusCode::UNAUTHORIZED);
    assert_eq!(host.rows().await, 0);
}

#[tokio::test]
async fn sudo_mode_requires_a_recent_login_and_activity_does_not_count() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    assert_eq!(browser.get("/sudo").await.text(), user.email);
    host.clock().advance(MINUTE * 20 - SECOND);
    assert_eq!(browser.get("/sudo").await.text(), user.email);
    assert_status(&browser.post("/renew", &[]).await, 204);

    host.clock().advance(SECOND);
    assert_redirected_to(&browser.get("/sudo").await, "/users/sudo");
    browser.close_and_reopen();
    assert_redirected_to(&browser.get("/sudo").await, "/users/sudo");

    assert_status(&browser.post("/confirm", &[]).await, 204);
    assert_eq!(browser.get("/sudo").await.text(), user.email);
}

#[tokio::test]
async fn invariant_17_a_suspended_user_is_logged_out_everywhere_at_the_next_request() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let other = host.log_in(&user).await;
    host.execute("UPDATE users SET suspended = true").await;
    assert!(host.sigra().fetch_session(&token(&browser)).await.unwrap().is_none());
    assert_sessions_invalidated(host.sigra(), &user).await;
    assert_eq!(who(&browser).await, "anonymous");
    assert_eq!((browser.cookie(KEY), browser.cookie(REMEMBER_ME)), (None, None));
    assert_redirected_to(&other.get("/me").await, "/users/log-in");

    host.post_log_in(&browser, &user, false).await;
    assert_eq!(who(&browser).await, "anonymous");
    host.execute("UPDATE users SET suspended = false").await;
    assert_eq!(who(&other).await, "anonymous", "an ended session stays ended");
}

#[tokio::test]
async fn invariant_17_no_login_succeeds_for_a_suspended_user() {
    let host = Host::new().await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    host.execute("UPDATE users SET suspended = true").await;
    let response = host.post_log_in(&browser, &user, true).await;
    assert_status(&response, StatusCode::UNAUTHORIZED);
    assert_sets_no_cookie(&response);
    assert_eq!(browser.get("/flash").await.text(), "");

    // It was read before the suspension.
    assert!(!user.suspended);
    let created = host.sigra().create_session(&user, RememberMe::No, &sigra::Client::default()).await;
    assert!(matches!(created, Err(Error::CredentialsChanged)), "{created:?}");
    assert_eq!(host.rows().await, 0);
    host.execute("UPDATE users SET suspended = false").await;
    assert_redirected_to(&host.post_log_in(&browser, &user, true).await, "/");
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn invariant_17_deleting_a_user_deletes_their_sessions() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.execute("DELETE FROM users").await;
    assert_eq!(host.rows().await, 0);
    assert_eq!(who(&browser).await, "anonymous");
    assert_eq!((browser.cookie(KEY), browser.cookie(REMEMBER_ME)), (None, None));
    let created = host.sigra().create_session(&user, RememberMe::No, &sigra::Client::default()).await;
    assert!(matches!(created, Err(Error::CredentialsChanged)), "{created:?}");
}

#[tokio::test]
async fn invariant_9_a_login_fails_if_the_password_changes_after_it_was_verified() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let sigra: &Sigra<User> = host.sigra();
    let verified = sigra.verify_password(Some(&user), &Password::new(VALID_PASSWORD)).await.unwrap();
    assert_eq!(verified, Verification::Valid);
    host.change_password(&user, "another correct horse").await;

    let created = sigra.create_session(&user, RememberMe::No, &sigra::Client::default()).await;
    assert!(matches!(created, Err(Error::CredentialsChanged)), "{created:?}");
    assert_eq!(host.rows().await, 0);
}

#[tokio::test]
async fn a_user_without_a_password_can_log_in_by_other_methods() {
    let host = Host::new().await;
    host.registered_fixture().await;
    host.execute("UPDATE users SET hashed_password = NULL").await;
    let user: User = sqlx::query_as("SELECT * FROM users").fetch_one(&host.pool).await.unwrap();
    assert_eq!(who(&host.log_in(&user).await).await, user.email);

    let response = host.post_log_in(&host.client(), &user, false).await;
    assert_redirected_to(&response, "/log-in");
    host.change_password(&user, VALID_PASSWORD).await;
    let created = host.sigra().create_session(&user, RememberMe::No, &sigra::Client::default()).await;
    assert!(matches!(created, Err(Error::CredentialsChanged)), "{created:?}");
}

#[tokio::test]
async fn expired_rows_are_purged_and_others_are_kept() {
    let host = Host::new().await;
    let (user, _) = host.logged_in(true).await;
    host.clock().advance(DAY * 30);
    let browser = host.log_in(&user).await;
    assert_eq!(host.sigra().housekeeping().purge_expired().await.unwrap(), 0);
    host.clock().advance(DAY * 30);
    assert_eq!(host.sigra().housekeeping().purge_expired().await.unwrap(), 1);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn purging_continues_until_no_expired_row_is_left() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let (_, session) = host.sigra().create_session(&user, RememberMe::No, &sigra::Client::default()).await.unwrap();
    const COPY: &str =
        "INSERT INTO users_tokens (id, user_id, context, token, series, issued_at, inserted_at, last_used_at)
        SELECT $1, user_id, context, $2, $2, issued_at, inserted_at, last_used_at FROM users_tokens WHERE id = $3";
    let mut tx = host.sigra().begin().await.unwrap();
    for _ in 1..2500 {
        let token = SessionToken::generate().unwrap().hash();
        let copy = sqlx::query(COPY).bind(uuid::Uuid::new_v4()).bind(token.as_bytes()).bind(session.id);
        assert_eq!(copy.execute(&mut *tx).await.unwrap().rows_affected(), 1);
    }
    tx.commit().await.unwrap();
    host.clock().advance(DAY * 60);
    assert_eq!(host.sigra().housekeeping().purge_expired().await.unwrap(), 2500);
    assert_eq!(host.rows().await, 0);
}

#[tokio::test]
async fn sessions_are_listed_most_recently_used_first() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
    let abroad = host.client().peer("203.0.113.7:443".parse().unwrap()).user_agent(windows);
    host.post_log_in(&abroad, &user, false).await;
    host.clock().advance(MINUTE * 10);
    host.post_log_in(&host.client(), &user, false).await;

    let describe = async || -> Vec<String> {
        let sessions = host.sigra().sessions().list(&user.id).await.unwrap();
        sessions.iter().map(|session| format!("{} at {}", session.device(), session.ip.unwrap())).collect()
    };
    assert_eq!(describe().await, ["Firefox on Linux at 127.0.0.1", "Chrome on Windows at 203.0.113.7"]);
    host.clock().advance(MINUTE * 10);
    who(&abroad).await;
    assert_eq!(describe().await, ["Chrome on Windows at 203.0.113.7", "Firefox on Linux at 127.0.0.1"]);
}
