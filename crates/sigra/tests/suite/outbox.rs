//! Emails that outlive the process that should have sent them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sigra::mail::{Mail, Mailer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::host::{DAY, Host, MINUTE, secret};
use crate::database::INVALID_ID;

const FROM: &str = "MyApp <hello@example.com>";

/// Longer than any step takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn mail() -> Mail {
    Mail::new("ada@example.com", "Hello", "A link that nobody else may read").html("<p>A link</p>")
}

/// The mailer of a process whose mail server is down.
fn mailer_without_server(host: &Host) -> Mailer {
    // Port 9 is the discard service, so that no mail server is there.
    Mailer::from_url("smtp://127.0.0.1:9", FROM).expect("a mailer").with_outbox(host.sigra.outbox())
}

/// The mailer of a process whose mail server works.
fn working_mailer(host: &Host) -> Mailer {
    Mailer::from_url("memory:", FROM).expect("a mailer").with_outbox(host.sigra.outbox())
}

fn sent(mailer: &Mailer) -> Vec<Mail> {
    mailer.mailbox().expect("it is in memory").mails()
}

async fn count(host: &Host) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outgoing_mails").fetch_one(&host.pool).await.expect("a count")
}

async fn eventually(condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "the condition was not met in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Leaves emails unsent, as a process does when it ends.
async fn leave_unsent(host: &Host, mails: i64) {
    let mailer = mailer_without_server(host);
    for _ in 0..mails {
        mailer.send(mail());
    }
    eventually(async || count(host).await == mails).await;
    assert_eq!(i64::try_from(mailer.release_unsent().await).expect("few"), mails);
}

#[tokio::test]
async fn a_sent_email_leaves_no_row() {
    let host = Host::new().await;
    let mailer = working_mailer(&host);
    mailer.send(mail());
    mailer.settle().await;
    assert_eq!(sent(&mailer), [mail()]);
    assert_eq!(count(&host).await, 0);
    assert_eq!(mailer.release_unsent().await, 0);
}

#[tokio::test]
async fn emails_left_by_a_process_are_sent_exactly_once_by_others() {
    const MAILS: i64 = 50;
    let host = Host::new().await;
    leave_unsent(&host, MAILS).await;
    let nodes: Vec<Mailer> = (0..4).map(|_| working_mailer(&host)).collect();
    let all_sent = async || nodes.iter().map(|node| sent(node).len()).sum::<usize>() == 50;
    eventually(all_sent).await;
    eventually(async || count(&host).await == 0).await;
    for node in &nodes {
        node.settle().await;
    }
    assert!(all_sent().await, "no email is sent twice");
    assert!(nodes.iter().all(|node| sent(node).iter().all(|sent| *sent == mail())));
}

#[tokio::test]
async fn an_email_is_left_to_its_process_until_that_process_has_ended() {
    let host = Host::new().await;
    let mailer = mailer_without_server(&host);
    mailer.send(mail());
    eventually(async || count(&host).await == 1).await;
    let other = working_mailer(&host);
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.settle().await;
    assert!(sent(&other).is_empty());

    // As if it had been killed some time ago.
    sqlx::query("UPDATE outgoing_mails SET held_until = 0").execute(&host.pool).await.expect("released");
    let next = working_mailer(&host);
    eventually(async || sent(&next).len() + sent(&other).len() == 1).await;
}

#[tokio::test]
async fn invariant_1_waiting_emails_are_not_readable_in_the_database() {
    let host = Host::new().await;
    leave_unsent(&host, 1).await;
    let contains = |file: &Vec<u8>, text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    for file in host.database_files().await {
        for secret in ["A link", "ada@example.com", "Hello"] {
            assert!(!contains(&file, secret), "{secret} is there");
        }
    }
}

#[tokio::test]
async fn an_email_that_waited_too_long_is_deleted_unsent() {
    let host = Host::new().await;
    leave_unsent(&host, 1).await;
    sqlx::query("UPDATE outgoing_mails SET inserted_at = 0").execute(&host.pool).await.expect("aged");
    let next = working_mailer(&host);
    eventually(async || count(&host).await == 0).await;
    next.settle().await;
    assert!(sent(&next).is_empty(), "its links have expired");
}

/// Begins a transaction, and sends an email in it.
async fn transaction_with_email(host: &Host, mailer: &Mailer) -> sigra::Transaction<super::host::User> {
    let mut tx = host.sigra.begin().await.expect("a transaction");
    mailer.send_in(&mut tx, mail()).await.expect("kept");
    tx
}

#[tokio::test]
async fn invariant_17_an_email_is_sent_once_after_its_transaction_commits() {
    let host = Host::new().await;
    for mailer in [working_mailer(&host), Mailer::from_url("memory:", FROM).expect("a mailer")] {
        let tx = transaction_with_email(&host, &mailer).await;
        mailer.settle().await;
        assert!(sent(&mailer).is_empty(), "not before the commit");
        tx.commit().await.expect("committed");
        mailer.settle().await;
        assert_eq!(sent(&mailer), [mail()]);
        assert_eq!(count(&host).await, 0);
    }
}

#[tokio::test]
async fn invariant_17_an_email_of_a_rolled_back_transaction_is_never_sent() {
    let host = Host::new().await;
    for mailer in [working_mailer(&host), Mailer::from_url("memory:", FROM).expect("a mailer")] {
        transaction_with_email(&host, &mailer).await.rollback().await.expect("rolled back");
        drop(transaction_with_email(&host, &mailer).await);
        mailer.settle().await;
        assert!(sent(&mailer).is_empty());
        assert_eq!((count(&host).await, mailer.release_unsent().await), (0, 0));
    }
}

/// As if the process was killed after the commit reached the database, but before its result came back.
#[tokio::test]
async fn invariant_17_an_email_is_sent_even_if_its_process_ended_during_the_commit() {
    let host = Host::new().await;
    let (mut committed, mut polls, mut at_once) = (0, 0, 0);
    loop {
        let is_done = commit_and_kill(&host, polls);
        if is_done && polls > 1 {
            break;
        }
        if is_done {
            // The commit finished at once, which doesn't happen every time.
            at_once += 1;
            assert!(at_once < 1000, "the commit never waited for the database");
            continue;
        }
        polls += 1;
        // The database may still complete the commit, at any time.
        let both = "SELECT (SELECT count(*) FROM audit_events WHERE action = 'committed'),
            (SELECT count(*) FROM outgoing_mails)";
        let (changes, mails): (i64, i64) = sqlx::query_as(both).fetch_one(&host.pool).await.expect("counts");
        assert_eq!(mails, changes, "after {polls} polls");
        committed = changes;
    }
    sqlx::query("UPDATE outgoing_mails SET held_until = 0").execute(&host.pool).await.expect("released");
    let next = working_mailer(&host);
    eventually(async || i64::try_from(sent(&next).len()).expect("few") > committed).await;
}

/// Commits an email in a process of its own, which ends after that many polls. Returns whether the commit finished.
fn commit_and_kill(host: &Host, polls: usize) -> bool {
    let process = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let host = host.restart(|config| config).await;
            let mailer = mailer_without_server(&host);
            let mut tx = transaction_with_email(&host, &mailer).await;
            let audit = sigra::audit::Audit::new("committed");
            host.sigra.audit().record_in(&mut tx, &audit).await.expect("recorded");
            abandon_after(polls, tx.commit()).await
        })
    };
    std::thread::scope(|scope| scope.spawn(process).join().expect("no panic"))
}

