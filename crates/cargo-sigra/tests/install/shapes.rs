//! Where accounts are added in hosts of many kinds, and the advice if that isn't certain.

use std::{fs, process::Output};

use crate::{
    generated::{said, sigra},
    host::Host,
};

const MANIFEST: &str = "[package]\nname = \"site\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\naxum = \"0.8\"\ntokio = { version = \"1\", features = [\"full\"] }\n";

const MAIN: &str = "use axum::{Router, routing::get};\n\n#[tokio::main]\nasync fn main() {\n    let app = Router::new().route(\"/\", get(|| async { \"Hello\" }));\n    \
                    let listener = tokio::net::TcpListener::bind(\"127.0.0.1:3000\").await.unwrap();\n    axum::serve(listener, app).await.unwrap();\n}\n";

/// Returns a host with these files.
fn host_of(files: &[(&str, &str)]) -> Host {
    let host = Host::new("hello", "");
    fs::remove_dir_all(host.root().join("src")).expect("removed");
    for (path, text) in [("Cargo.toml", MANIFEST)].iter().chain(files) {
        let path = host.root().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    host.commit();
    host
}

#[track_caller]
fn refused(host: &Host, flags: &[&str], why: &str) {
    let output: Output = host.install(flags);
    assert!(!output.status.success() && said(&output).contains(why), "{}", said(&output));
    assert_eq!(host.changes(), "");
}

#[track_caller]
fn installed(host: &Host, flags: &[&str]) -> String {
    let output = host.install(flags);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[test]
fn the_place_of_the_change_is_printed() {
    let host = host_of(&[("src/main.rs", MAIN)]);
    let output = installed(&host, &[]);
    let line = host.read("src/main.rs").lines().position(|line| line.contains("with_accounts(")).expect("a call") + 1;
    assert!(output.contains(&format!("Accounts were added to the router that src/main.rs:{line} serves.")), "{output}");
    assert!(!output.contains("added to your router yet"), "{output}");
}

#[test]
fn several_servers_are_not_changed() {
    let metrics = "\nasync fn metrics(l: tokio::net::TcpListener) {\n    axum::serve(l, axum::Router::new()).await.unwrap();\n}\n";
    let main = format!("{MAIN}{metrics}");
    let host = host_of(&[("src/main.rs", &main)]);
    let output = installed(&host, &[]);
    assert!(
        output.contains("src/main.rs:7 is one of 2 servers") && output.contains("src/main.rs:11 is one of 2 servers"),
        "{output}"
    );
    let after = host.read("src/main.rs");
    assert!(after.contains("mod auth;") && !after.contains("with_accounts"), "{after}");
    host.commit();
    let again = installed(&host, &[]);
    assert!(again.contains("src/main.rs:10 is one of 2 servers"), "{again}");
    assert!(!again.contains("already has a database"), "the pool of accounts isn't the host's: {again}");
}

#[test]
fn servers_in_tests_are_ignored() {
    let tests = "#[cfg(test)]\nmod tests {\n    #[tokio::test]\n    async fn t() {\n        axum::serve(l, axum::Router::new()).await.unwrap();\n    }\n}\n";
    let host = host_of(&[
        ("src/main.rs", &format!("mod airgap;\n{MAIN}")),
        ("src/airgap.rs", tests),
        ("tests/api.rs", MAIN),
        ("examples/a.rs", MAIN),
    ]);
    installed(&host, &[]);
    assert!(host.read("src/main.rs").contains("crate::auth::with_accounts(app)"));
    for path in ["src/airgap.rs", "tests/api.rs", "examples/a.rs"] {
        assert!(!host.read(path).contains("with_accounts"), "{path}");
    }
}

#[test]
fn an_existing_module_is_not_mixed_with_ours() {
    let with_module = format!("mod auth;\n{MAIN}");
    let folder = host_of(&[("src/main.rs", &with_module), ("src/auth/mod.rs", "")]);
    refused(
        &folder,
        &[],
        "`auth` can't be the module's name because src/main.rs:1 has something of that name. Choose another, such as `--module login`",
    );
    installed(&folder, &["--module", "login"]);
    assert_eq!(folder.read("src/auth/mod.rs"), "");

    let imported =
        host_of(&[("src/main.rs", &format!("mod web;\nuse web::auth;\n{MAIN}")), ("src/web.rs", "pub mod auth {}")]);
    refused(&imported, &[], "because src/main.rs:2 has something of that name");
    let orphan = host_of(&[("src/main.rs", MAIN), ("src/auth/mod.rs", "")]);
    refused(&orphan, &[], "because `src/auth` already exists");
}

#[test]
fn the_module_is_next_to_the_root_of_its_crate() {
    let manifest = format!("{MANIFEST}\n[[bin]]\nname = \"backend\"\npath = \"backend/main.rs\"\n");
    let host = host_of(&[("Cargo.toml", &manifest), ("backend/main.rs", MAIN)]);
    let host = host.installed(&[]);
    assert!(host.read("backend/main.rs").contains("crate::auth::with_accounts(app)"));
    assert!(host.read("backend/auth/web/assets.rs").contains("#[folder = \"static/auth/\"]"));
    assert!(!host.root().join("src").exists());
    let routes = said(&sigra(&host.root(), &["routes"]));
    assert!(routes.contains("/users/log-in"), "{routes}");
    assert_eq!(said(&sigra(&host.root(), &["upgrade"])), "Everything is up to date.\n");
}

#[test]
fn the_serving_binary_gets_the_module() {
    let two = format!(
        "{MANIFEST}\n[[bin]]\nname = \"client\"\npath = \"src/client.rs\"\n\n[[bin]]\nname = \"site\"\npath = \"src/main.rs\"\n"
    );
    let one_serves = host_of(&[("Cargo.toml", &two), ("src/client.rs", "fn main() {}\n"), ("src/main.rs", MAIN)]);
    installed(&one_serves, &[]);
    assert_eq!(one_serves.read("src/client.rs"), "fn main() {}\n");
    assert!(one_serves.read("src/main.rs").contains("mod auth;"));

    let both_serve = host_of(&[("Cargo.toml", &two), ("src/client.rs", MAIN), ("src/main.rs", MAIN)]);
    refused(&both_serve, &[], "choose the one that serves your routes with `--bin client`, `--bin site`");
    installed(&both_serve, &["--bin", "client"]);
    assert!(both_serve.read("src/client.rs").contains("crate::auth::with_accounts(app)"));
    assert_eq!(both_serve.read("src/main.rs"), MAIN);
}

#[test]
fn a_binary_and_its_library_share_the_module() {
    let manifest = format!("{MANIFEST}\n[lib]\nname = \"the_shop\"\npath = \"src/lib.rs\"\n");
    let main = format!("use the_shop as _;\n{MAIN}");
    let host = host_of(&[
        ("Cargo.toml", &manifest),
        ("src/lib.rs", "//! A shop.\n"),
        ("src/bin/openapi.rs", "fn main() { the_shop::x(); }\n"),
        ("src/main.rs", &main),
    ]);
    let output = installed(&host, &[]);
    assert!(host.read("src/main.rs").contains("the_shop::auth::with_accounts(app)"), "{output}");
}

#[test]
fn colliding_routes_are_reported_before_anything_is_written() {
    let main = MAIN.replace(
        ".route(\"/\",",
        ".nest(\"/users\", Router::new().route(\"/me\", get(|| async { \"me\" }))).route(\"/\",",
    );
    let host = host_of(&[("src/main.rs", &main)]);
    refused(&host, &[], "accounts would serve `/users/` in place of `/users/` (src/main.rs:5)");
    installed(&host, &["--user", "Member", "--table", "members", "--dry-run"]);
    assert!(
        installed(&host, &["--force"])
            .contains("warning: accounts now serve `/users/`, in place of `/users/` (src/main.rs:5)")
    );

    let nested = MAIN.replace(
        ".route(\"/\",",
        ".nest(\"/api\", Router::new().route(\"/users/{id}\", get(|| async { \"me\" }))).route(\"/\",",
    );
    let host = host_of(&[("src/main.rs", &nested)]);
    assert!(!installed(&host, &[]).contains("warning"));
}

#[test]
fn routes_at_paths_of_the_oauth_server_are_reported_before_anything_is_written() {
    let main = MAIN.replace(
        ".route(\"/\",",
        ".route(\"/oauth/callback\", get(|| async { \"\" })).route(\"/device\", get(|| async { \"\" })).route(\"/\",",
    );
    let host = host_of(&[("src/main.rs", &main)]);
    refused(
        &host,
        &[],
        "accounts would serve their OAuth server in place of `/device` (src/main.rs:5). Leave the OAuth server out, \
         `--no-oauth-server`, move your routes, or pass `--force` to install anyway",
    );
    assert!(!installed(&host, &["--no-oauth-server", "--dry-run"]).contains("warning"));
    let forced = installed(&host, &["--force"]);
    assert!(
        forced.contains("warning: accounts now serve their OAuth server, in place of `/device` (src/main.rs:5)"),
        "{forced}"
    );
}

#[test]
fn the_hosts_own_routes_are_listed_beside_those_of_accounts() {
    let main = MAIN.replace(
        ".route(\"/\",",
        ".nest(\"/api\", Router::new().route(\"/things\", get(things).post(create))).nest_service(\"/files\", files())\n.nest(\"/shop\", Router::new().route(\"/\", get(things))).route(\"/\",",
    );
    let handlers = "async fn things() {}\nasync fn create(scope: sigra::Scope<auth::accounts::User>) {}\n";
    let host = host_of(&[("src/main.rs", &format!("{main}\n{handlers}"))]);
    installed(&host, &[]);
    let routes = said(&sigra(&host.root(), &["routes"]));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = routes.lines().map(words).collect();
    for line in [
        "GET / your code decides …",
        "GET /api/things your code decides things",
        "POST /api/things a user create",
        "ANY /files/ your code decides …",
        "GET /shop/ your code decides things",
        "GET /users/sessions a user devices::index",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} in {routes}");
    }
    let is_nest = |line: &String| line.starts_with("ANY /api/") || line.starts_with("ANY /shop/");
    assert!(!lines.iter().any(is_nest), "{routes}");
}

#[test]
fn the_default_of_a_port_from_the_environment_is_used() {
    let main = MAIN.replace(
        "bind(\"127.0.0.1:3000\")",
        "bind((\"0.0.0.0\", std::env::var(\"PORT\").ok().and_then(|port| port.parse::<u16>().ok()).unwrap_or(3000)))",
    );
    let host = host_of(&[("src/main.rs", &main)]);
    let output = installed(&host, &[]);
    assert!(output.contains("Open http://localhost:3000/users/register in a browser."), "{output}");
    let unknown = host_of(&[("src/main.rs", &MAIN.replace("\"127.0.0.1:3000\"", "address()"))]);
    let output = installed(&unknown, &[]);
    assert!(
        output.contains("Open /users/register where your application listens.") && !output.contains('…'),
        "{output}"
    );
}

#[test]
fn leptos_is_refused_because_its_axum_is_optional() {
    let manifest = MANIFEST.replace("axum = \"0.8\"", "axum = { version = \"0.8\", optional = true }");
    let manifest =
        format!("{manifest}\n[features]\nssr = [\"dep:axum\"]\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n");
    let host = host_of(&[
        ("Cargo.toml", &manifest),
        ("src/lib.rs", ""),
        ("src/main.rs", "#[cfg(feature = \"ssr\")]\nfn main() {}\n"),
    ]);
    refused(&host, &[], "axum is optional, but");
}

/// Different forms of serving, one on each line.
const SHAPES: &str = r#"use std::future::IntoFuture;

use axum::{Router, routing::get};
use tokio::net::{TcpListener, UnixListener};

fn app() -> Router {
    Router::new().route("/", get(|| async { "Hello" }))
}

#[tokio::main]
async fn main() {
    let l = TcpListener::bind("127.0.0.1:3000").await.unwrap();
    axum::serve(l, app()).await.unwrap();
}

pub async fn unix(l: UnixListener) {
    axum::serve(l, app().into_make_service()).await.unwrap();
}

pub async fn anyhow(l: TcpListener) -> Result<(), Box<dyn std::error::Error>> {
    axum::serve(l, app()).await?;
    Ok(())
}

pub fn blocking(rt: tokio::runtime::Runtime, l: TcpListener) {
    rt.block_on(axum::serve(l, app()).into_future()).unwrap();
}

pub async fn joined(l: TcpListener) {
    let _ = tokio::join!(axum::serve(l, app()).into_future());
}

pub async fn spawned(l: TcpListener) -> Result<(), std::io::Error> {
    let served = tokio::spawn(async move {
        axum::serve(l, app()).await.unwrap();
    });
    served.await.map_err(std::io::Error::other)
}

pub async fn service(l: TcpListener) {
    let service = app().into_make_service();
    axum::serve(l, service).await.unwrap();
}
"#;

#[test]
#[ignore = "for the long run: it builds an application"]
fn printed_code_compiles_where_it_is_pasted() {
    let host = host_of(&[("src/main.rs", SHAPES)]);
    let output = installed(&host, &[]);
    let main = host.read("src/main.rs");
    let mut lines: Vec<String> = main.lines().map(str::to_owned).collect();
    let paragraphs: Vec<(usize, String)> = blocks(&output);
    assert_eq!(paragraphs.len(), 7, "{output}");
    let moved = main.lines().count() - SHAPES.lines().count();
    for (line, pasted) in paragraphs {
        lines[line - 1 + moved] = pasted;
    }
    let handler =
        output.split("who can call it:\n\n").nth(1).and_then(|rest| rest.split("\n\nWith").next()).expect("a handler");
    let routed = "\npub fn greeting() -> axum::Router {\n    axum::Router::new().route(\"/hello\", axum::routing::get(hello))\n}\n";
    let module = format!("pub mod pasted {{\n{handler}\n{routed}}}\n");
    fs::write(host.root().join("src/main.rs"), format!("{}\n{module}", lines.join("\n"))).expect("written");
    host.cargo(&["check"]);
    host.cargo(&["clean", "--package", "site"]);
}

/// Returns the printed code for each place. If the service is a variable, the code goes where it is created.
fn blocks(output: &str) -> Vec<(usize, String)> {
    output
        .split("\nsrc/main.rs:")
        .skip(1)
        .map(|paragraph| {
            let (place, rest) = paragraph.split_once(' ').expect("a place");
            let place: usize = place.parse().expect("a line");
            let code: Vec<&str> = rest.lines().skip(2).take_while(|line| line.starts_with("    ")).collect();
            let is_made_before = code.iter().any(|line| line.contains("let service ="));
            (place - usize::from(is_made_before), code.join("\n"))
        })
        .collect()
}
