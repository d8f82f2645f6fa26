//! Accounts in applications that were there before, each of another shape.

mod generated;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use generated::{cargo, git, said, sigra, target_folder, workspace};
use tempfile::TempDir;
use ureq::{Agent, http::header};

const PASSWORD: &str = "violet lantern over quiet water";
const PATIENCE: Duration = Duration::from_secs(30);

/// An application of `tests/hosts`, committed to a repository of its own.
struct Host {
    folder: TempDir,
    /// The folder of the package in it.
    package: &'static str,
}

impl Host {
    fn new(name: &str, package: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(name), folder.path());
        fs::copy(workspace().join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("the versions");
        fs::write(folder.path().join(".gitignore"), "/target\n*.db*\nCargo.lock\n").expect("written");
        git(folder.path(), &["init", "--quiet"]);
        let host = Self { folder, package };
        host.commit();
        host
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join(self.package)
    }

    fn commit(&self) {
        git(self.folder.path(), &["add", "--all"]);
        git(self.folder.path(), &["commit", "--quiet", "--message", "Work"]);
    }

    /// What is there and not committed.
    fn changes(&self) -> String {
        let status = Command::new("git").current_dir(self.folder.path()).args(["status", "--porcelain"]).output();
        said(&status.expect("git"))
    }

    fn install(&self, flags: &[&str]) -> Output {
        sigra(&self.root(), &[&["install", "--yes"], flags].concat())
    }

    fn installed(self, flags: &[&str]) -> Self {
        let dry = self.install(&[flags, &["--dry-run"]].concat());
        assert!(dry.status.success() && said(&dry).contains("+++ b/Cargo.toml"), "{}", said(&dry));
        assert_eq!(self.changes(), "", "a dry run changes nothing");

        let output = self.install(flags);
        assert!(output.status.success(), "{}", said(&output));
        self.commit();
        let again = self.install(flags);
        assert!(said(&again).contains("Everything is there already."), "{}", said(&again));
        assert_eq!(self.changes(), "", "once is enough");
        self
    }

    /// Formatted, and without warnings.
    fn checked(self) -> Self {
        self.cargo(&["fmt", "--check"]);
        self.cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"]);
        self
    }

    fn cargo(&self, args: &[&str]) {
        cargo(&self.root(), args);
    }

    /// Starts it, and clears its artifacts away.
    fn serve(&self, program: &str) -> Server {
        self.cargo(&["build"]);
        let built = target_folder().join("debug").join(program);
        let own = self.folder.path().join(format!("{program}.served"));
        fs::copy(built, &own).expect("the program");
        self.cargo(&["clean", "--package", program]);
        Server::start(&own, self.folder.path())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).expect("text")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copied");
        }
    }
}

/// A running application, which is killed when it is dropped.
struct Server {
    child: Child,
    url: String,
    cookies: BTreeMap<String, String>,
}

