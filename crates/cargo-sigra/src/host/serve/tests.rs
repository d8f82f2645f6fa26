//! Typical hosts: which place is changed, and what the advice for the others is.

use super::*;
use crate::host::code::tree::tests::tree;

fn program(name: &str, files: &[(&str, &str)]) -> Crate {
    target(Kind::Program, name, files)
}

fn library(name: &str, files: &[(&str, &str)]) -> Crate {
    target(Kind::Library, name, files)
}

fn target(kind: Kind, name: &str, files: &[(&str, &str)]) -> Crate {
    let target = Target { kind, name: name.to_owned(), root: PathBuf::from(files[0].0) };
    Crate { target, tree: tree(files) }
}

fn survey(crates: Vec<Crate>) -> Survey {
    Survey::of_crates(crates, &[], "auth", None, false, PathBuf::new()).expect("a survey")
}

fn of_main(source: &str) -> Survey {
    survey(vec![program("site", &[("src/main.rs", source)])])
}

/// Returns the text of a file after the change.
#[track_caller]
fn around(source: &str) -> String {
    let survey = of_main(source);
    survey.around().unwrap_or_else(|| panic!("{:?}", survey.sites)).after
}

/// Returns the advice for a place that isn't changed.
#[track_caller]
fn advice(source: &str) -> String {
    let survey = of_main(source);
    assert!(survey.certain().is_none(), "{source}");
    survey.advice().join("\n\n")
}

const PLAIN: &str = "use axum::Router;\n\n#[tokio::main]\nasync fn main() {\n    let app = Router::new();\n    let listener = tokio::net::TcpListener::bind(\"127.0.0.1:3000\").await.unwrap();\n    // Serves.\n    axum::serve(listener, app).await.unwrap();\n}\n";

#[test]
fn a_plain_hello_world_gets_accounts() {
    let after = PLAIN.replace(
        "    axum::serve(listener, app)",
        "    let app = crate::auth::with_accounts(app).await.unwrap_or_else(|error| panic!(\"accounts can't start: {error}\"));\n    \
         axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>())",
    );
    assert_eq!(around(PLAIN), after);
    assert!(of_main(PLAIN).advice().is_empty());
}

/// Returns a function with these statements, whose listener and router are known.
fn serving(result: &str, statements: &str) -> String {
    format!(
        "use axum::Router;\nasync fn main(){result} {{\n    let l = tokio::net::TcpListener::bind(a).await.unwrap();\n    \
         let router = Router::new();\n    {statements}\n}}\n"
    )
}

#[test]
fn axum_serve_is_recognized_under_all_names() {
    for (import, call) in [
        ("use axum::serve;", "serve"),
        ("use axum::serve as go;", "go"),
        ("use axum as web;", "web::serve"),
        ("use axum::*;", "serve"),
        ("", "::axum::serve"),
    ] {
        let after = around(&format!("{import}\n{}", serving("", &format!("{call}(l, router).await.unwrap();"))));
        let expected = format!("{call}(l, router.into_make_service_with_connect_info::<std::net::SocketAddr>()).await");
        assert!(after.contains(&expected), "{after}");
    }
    let own = "use axum::Router;\nasync fn serve(a: Router, port: u16) {}\nasync fn main() { serve(Router::new(), 3000).await; }";
    assert!(of_main(own).sites.is_empty(), "a function of that name is not axum's");
}

