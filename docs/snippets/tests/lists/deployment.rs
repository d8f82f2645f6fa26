//! The application accepts the settings that the guides to its deployment show.

use std::time::Duration;

use guides::support::{Host, login_form, password_form};
use my_app::config::{Settings, Variables, database_url::DEFAULT_URL};
use sigra::testing::{TestHost, TestResponse, VALID_PASSWORD, assert_redirected_to};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use tokio::time::{sleep, timeout};
use toml_edit::DocumentMut;

use super::{
    sources::read,
    tables::{code, table},
};

const SECRET: &str = "a secret of a test: 0123456789abcdef0123456789abcdef0123456789abcdef";

/// Reads the settings of production, in which these are set too.
fn in_production(given: &[(&str, &str)]) -> Settings {
    let defaults = [
        ("APP_ENV", "prod"),
        ("SECRET_KEY_BASE", SECRET),
        ("PUBLIC_URL", "https://example.com"),
        ("DATABASE_URL", DEFAULT_URL),
    ];
    // The last value of a name wins.
    let all = defaults.iter().chain(given).copied();
    Settings::new(&all.collect::<Variables>()).unwrap_or_else(|error| panic!("{given:?}: {error}"))
}

#[tokio::test]
async fn every_mail_server_of_the_guide_is_accepted_without_a_warning() {
    let servers = table(&read("docs/mail-providers.md"), &["provider", "`SMTP_URL`"]);
    assert!(servers.len() >= 5, "{servers:?}");
    for url in servers.iter().filter_map(|row| code(&row[1]).into_iter().next()) {
        assert_eq!(in_production(&[("SMTP_URL", &url)]).warnings, [""; 0], "{url}");
        sigra::mail::Mailer::from_url(&url, "MyApp <hello@example.com>").unwrap_or_else(|error| panic!("{error}"));
    }
    // Of Amazon SES, as the guide says to write it.
    let url = "smtp://AKIA:a%2Fb%2Bc%3D@email-smtp.eu-central-1.amazonaws.com?tls=required";
    sigra::mail::Mailer::from_url(url, "MyApp <hello@example.com>").expect("a mailer");
}

#[test]
fn the_application_starts_with_the_settings_of_the_guide_to_fly() {
    let guide = read("docs/fly.md");
    let (_, rest) = guide.split_once("```toml\n").expect("fly.toml");
    let (fly, rest) = rest.split_once("```").expect("its end");
    let fly: DocumentMut = fly.parse().expect("TOML");
    let env = fly["env"].as_table().expect("a table").iter();
    let env: Vec<(&str, &str)> = env.map(|(name, value)| (name, value.as_str().expect("a text"))).collect();
    assert!(
        env.contains(&("DATABASE_URL", "sqlite:///data/my_app.db"))
            && fly["mounts"]["destination"].as_str() == Some("/data")
    );
    let (_, rest) = rest.split_once("TRUSTED_PROXIES=\"").expect("the proxies");
    let proxies = rest.split('"').next().expect("a value").replace("<your IPv4>", "192.0.2.7");
    let proxies = proxies.replace("<your IPv6>", "2001:db8::7");

    let mut given: Vec<(&str, &str)> = env.into_iter().filter(|(name, _)| *name != "DATABASE_URL").collect();
    given.push(("TRUSTED_PROXIES", &proxies));
    let settings = in_production(&given);
    let port = fly["http_service"]["internal_port"].as_integer().expect("a number");
    assert_eq!(settings.listen.to_string(), format!("0.0.0.0:{port}"));
    assert_eq!(settings.public_url.as_str(), "https://my-app.fly.dev/");
}

#[test]
fn the_unit_of_the_guide_to_systemd_keeps_the_database_where_the_service_can_write() {
    let guide = read("docs/systemd.md");
    assert!(guide.contains("StateDirectory=my_app\n") && guide.contains("WorkingDirectory=%S/my_app\n"));
    assert!(guide.contains("`DATABASE_URL=sqlite:///var/lib/my_app/my_app.db`"));
}