impl Server {
    fn start(program: &Path, folder: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        fs::write(folder.join("app.db"), "").expect("a database");
        let child = Command::new(program)
            .current_dir(folder)
            .envs([("LISTEN", address.to_string()), ("PORT", address.port().to_string())])
            .envs([("APP_ENV", "test"), ("DATABASE_URL", "sqlite://app.db")])
            .stdout(Stdio::null())
            .spawn()
            .expect("the application");
        let mut server = Self { child, url: format!("http://{address}"), cookies: BTreeMap::new() };
        let begun = Instant::now();
        while server.agent().get(&server.url).call().is_err() {
            assert!(server.child.try_wait().expect("a child").is_none(), "the application has ended");
            assert!(begun.elapsed() < PATIENCE, "the application does not begin to answer");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn agent(&self) -> Agent {
        let config =
            Agent::config_builder().max_redirects(0).http_status_as_error(false).timeout_global(Some(PATIENCE));
        config.build().into()
    }

    /// The status, where it leads, and the body.
    fn get(&mut self, path: &str) -> (u16, String, String) {
        let request = self.agent().get(format!("{}{path}", self.url)).header(header::ACCEPT, "text/html");
        self.take(request.header(header::COOKIE, self.cookie_header()).call().expect("an answer"))
    }

    fn post(&mut self, path: &str, form: &[(&str, &str)]) -> (u16, String, String) {
        let request = self.agent().post(format!("{}{path}", self.url)).header(header::ACCEPT, "text/html");
        let request = request.header(header::COOKIE, self.cookie_header()).header(header::ORIGIN, &self.url);
        self.take(request.send_form(form.iter().copied()).expect("an answer"))
    }

    fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn take(&mut self, mut answer: ureq::http::Response<ureq::Body>) -> (u16, String, String) {
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().expect("text").split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies.remove(name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = answer.headers().get(header::LOCATION);
        let location = location.map(|location| location.to_str().expect("text").to_owned()).unwrap_or_default();
        (answer.status().as_u16(), location, answer.body_mut().read_to_string().expect("text"))
    }

    /// Somebody registers, logs in, sees their devices and logs out.
    fn use_accounts(&mut self, people: &str, person: &str) {
        let path = |rest: &str| format!("/{people}/{rest}");
        let (email, password) = (format!("{person}[email]"), format!("{person}[password]"));
        let form = [(email.as_str(), "grace@example.com"), (password.as_str(), PASSWORD)];
        assert_eq!(self.get(&path("sessions")).1, path("log-in"), "visitors are led away");
        assert_eq!(self.get(&path("register")).0, 200);
        let registered = self.post(&path("register"), &form);
        assert_eq!((registered.0, &registered.1), (303, &path("log-in")), "{}", registered.2);
        assert!(self.get(&path("dev/mailbox")).2.contains("Confirm your email address"));
        assert_eq!(self.get(&path("static/app.css")).0, 200);
        assert_eq!(self.post(&path("log-in"), &form).1, path("sessions"), "to where they wanted");
        assert!(self.get(&path("sessions")).2.contains("This device"));
        assert!(self.get(&path("me")).2.contains("grace@example.com"));
        self.post(&path("log-out"), &[("_method", "delete")]);
        assert_eq!(self.get(&path("sessions")).0, 303);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn a_plain_hello_world_gets_accounts() {
    let host = Host::new("hello", "").installed(&[]).checked();
    assert!(host.read("Cargo.toml").contains("# The web.\n[dependencies]\n"), "{}", host.read("Cargo.toml"));
    let mut server = host.serve("hello");
    assert_eq!(server.get("/").2, "Hello, World!");
    assert_eq!(server.get("/missing").0, 404);
    server.use_accounts("users", "user");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn a_member_of_a_workspace_gets_accounts() {
    let host = Host::new("member", "web").installed(&["--no-live", "--module", "login"]).checked();
    assert!(host.read("Cargo.toml").contains("axum = { workspace = true, features = ["), "{}", host.read("Cargo.toml"));
    assert!(host.read("src/main.rs").contains("crate::login::with_accounts(router)"), "{}", host.read("src/main.rs"));
    let mut server = host.serve("web");
    assert_eq!(server.get("/").2, "Hello, World!");
    server.use_accounts("users", "user");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn nested_routers_in_a_library_get_accounts() {
    let host = Host::new("nested", "").installed(&["--no-magic-link"]).checked();
    assert!(host.read("src/lib.rs").contains("pub mod auth;"));
    let mut server = host.serve("nested-shop");
    assert_eq!(server.get("/api/v1/name").2, "A shop");
    assert_eq!(server.get("/missing"), (404, String::new(), "nothing here".to_owned()));
    server.use_accounts("users", "user");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn a_table_of_users_is_adopted_with_its_rows() {
    let host = Host::new("users", "").installed(&[]).checked();
    let migration = host.read("migrations/20260401120001_create_users_auth_tables.sql");
    assert!(migration.starts_with("ALTER TABLE users ADD COLUMN hashed_password TEXT;\n"), "{migration}");
    let mut server = host.serve("forum");
    assert_eq!(server.get("/").2, "Hello, 1 users!");
    server.use_accounts("users", "user");
    assert_eq!(server.get("/").2, "Hello, 2 users!");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn accounts_have_a_table_beside_one_of_users() {
    let host = Host::new("users", "").installed(&["--user", "Member", "--table", "members"]).checked();
    let migration = host.read("migrations/20260401120001_create_members_auth_tables.sql");
    assert!(migration.starts_with("CREATE TABLE members ("), "{migration}");
    let mut server = host.serve("forum");
    assert_eq!(server.get("/").2, "Hello, 1 users!");
    server.use_accounts("members", "member");
    assert_eq!(server.get("/").2, "Hello, 1 users!");
}

#[test]
#[ignore = "for the long run: it has dependencies that nothing else here has"]
fn axum_logins_example_gets_accounts_beside_its_own() {
    let host = Host::new("axum_login", "");
    let refused = host.install(&[]);
    let said_of = "has no column `email`: add one first";
    assert!(!refused.status.success() && said(&refused).contains(said_of), "{}", said(&refused));
    assert_eq!(host.changes(), "");
    let migration = "ALTER TABLE users ADD COLUMN email TEXT;\n";
    fs::write(host.root().join("migrations/20260601000000_add_email.sql"), migration).expect("written");
    host.commit();
    let host = host.installed(&[]);
    let warned = said(&host.install(&["--dry-run"]));
    assert!(warned.contains("a column `username`") && warned.contains("a column `password`"), "{warned}");

    let path = host.root().join("src/auth/accounts/registration.rs");
    let registration = fs::read_to_string(&path).expect("text");
    let given = registration
        .replace("INSERT INTO users (email,", "INSERT INTO users (username, password, email,")
        .replace("VALUES ($1, $2,", "VALUES ($1, '', $1, $2,");
    assert_ne!(given, registration);
    fs::write(&path, given).expect("written");
    let host = host.checked();
    let mut server = host.serve("axum-login-sqlite");
    assert_eq!(server.get("/").1, "/login?next=%2F");
    server.use_accounts("users", "user");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn a_library_without_a_router_is_told_what_to_write() {
    let host = Host::new("library", "").installed(&[]).checked();
    let again = said(&host.install(&["--dry-run"]));
    assert!(again.contains("    let app = pages::auth::with_accounts(app).await?;\n"), "{again}");
    host.cargo(&["clean", "--package", "pages"]);
}

#[test]
fn nothing_of_the_hosts_is_overwritten() {
    let host = Host::new("hello", "");
    fs::write(host.root().join("src/auth.rs"), "//! Mine.\n").expect("written");
    let dirty = host.install(&[]);
    assert!(said(&dirty).contains("not committed: src/auth.rs"), "{}", said(&dirty));
    host.commit();
    let taken = host.install(&[]);
    assert!(!taken.status.success() && said(&taken).contains("src/auth.rs. Choose another module"), "{}", said(&taken));
    assert_eq!(host.changes(), "");
    assert!(host.install(&["--module", "login"]).status.success());
    assert_eq!(host.read("src/auth.rs"), "//! Mine.\n");
}

#[test]
fn what_stands_in_the_hosts_manifest_stays_as_it_is() {
    let host = Host::new("hello", "").installed(&[]);
    let manifest = host.read("Cargo.toml");
    for line in [
        "# The web.",
        "axum = { version = \"0.8\", features = [\"macros\", \"ws\"] } # as it comes",
        "tokio = { version = \"1\", features = [\"full\"] }",
    ] {
        assert!(manifest.lines().any(|there| there == line), "{manifest}");
    }
    let host = Host::new("nested", "").installed(&[]);
    let manifest = host.read("Cargo.toml");
    assert!(
        manifest.contains("tokio = { version = \"1\", features = [\"macros\", \"net\", \"rt-multi-thread\", "),
        "{manifest}"
    );
}

#[test]
fn links_lead_to_where_the_host_listens() {
    let host = Host::new("hello", "");
    let output = said(&host.install(&[]));
    assert!(output.contains("open http://127.0.0.1:3000/users/register\n"), "{output}");
    assert!(host.read("src/auth/config.rs").contains("const DEFAULT_PORT: u16 = 3000;"));
    host.commit();
    assert_eq!(said(&sigra(&host.root(), &["upgrade"])), "There is nothing new.\n");

    let host = Host::new("library", "");
    let output = said(&host.install(&[]));
    assert!(output.contains("Links in mails begin with http://127.0.0.1:4000: set PUBLIC_URL"), "{output}");
    assert!(output.ends_with("Next:\n\n  cargo sigra routes\n"), "a library can't be run: {output}");
    assert!(host.read("src/auth/config.rs").contains("const DEFAULT_PORT: u16 = 4000;"));
}

#[test]
fn secrets_and_databases_are_kept_out_of_the_repository() {
    let host = Host::new("hello", "").installed(&[]);
    // `*.db*` was there.
    assert_eq!(host.read(".gitignore"), "/target\n*.db*\nCargo.lock\n.*_dev_secret\n.env\n");

    let host = Host::new("hello", "");
    fs::write(host.root().join(".gitignore"), "/target").expect("written");
    host.commit();
    let host = host.installed(&[]);
    let ignored = "/target\n.*_dev_secret\n.env\n*.db\n*.db-shm\n*.db-wal\n";
    assert_eq!(host.read(".gitignore"), ignored);
}

#[test]
fn what_can_not_work_is_refused_before_anything_is_written() {
    for (from, to, said_of) in [
        ("axum = \"0.8\"", "axum = \"0.7\"", "`hello` asks for axum ^0.7, and the generated code needs axum 0.8"),
        ("edition = \"2024\"", "edition = \"2021\"", "is in Rust 2021"),
        ("axum = \"0.8\" # as it comes\n", "", "does not depend on axum"),
    ] {
        let host = Host::new("hello", "");
        let manifest = host.read("Cargo.toml");
        assert!(manifest.contains(from));
        fs::write(host.root().join("Cargo.toml"), manifest.replace(from, to)).expect("written");
        host.commit();
        let refused = host.install(&[]);
        assert!(!refused.status.success() && said(&refused).contains(said_of), "{}", said(&refused));
        assert_eq!(host.changes(), "");
    }
}

#[test]
fn what_the_host_has_made_of_it_stays_at_the_next_install_and_upgrade() {
    let host = Host::new("hello", "").installed(&[]);
    let path = host.root().join("src/auth/accounts/user.rs");
    let mine = fs::read_to_string(&path).expect("text") + "// Mine.\n";
    fs::write(&path, &mine).expect("written");
    host.commit();
    assert!(host.install(&[]).status.success());
    let upgraded = sigra(&host.root(), &["upgrade"]);
    assert_eq!(said(&upgraded), "There is nothing new.\n");
    assert_eq!(fs::read_to_string(&path).expect("text"), mine);

    let manifest = host.read("Cargo.toml");
    let without = manifest.lines().filter(|line| !line.starts_with("thiserror")).collect::<Vec<_>>().join("\n") + "\n";
    assert_ne!(without, manifest);
    fs::write(host.root().join("Cargo.toml"), without).expect("written");
    host.commit();
    let upgraded = sigra(&host.root(), &["upgrade"]);
    assert_eq!(said(&upgraded), "     change Cargo.toml\n");
    assert!(host.read("Cargo.toml").contains("thiserror = \"2\""), "what is missing is added again");
}