#[test]
fn errors_are_returned_if_possible() {
    for (result, failed) in [
        (" -> Result<(), Box<dyn std::error::Error>>", "?;"),
        (" -> anyhow::Result<()>", "?;"),
        ("", ".unwrap_or_else("),
        (" -> Result<(), MyError>", ".unwrap_or_else("),
    ] {
        let after = around(&serving(result, "axum::serve(l, router).await.unwrap();"));
        assert!(after.contains(&format!("let router = crate::auth::with_accounts(router).await{failed}")), "{after}");
    }
    let spawned = serving(
        " -> anyhow::Result<()>",
        "tokio::spawn(async move {\n        axum::serve(l, router).await.unwrap();\n    });",
    );
    assert!(
        around(&spawned).contains("\n        let router = crate::auth::with_accounts(router).await.unwrap_or_else(")
    );
    let blocking = "use axum::Router;\nfn main() { runtime().block_on(async { let l = tokio::net::TcpListener::bind(a).await.unwrap(); axum::serve(l, Router::new()).await.unwrap() }) }";
    assert!(around(blocking).contains(" let app = crate::auth::with_accounts(Router::new()).await.unwrap_or_else("));
}

#[test]
fn a_program_that_returns_its_exit_code_gets_accounts() {
    let main = "use axum::Router;\nasync fn main() -> ExitCode {\n    let Ok(l) = TcpListener::bind(a).await else { return \
                ExitCode::FAILURE };\n    match axum::serve(l, Router::new()).await {\n        Ok(()) => ExitCode::SUCCESS,\n        \
                Err(_) => ExitCode::FAILURE,\n    }\n}\n";
    let after = around(&format!("use tokio::net::TcpListener;\n{main}"));
    let served =
        "\n    match axum::serve(l, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await {";
    let expected = format!(
        " = crate::auth::with_accounts(Router::new()).await.unwrap_or_else(|error| panic!(\"accounts can't start: {{error}}\"));{served}"
    );
    assert!(after.contains(&format!("    let app{expected}")), "{after}");
}

#[test]
fn a_panic_is_allowed_where_the_hosts_lints_refuse_it() {
    let allowed = "    #[allow(clippy::panic, reason = \"the application can't run without accounts\")]\n    \
         let router = crate::auth::with_accounts(router).await.unwrap_or_else(";
    let statements = "axum::serve(l, router).await.unwrap();";
    let strict = |result: &str| format!("#![deny(clippy::panic)]\n{}", serving(result, statements));
    assert!(around(&strict("")).contains(allowed), "{}", around(&strict("")));
    for source in [strict(" -> anyhow::Result<()>"), serving("", statements)] {
        assert!(!around(&source).contains("allow("), "{}", around(&source));
    }
    let unknown = strict("").replace("axum::serve(l", "axum::serve(listener()");
    assert!(advice(&unknown).contains(allowed), "{}", advice(&unknown));
}

#[test]
fn the_hosts_variables_are_not_shadowed() {
    let after = around(&serving(
        "",
        "let app = state();\n    axum::serve(l, router).with_graceful_shutdown(stop(app.clone())).await.unwrap();",
    ));
    assert!(after.contains("let router = crate::auth::with_accounts(router)"), "{after}");
    let after = around(&serving(
        "",
        "let app = state();\n    axum::serve(l, Router::new().merge(router)).with_graceful_shutdown(stop(app)).await.unwrap();",
    ));
    assert!(
        after.contains("let app_with_accounts = crate::auth::with_accounts(Router::new().merge(router))"),
        "{after}"
    );
    assert!(after.contains("axum::serve(l, app_with_accounts.into_make_service"), "{after}");
    assert!(after.contains(".with_graceful_shutdown(stop(app))"), "{after}");
    let captured = around(&serving("", "println!(\"{app}\");\n    axum::serve(l, router.clone()).await.unwrap();"));
    assert!(captured.contains("let app_with_accounts = "), "{captured}");
}

#[test]
fn a_statement_in_the_middle_of_a_line_stays_on_it() {
    let after = around(&serving("", "tokio::spawn(async move { axum::serve(l, router).await.unwrap() });"));
    let expected = "tokio::spawn(async move { let router = crate::auth::with_accounts(router).await.unwrap_or_else(|error| \
                    panic!(\"accounts can't start: {error}\")); axum::serve(l, router.into_make_service_with_connect_info::\
                    <std::net::SocketAddr>()).await.unwrap() });";
    assert!(after.contains(expected), "{after}");
    let after = around(
        "#!/usr/bin/env cargo\nuse axum::Router;\nasync fn main() { let l = TcpListener::bind(ä).await; axum::serve(l, Router::new()).await }",
    );
    assert!(
        after.starts_with("#!/usr/bin/env cargo\nuse axum::Router;\n") && after.contains("await; let app = "),
        "{after}"
    );
}