/// systemd gives up after five starts in ten seconds, and Docker starts nothing again by itself.
#[test]
fn the_services_of_the_guides_start_again_until_the_database_is_there() {
    let unit = read("docs/systemd.md");
    let pause = unit.split("RestartSec=").nth(1).and_then(|rest| rest.lines().next()).expect("a pause");
    assert!(unit.contains("Restart=on-failure\n") && pause.parse::<u32>().is_ok_and(|pause| pause >= 3), "{pause}");
    assert!(read("docs/docker.md").contains("docker run --detach --restart unless-stopped "));
}

/// `.backup` of the `sqlite3` shell begins again at every write of another process.
#[tokio::test]
async fn the_backup_of_the_guide_finishes_while_the_application_writes() {
    let guide = read("docs/deployment.md");
    let commands = guide.split("```sh\n").find(|block| block.contains("sqlite3 my_app.db")).expect("the commands");
    let commands = commands.split("```").next().expect("its end");
    let (before, statement) = commands.split_once("sqlite3 my_app.db \"").expect("a statement");
    let statement = statement.split('"').next().expect("its end");
    assert!(
        before.lines().any(|line| line.starts_with("umask 077")) && before.contains("rm -f backup.db.new"),
        "{before}"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("backup.db.new");
    let options = SqliteConnectOptions::new().journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let options = options.filename(folder.path().join("my_app.db")).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.expect("a database");
    sqlx::query("CREATE TABLE notes (id INTEGER PRIMARY KEY, text BLOB NOT NULL)")
        .execute(&pool)
        .await
        .expect("a table");
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
        INSERT INTO notes (text) SELECT randomblob(10000) FROM n";
    sqlx::query(fill).execute(&pool).await.expect("40 MB");

    let count = async |pool: &SqlitePool| -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(pool).await.expect("a count")
    };
    let application = tokio::spawn({
        let pool = pool.clone();
        async move {
            loop {
                sqlx::query("INSERT INTO notes (text) VALUES ('a note')").execute(&pool).await.expect("a row");
                sleep(Duration::from_millis(2)).await;
            }
        }
    });
    while count(&pool).await == 4000 {
        sleep(Duration::from_millis(1)).await;
    }
    let statement = statement.replace("backup.db.new", &copy.display().to_string());
    let backup = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool);
    timeout(Duration::from_secs(60), backup).await.expect("the backup ends").expect("a backup");
    let written = count(&pool).await;
    application.abort();

    let copy = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&copy)).await.expect("the copy");
    let check: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&copy).await.expect("a check");
    let copied = count(&copy).await;
    assert!(check == "ok" && copied > 4000 && copied < written, "{check}, {copied} of {written}");
}

/// Returns the size of the headers of a response, as a proxy receives them.
fn head_of(response: &TestResponse) -> usize {
    let status = "HTTP/1.1 303 See Other\r\n\r\n".len();
    status
        + response
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
            .sum::<usize>()
}

/// nginx refuses more than fits into one buffer: "upstream sent too big header".
#[tokio::test]
async fn the_longest_headers_need_the_buffer_of_nginx_that_the_guide_sets() {
    let guide = read("docs/reverse-proxies.md");
    let buffer = guide.split("proxy_buffer_size ").nth(1).and_then(|rest| rest.split("k;").next()).expect("a size");
    let buffer = buffer.parse::<usize>().expect("a number of KiB") * 1024;

    let trusted: Vec<String> = (1..=8).map(|n| format!("https://the-name-of-subdomain-{n}.example.com")).collect();
    let trusted = trusted.join(",");
    let env =
        [("PUBLIC_URL", "https://app.example.com"), ("COOKIE_DOMAIN", "example.com"), ("TRUSTED_ORIGINS", &trusted)];
    let host = Host::with(&env).await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    let form = [login_form(&user.email, VALID_PASSWORD), vec![("user[remember_me]", "true")]].concat();
    assert_redirected_to(&browser.post("/users/log-in", &form).await, "/");
    let new = "other words in another row";
    let changed = browser.put("/users/settings/password", &password_form(new, new)).await;
    assert_redirected_to(&changed, "/users/settings");
    let head = head_of(&changed);
    assert!((4096..buffer / 2).contains(&head), "{head} bytes");
}
