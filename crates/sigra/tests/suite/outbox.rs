//! Mails that outlive the process that was to send them.

use std::time::{Duration, Instant};

use sigra::mail::{Mail, Mailer};

use super::host::Host;

const FROM: &str = "MyApp <hello@example.com>";

/// Longer than anything takes, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn mail() -> Mail {
    Mail::new("ada@example.com", "Hello", "A link that nobody else may read").html("<p>A link</p>")
}

/// A process whose mail server is away.
fn unlucky(host: &Host) -> Mailer {
    // Port 9 discards, where there is anybody.
    Mailer::from_url("smtp://127.0.0.1:9", FROM).expect("a mailer").kept_in(host.sigra.outbox())
}

/// A process whose mail server is there.
fn lucky(host: &Host) -> Mailer {
    Mailer::from_url("memory:", FROM).expect("a mailer").kept_in(host.sigra.outbox())
}

fn sent(mailer: &Mailer) -> Vec<Mail> {
    mailer.mailbox().expect("it is in memory").mails()
}

async fn count(host: &Host) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outgoing_mails").fetch_one(&host.pool).await.expect("a count")
}

async fn eventually(is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "it did not come to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Mails that a process leaves when it ends.
async fn leave_behind(host: &Host, mails: i64) {
    let mailer = unlucky(host);
    for _ in 0..mails {
        mailer.send(mail());
    }
    eventually(async || count(host).await == mails).await;
    assert_eq!(i64::try_from(mailer.leave().await).expect("few"), mails);
}

#[tokio::test]
async fn a_mail_that_was_sent_leaves_nothing() {
    let host = Host::new().await;
    let mailer = lucky(&host);
    mailer.send(mail());
    mailer.settle().await;
    assert_eq!(sent(&mailer), [mail()]);
    assert_eq!(count(&host).await, 0);
    assert_eq!(mailer.leave().await, 0);
}

#[tokio::test]
async fn what_waits_when_a_process_ends_is_sent_by_the_next_ones_and_once() {
    const MAILS: i64 = 50;
    let host = Host::new().await;
    leave_behind(&host, MAILS).await;
    let nodes: Vec<Mailer> = (0..4).map(|_| lucky(&host)).collect();
    let all_sent = async || nodes.iter().map(|node| sent(node).len()).sum::<usize>() == 50;
    eventually(all_sent).await;
    eventually(async || count(&host).await == 0).await;
    for node in &nodes {
        node.settle().await;
    }
    assert!(all_sent().await, "none is sent twice");
    assert!(nodes.iter().all(|node| sent(node).iter().all(|sent| *sent == mail())));
}

#[tokio::test]
async fn what_another_process_is_about_to_send_is_left_to_it_until_it_is_gone() {
    let host = Host::new().await;
    let mailer = unlucky(&host);
    mailer.send(mail());
    eventually(async || count(&host).await == 1).await;
    let other = lucky(&host);
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.settle().await;
    assert!(sent(&other).is_empty());

    // As when it was killed some time ago.
    sqlx::query("UPDATE outgoing_mails SET held_until = 0").execute(&host.pool).await.expect("let go");
    let next = lucky(&host);
    eventually(async || sent(&next).len() + sent(&other).len() == 1).await;
}

#[tokio::test]
async fn invariant_1_what_waits_is_not_readable_in_the_database() {
    let host = Host::new().await;
    leave_behind(&host, 1).await;
    let contains = |file: &Vec<u8>, text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    for file in host.database_files().await {
        for secret in ["A link", "ada@example.com", "Hello"] {
            assert!(!contains(&file, secret), "{secret} is there");
        }
    }
}

#[tokio::test]
async fn what_can_not_be_read_any_more_is_given_up() {
    let host = Host::new().await;
    leave_behind(&host, 1).await;
    sqlx::query("UPDATE outgoing_mails SET inserted_at = 0").execute(&host.pool).await.expect("aged");
    let next = lucky(&host);
    eventually(async || count(&host).await == 0).await;
    next.settle().await;
    assert!(sent(&next).is_empty(), "its links are no longer good");
}

/// A transaction that a mail is sent in.
async fn begun_with(host: &Host, mailer: &Mailer) -> sigra::Transaction<super::host::User> {
    let mut tx = host.sigra.begin().await.expect("a transaction");
    mailer.send_in(&mut tx, mail()).await.expect("kept");
    tx
}

#[tokio::test]
async fn invariant_17_a_mail_is_sent_with_the_commit_of_what_it_tells_of_and_once() {
    let host = Host::new().await;
    for mailer in [lucky(&host), Mailer::from_url("memory:", FROM).expect("a mailer")] {
        let tx = begun_with(&host, &mailer).await;
        mailer.settle().await;
        assert!(sent(&mailer).is_empty(), "not before");
        tx.commit().await.expect("committed");
        mailer.settle().await;
        assert_eq!(sent(&mailer), [mail()]);
        assert_eq!(count(&host).await, 0);
    }
}

#[tokio::test]
async fn invariant_17_a_mail_of_what_was_rolled_back_is_never_sent() {
    let host = Host::new().await;
    for mailer in [lucky(&host), Mailer::from_url("memory:", FROM).expect("a mailer")] {
        begun_with(&host, &mailer).await.rollback().await.expect("rolled back");
        drop(begun_with(&host, &mailer).await);
        mailer.settle().await;
        assert!(sent(&mailer).is_empty());
        assert_eq!((count(&host).await, mailer.leave().await), (0, 0));
    }
}

/// As when the process was killed as soon as the commit had reached the database: nobody has heard of it.
#[tokio::test]
async fn invariant_17_a_mail_is_sent_whose_process_ended_in_the_middle_of_the_commit() {
    let host = Host::new().await;
    let (mut committed, mut polls, mut at_once) = (0, 0, 0);
    loop {
        let mailer = unlucky(&host);
        let mut tx = begun_with(&host, &mailer).await;
        let audit = sigra::audit::Audit::new("told");
        host.sigra.audit().record(&mut tx, &audit).await.expect("recorded");
        let is_over = abandon_after(polls, tx.commit()).await;
        drop(mailer);
        if is_over && polls > 1 {
            break;
        }
        if is_over {
            // The database has answered before anybody waited, which it does not every time.
            at_once += 1;
            assert!(at_once < 1000, "it waits for the database");
            continue;
        }
        polls += 1;
        // What the database was told to do, it does.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let changes: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE action = 'told'")
            .fetch_one(&host.pool)
            .await
            .expect("a count");
        assert_eq!(count(&host).await, changes, "after {polls} polls");
        committed = changes;
    }
    sqlx::query("UPDATE outgoing_mails SET held_until = 0").execute(&host.pool).await.expect("let go");
    let next = lucky(&host);
    eventually(async || i64::try_from(sent(&next).len()).expect("few") > committed).await;
}

/// Polls so many times, and then no more. Tells whether it was over.
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