#[test]
fn the_hosts_own_make_service_is_kept() {
    let after = around(&serving(
        "",
        "axum::serve(l, router.into_make_service_with_connect_info::<Addr>()).with_graceful_shutdown(stop()).await.unwrap();",
    ));
    assert!(
        after.contains("axum::serve(l, router.into_make_service_with_connect_info::<Addr>()).with_graceful_shutdown"),
        "{after}"
    );
}

#[test]
fn a_service_in_a_variable_is_made_from_the_router_with_accounts() {
    let after =
        around(&serving("", "let service = router.into_make_service();\n    axum::serve(l, service).await.unwrap();"));
    let expected = "    let router = crate::auth::with_accounts(router).await.unwrap_or_else(|error| panic!(\"accounts can't start: {error}\"));\n    \
                    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();\n    axum::serve(l, service).await.unwrap();";
    assert!(after.contains(expected), "{after}");
    let own = around(&serving(
        "",
        "let service = router.into_make_service_with_connect_info::<Addr>();\n    axum::serve(l, service).await.unwrap();",
    ));
    assert!(own.contains("let service = router.into_make_service_with_connect_info::<Addr>();"), "{own}");
}

#[test]
fn tests_comments_and_strings_are_ignored() {
    let tests = "\n#[cfg(test)]\nmod tests {\n    async fn other() { axum::serve(l, crate::auth::with_accounts(app)).await; }\n}\n\
                 #[tokio::test]\nasync fn t() { axum::serve(l, app).await; }\n// with_accounts(app)\nconst T: &str = \"auth::with_accounts(app)\";\n";
    assert!(around(&format!("{PLAIN}{tests}")).contains("crate::auth::with_accounts(app).await"));
}

#[test]
fn existing_accounts_are_recognized() {
    for call in [
        "crate::auth::with_accounts(app).await",
        "with_accounts_in(app, &pool).await",
        "join!(auth::with_accounts(app))",
    ] {
        let survey = of_main(&PLAIN.replace("    // Serves.\n", &format!("    let app = {call};\n")));
        assert!(survey.certain().is_none() && survey.advice().is_empty(), "{call}");
    }
}

#[test]
fn several_servers_are_all_listed_and_not_changed() {
    let metrics = format!(
        "{PLAIN}\nasync fn metrics(l: tokio::net::TcpListener) {{\n    axum::serve(l, axum::Router::new()).await.unwrap();\n}}\n"
    );
    let printed = advice(&metrics);
    assert!(
        printed.contains(
            "src/main.rs:8 is one of 2 servers. Write there\n\n    let app = crate::auth::with_accounts(app)"
        ),
        "{printed}"
    );
    assert!(printed.contains("src/main.rs:12 is one of 2 servers. Write there\n\n    let app = crate::auth::with_accounts(axum::Router::new())"), "{printed}");
    let tls = serving(
        "",
        "if tls {\n        axum_server::bind_rustls(a, c).serve(router.into_make_service()).await.unwrap();\n    } else {\n        axum::serve(l, router).await.unwrap();\n    }",
    );
    let printed = advice(&tls);
    let expected = "src/main.rs:6 serves with axum_server, and is one of 2 servers. Write there\n\n    let router = crate::auth::with_accounts(router).await.unwrap_or_else(|error| panic!(\"accounts can't start: {error}\"));\n    \
                    axum_server::bind_rustls(a, c).serve(router.into_make_service_with_connect_info::<std::net::SocketAddr>()).await.unwrap();";
    assert!(printed.contains(expected), "{printed}");
}