/// Polls `work` at most `polls` times. Returns whether it finished.
async fn abandon_after(polls: usize, work: impl Future<Output = sigra::Result<()>>) -> bool {
    let (mut work, mut polled) = (std::pin::pin!(work), 0);
    std::future::poll_fn(|cx| {
        if polled == polls {
            return std::task::Poll::Ready(false);
        }
        polled += 1;
        match work.as_mut().poll(cx) {
            std::task::Poll::Ready(done) => std::task::Poll::Ready(done.is_ok()),
            std::task::Poll::Pending if polled == polls => std::task::Poll::Ready(false),
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    })
    .await
}

/// A mail server that refuses every email. Returns its URL, and the number of refusals.
async fn refusing_server(reply: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("smtp://{}", listener.local_addr().expect("an address"));
    let refused = Arc::<AtomicUsize>::default();
    let counted = refused.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(refuse(BufReader::new(stream), reply, counted.clone()));
        }
    });
    (url, refused)
}

/// Speaks SMTP with one client, until it disconnects.
async fn refuse(mut stream: BufReader<TcpStream>, reply: &str, refused: Arc<AtomicUsize>) -> std::io::Result<()> {
    stream.write_all(b"220 test\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let reply = match line.starts_with("MAIL FROM") {
            true => reply,
            false => "250 good",
        };
        if reply != "250 good" {
            refused.fetch_add(1, Ordering::SeqCst);
        }
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// The mailer of a process whose mail server refuses every email.
async fn refused_mailer(host: &Host, reply: &'static str) -> (Mailer, Arc<AtomicUsize>) {
    let (url, refused) = refusing_server(reply).await;
    (Mailer::from_url(&url, FROM).expect("a mailer").with_outbox(host.sigra.outbox()), refused)
}

#[tokio::test]
async fn an_email_is_kept_while_the_mail_server_is_misconfigured_or_over_its_quota() {
    let replies = ["535 5.7.8 wrong password", "530 log in first", "550 5.4.5 over the daily quota"];
    for reply in replies {
        let host = Host::new().await;
        let (mailer, refused) = refused_mailer(&host, reply).await;
        mailer.send(mail());
        eventually(async || refused.load(Ordering::SeqCst) > 1).await;
        assert_eq!(count(&host).await, 1, "{reply}");
        assert_eq!(mailer.release_unsent().await, 1);
        let next = working_mailer(&host);
        eventually(async || sent(&next) == [mail()]).await;
    }
}

#[tokio::test]
async fn an_email_is_deleted_if_its_recipient_is_refused() {
    let host = Host::new().await;
    let (mailer, refused) = refused_mailer(&host, "550 5.1.1 no such mailbox").await;
    mailer.send(mail());
    eventually(async || refused.load(Ordering::SeqCst) == 1).await;
    mailer.settle().await;
    assert_eq!((refused.load(Ordering::SeqCst), count(&host).await), (1, 0));
}

/// Makes all emails older, and releases them.
async fn age(host: &Host, by: Duration) {
    let age = "UPDATE outgoing_mails SET inserted_at = inserted_at - $1, held_until = 0";
    let by = i64::try_from(by.as_millis()).expect("few");
    sqlx::query(age).bind(by).execute(&host.pool).await.expect("aged");
}

/// Returns how long the email is still held, in milliseconds.
async fn held_for(host: &Host) -> i128 {
    let until: i64 = sqlx::query_scalar("SELECT held_until FROM outgoing_mails").fetch_one(&host.pool).await.unwrap();
    i128::from(until) - time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000
}

#[tokio::test]
async fn an_email_is_put_off_after_the_last_retry_and_tried_again_by_the_next_start() {
    let host = Host::new().await;
    leave_unsent(&host, 1).await;
    age(&host, MINUTE * 60).await;
    let failing = mailer_without_server(&host);
    let minute = i128::try_from(MINUTE.as_millis()).expect("few");
    eventually(async || held_for(&host).await > 20 * minute).await;
    failing.settle().await;
    assert!(held_for(&host).await <= 30 * minute);
    assert_eq!(failing.release_unsent().await, 0, "the process doesn't wait for it");

    let next = working_mailer(&host);
    eventually(async || sent(&next) == [mail()]).await;
    next.settle().await;
    assert_eq!(count(&host).await, 0);
}

/// Changes the oldest email.
async fn spoil(host: &Host, change: &str) {
    let spoil =
        format!("UPDATE outgoing_mails SET {change} WHERE id = (SELECT id FROM outgoing_mails ORDER BY id LIMIT 1)");
    sqlx::query(sqlx::AssertSqlSafe(spoil)).execute(&host.pool).await.expect("spoiled");
}

#[tokio::test]
async fn an_unreadable_email_does_not_hold_others_back() {
    let Some(invalid) = INVALID_ID else { return };
    let host = Host::new().await;
    leave_unsent(&host, 3).await;
    spoil(&host, &format!("id = {invalid}")).await;
    let next = working_mailer(&host);
    eventually(async || sent(&next).len() == 2).await;
    next.settle().await;
    assert_eq!(count(&host).await, 1);
}

#[tokio::test]
async fn an_email_with_an_impossible_time_does_not_hold_others_back() {
    let host = Host::new().await;
    for (time, sent_of_three) in [(i64::MIN, 2), (i64::MAX, 3)] {
        leave_unsent(&host, 3).await;
        spoil(&host, &format!("inserted_at = {time}")).await;
        let next = working_mailer(&host);
        eventually(async || count(&host).await == 0).await;
        next.settle().await;
        assert_eq!(sent(&next).len(), sent_of_three, "{time}");
    }
}

/// While a secret is rotated, a process that still has the old one can come first.
#[tokio::test]
async fn an_email_that_a_process_can_not_decrypt_is_left_to_others_for_a_day() {
    let old = Host::new().await;
    let new = old.restart(|_| sigra::Config::new("my_app", secret("b")).older_secrets([secret("a")])).await;
    leave_unsent(&new, 1).await;
    let of_old = working_mailer(&old);
    eventually(async || held_for(&old).await > i128::try_from(MINUTE.as_millis()).expect("few")).await;
    of_old.settle().await;
    assert!(sent(&of_old).is_empty());
    let of_new = working_mailer(&new);
    eventually(async || sent(&of_new) == [mail()]).await;

    leave_unsent(&new, 1).await;
    age(&old, DAY).await;
    let of_old = working_mailer(&old);
    eventually(async || count(&old).await == 0).await;
    assert!(sent(&of_old).is_empty());
}