#[test]
fn a_function_that_is_called_several_times_is_not_changed() {
    let twice = "use axum::Router;\nasync fn serve(app: Router, port: u16) {\n    let l = tokio::net::TcpListener::bind(port).await.unwrap();\n    \
                 axum::serve(l, app).await.unwrap();\n}\n#[tokio::main]\nasync fn main() { tokio::join!(serve(a(), 3000), serve(b(), 4000)); }\n";
    assert!(advice(twice).contains("src/main.rs:4 serves in `serve`, which is called 2 times."));
    let once = twice.replace("tokio::join!(serve(a(), 3000), serve(b(), 4000))", "serve(a(), 3000).await");
    assert!(around(&once).contains("let app = crate::auth::with_accounts(app)"));
    let from_elsewhere = twice.replace("tokio::join!(serve(a(), 3000), serve(b(), 4000))", "");
    assert!(advice(&from_elsewhere).contains("serves the router that `serve` is called with from elsewhere"));
    let method = "use axum::Router;\nstruct A;\nimpl A { async fn run(self) { let l = tokio::net::TcpListener::bind(a).await.unwrap(); axum::serve(l, Router::new()).await.unwrap(); } }\n\
                  async fn main() { sqlx::migrate!().run(&pool).await; A.run().await; }";
    assert!(around(method).contains("with_accounts"), "calling another function `run` doesn't count");
}

#[test]
fn connect_info_is_only_added_for_tcp_listeners() {
    let unix =
        serving("", "let l = tokio::net::UnixListener::bind(p).unwrap();\n    axum::serve(l, router).await.unwrap();");
    let printed = advice(&unix);
    assert!(printed.contains("src/main.rs:6 serves on a Unix socket."), "{printed}");
    assert!(
        printed.contains("    axum::serve(l, router).await.unwrap();")
            && printed.contains("all clients share the rate limits"),
        "{printed}"
    );
    let unknown = serving("", "let l = listener();\n    axum::serve(l, router.into_make_service()).await.unwrap();");
    let printed = advice(&unknown);
    assert!(
        printed.contains("a listener that may not be a `TcpListener`")
            && printed.contains("axum::serve(l, router.into_make_service())"),
        "{printed}"
    );
}

#[test]
fn values_that_may_not_be_routers_are_not_changed() {
    for (statements, said) in [
        ("axum::serve(l, ServiceExt::<Request>::into_make_service(router)).await.unwrap();", "may not be a `Router`"),
        (
            "axum::serve(l, build()).await.unwrap();",
            "may not be a `Router`. Write there\n\n    let app = crate::auth::with_accounts(build())",
        ),
        (
            "let router = NormalizePathLayer::trim_trailing_slash().layer(router);\n    axum::serve(l, ServiceExt::<Request>::into_make_service(router)).await.unwrap();",
            "src/main.rs:6",
        ),
        (
            "let app = NormalizePath::trim_trailing_slash(router);\n    axum::serve(l, app.into_make_service()).await.unwrap();",
            "a `Router` inside another service. Write there\n\n    let router = crate::auth::with_accounts(router).await.unwrap_or_else(|error| panic!(\"accounts can't start: {error}\"));\n    let app = NormalizePath::trim_trailing_slash(router);",
        ),
        (
            "hyper_util::server::conn::auto::Builder::new(e).serve_connection_with_upgrades(io, s).await.unwrap();",
            "with hyper. Write there",
        ),
    ] {
        let printed = advice(&serving("", statements));
        assert!(printed.contains(said), "{printed}");
    }
}

#[test]
fn a_function_that_is_not_async_is_not_changed() {
    let sync = "use axum::Router;\nfn server(l: TcpListener) -> Serve { axum::serve(l, Router::new()) }";
    let printed = advice(sync);
    assert!(
        printed.contains("src/main.rs:2 serves in a function that isn't async.")
            && printed.contains("In the async function that calls it"),
        "{printed}"
    );
    let blocking = "use axum::Router;\nfn main() {\n    let l = TcpListener::bind(a);\n    rt.block_on(axum::serve(l, Router::new()).into_future());\n}";
    let printed = advice(blocking);
    assert!(
        printed.contains("    let app = rt.block_on(crate::auth::with_accounts(Router::new())).unwrap_or_else("),
        "{printed}"
    );
}

#[test]
fn conditional_code_is_not_changed() {
    for (statements, said) in [
        ("tokio::select! { _ = axum::serve(l, router) => {}, _ = stop() => {} }", "serves inside `select!`"),
        (
            "tokio::join!(axum::serve(l, router).into_future());",
            "serves inside `join!`. Write there\n\n    let router = crate::auth::with_accounts(router)",
        ),
        ("match x { 1 => axum::serve(l, router).await.unwrap(), _ => {} }", "serves in the middle of an expression"),
        ("x && axum::serve(l, router).await.is_ok();", "serves in the middle of an expression"),
        ("#[cfg(unix)]\n    axum::serve(l, router).await.unwrap();", "serves under a `cfg`"),
        ("run(axum::serve);", "passes `axum::serve` as a value"),
    ] {
        let printed = advice(&serving("", statements));
        assert!(printed.contains(said), "{printed}");
    }
}

#[test]
fn other_servers_get_their_own_advice() {
    for (source, lines) in [
        (
            "use lambda_http::{run, Error};\nasync fn main() -> Result<(), Error> {\n    let app = axum::Router::new();\n    run(app).await\n}",
            "    let app = crate::auth::with_accounts(app).await?;\n    run(app).await",
        ),
        (
            "#[shuttle_runtime::main]\nasync fn main() -> shuttle_axum::ShuttleAxum {\n    let router = axum::Router::new();\n    Ok(router.into())\n}",
            "    let router = crate::auth::with_accounts(router).await.unwrap_or_else(|error| panic!(\"accounts can't start: {error}\"));\n    Ok(router.into())",
        ),
        (
            "use loco_rs::app::Hooks;\npub struct App;\nimpl Hooks for App {}",
            "    async fn after_routes(router: axum::Router, _: &loco_rs::app::AppContext) -> loco_rs::Result<axum::Router> {\n        crate::auth::with_accounts(router)",
        ),
        (
            "async fn main() {\n    let app = axum::Router::new();\n    axum_server::bind(a).serve(app.into_make_service()).await.unwrap();\n}",
            "    axum_server::bind(a).serve(app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await.unwrap();",
        ),
        ("fn main() {}", "    let app = crate::auth::with_accounts(app).await.unwrap_or_else("),
    ] {
        let printed = advice(source);
        assert!(printed.contains(lines), "{printed}");
    }
}

#[test]
fn nothing_is_changed_if_a_file_is_not_valid_rust() {
    let survey = survey(vec![program("site", &[("src/main.rs", &format!("mod a;\n{PLAIN}")), ("src/a.rs", "fn {")])]);
    assert!(survey.certain().is_none());
    assert!(survey.advice().join("\n").contains("Can't parse src/a.rs"));
}

#[test]
fn the_module_goes_where_the_routes_are() {
    let lib = || library("the_shop", &[("src/lib.rs", "pub mod pages;"), ("src/pages.rs", "")]);
    let with_lib = format!("use the_shop::pages;\n{PLAIN}");

    // A binary with its library, under any name, and with the server anywhere in it.
    let main = survey(vec![lib(), program("shop", &[("src/main.rs", &with_lib)])]);
    assert_eq!(main.root(), Path::new("src/lib.rs"));
    assert!(main.around().expect("certain").after.contains("the_shop::auth::with_accounts(app)"));
    let in_module =
        program("x", &[("src/bin/x/main.rs", "use the_shop::pages;\nmod server;"), ("src/bin/x/server.rs", PLAIN)]);
    let openapi = program("openapi", &[("src/openapi.rs", "use the_shop::pages; fn main() {}")]);
    let bin = survey(vec![lib(), openapi, in_module]);
    assert_eq!(bin.around().expect("certain").source.path, Path::new("src/bin/x/server.rs"));
    assert!(bin.around().expect("certain").after.contains("the_shop::auth::with_accounts(app)"));

    // In the library itself.
    let inside =
        survey(vec![library("shop", &[("src/lib.rs", PLAIN)]), program("shop", &[("src/main.rs", "fn main() {}")])]);
    assert!(inside.around().expect("certain").after.contains("crate::auth::with_accounts(app)"));

    // A library that the binary doesn't use.
    let apart = survey(vec![lib(), program("shop", &[("src/main.rs", PLAIN)])]);
    assert_eq!(apart.root(), Path::new("src/main.rs"));
    assert!(apart.around().expect("certain").after.contains("crate::auth::with_accounts(app)"));

    // Two binaries, and no library.
    let client = || program("client", &[("src/client.rs", "fn main() {}")]);
    let two = survey(vec![client(), program("site", &[("src/main.rs", PLAIN)])]);
    assert_eq!(two.root(), Path::new("src/main.rs"));

    // No `src`.
    let elsewhere = survey(vec![program("backend", &[("backend/main.rs", PLAIN)])]);
    assert_eq!(elsewhere.folder().expect("a folder"), "backend");
    assert_eq!(survey(vec![program("b", &[("main.rs", PLAIN)])]).folder().expect("a folder"), "");
}

#[test]
fn a_binary_must_be_chosen_if_several_could_serve() {
    let two = || vec![program("a", &[("src/a.rs", PLAIN)]), program("b", &[("src/b.rs", PLAIN)])];
    let ask = |program| Survey::of_crates(two(), &[], "auth", program, false, PathBuf::new());
    let refused = ask(None).err().expect("refused").to_string();
    assert!(refused.ends_with("with `--bin a`, `--bin b`"), "{refused}");
    assert_eq!(
        ask(Some("c")).err().expect("refused").to_string(),
        "this package has no binary `c`: use one of `--bin a`, `--bin b`"
    );
    let chosen = ask(Some("b")).expect("a survey");
    assert_eq!(chosen.around().expect("certain").source.path, Path::new("src/b.rs"));
    let one_file = survey(vec![program("site", &[("src/bin/site.rs", PLAIN)])]);
    assert!(
        one_file.folder().expect_err("refused").to_string().contains("git mv src/bin/site.rs src/bin/site/main.rs")
    );
}

#[test]
fn a_file_of_two_crates_is_not_changed() {
    let server = ("src/server.rs", PLAIN);
    let lib = library("shop", &[("src/lib.rs", "mod server;"), server]);
    let both = survey(vec![lib, program("shop", &[("src/main.rs", "mod server; use shop::x;"), server])]);
    assert!(both.certain().is_none());
    assert!(both.advice().join("\n").contains("src/server.rs:8 belongs to more than one crate"));
}

#[test]
fn a_router_from_another_crate_of_the_workspace_is_recognized() {
    let web =
        [library("shop-web", &[("web/src/lib.rs", "use axum::Router; pub fn app() -> Router { Router::new() }")])];
    let main = "async fn main() { let l = tokio::net::TcpListener::bind(a).await.unwrap(); axum::serve(l, shop_web::app()).await.unwrap() }";
    let server = || vec![program("server", &[("src/main.rs", main)])];
    let of = |neighbors: &[Crate]| {
        Survey::of_crates(server(), neighbors, "auth", None, false, PathBuf::new())
            .expect("a survey")
            .certain()
            .is_some()
    };
    assert!(of(&web));
    assert!(!of(&[]));
}

#[test]
fn a_package_with_only_a_library_is_called_by_its_name() {
    let alone = survey(vec![library("my-pages", &[("src/lib.rs", "pub fn about() {}")])]);
    assert!(alone.advice().join("\n").contains("    let app = my_pages::auth::with_accounts(app).await"));
}
