//! Finds the host's routes that accounts would take over.

use super::{
    code::tree::Source,
    routes::{self, Route},
};

/// The paths of the OAuth server, which can't be moved.
const OF_OAUTH_SERVER: [&str; 10] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/device",
    "/device/decision",
    "/oauth/authorize",
    "/oauth/device_authorization",
    "/oauth/introspect",
    "/oauth/register",
    "/oauth/revoke",
    "/oauth/token",
];

/// The path of a resource follows.
const METADATA_OF_RESOURCES: &str = "/.well-known/oauth-protected-resource/";

/// The host's routes that accounts would take over.
#[derive(Default)]
pub struct Shadowed<'a> {
    /// Those below the prefix of accounts.
    pub below: Vec<Route<'a>>,
    /// Those at paths of the OAuth server.
    pub of_oauth_server: Vec<Route<'a>>,
}

/// Returns all routes whose full path begins with the prefix and, if there is an OAuth server, those at its paths.
pub fn find<'a>(
    sources: impl Iterator<Item = &'a Source>,
    serving: &[String],
    prefix: &str,
    has_oauth_server: bool,
) -> Shadowed<'a> {
    let mut found = Shadowed::default();
    for route in routes::all(sources, serving) {
        // The nesting itself is reported, so not the routes inside.
        let is_inside = route.nests.iter().any(|nest| format!("{nest}/").starts_with(prefix));
        if route.path.starts_with(prefix) && !is_inside {
            found.below.push(route);
        } else if has_oauth_server && is_of_oauth_server(&route) {
            found.of_oauth_server.push(route);
        }
    }
    found
}

/// Returns whether a route has a path of the OAuth server. The first route of a router that is nested at `/device` is
/// written as `/device/`, but serves `/device`.
fn is_of_oauth_server(route: &Route) -> bool {
    let is_first = |path: &&str| route.methods.is_some() && route.nests.iter().any(|nest| nest == path);
    let path = route.path.strip_suffix('/').filter(is_first);
    OF_OAUTH_SERVER.contains(&path.unwrap_or(&route.path)) || route.path.starts_with(METADATA_OF_RESOURCES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::code::tree::tests::tree;

    #[track_caller]
    fn assert_found(files: &[(&str, &str)], expected: &[&str]) {
        let tree = tree(files);
        let found = find(tree.sources.iter(), &["main".to_owned()], "/users/", true);
        assert_eq!(paths(&found.below), expected);
        assert_eq!(paths(&found.of_oauth_server), Vec::<&str>::new());
    }

    fn paths<'a>(routes: &'a [Route]) -> Vec<&'a str> {
        routes.iter().map(|route| route.path.as_str()).collect()
    }

    #[test]
    fn routes_at_paths_of_the_oauth_server_are_found() {
        for (router, expected) in [
            (
                ".route(\"/device\", get(a)).route(\"/device/{id}\", get(b)).route(\"/devices\", get(c))",
                &["/device"][..],
            ),
            (".nest(\"/device\", Router::new().route(\"/\", get(a)).route(\"/list\", get(b)))", &["/device/"]),
            (".nest(\"/device\", Router::new().route(\"/list\", get(b)))", &[]),
            (
                ".nest(\"/oauth\", Router::new().route(\"/token\", post(a)).route(\"/callback\", get(b)))",
                &["/oauth/token"],
            ),
            (".nest(\"/api\", Router::new().route(\"/device\", get(a)))", &[]),
            (
                ".route_service(\"/.well-known/oauth-protected-resource/mcp\", a)",
                &["/.well-known/oauth-protected-resource/mcp"],
            ),
        ] {
            let tree = tree(&[("src/main.rs", &format!("fn main() {{ serve(l, Router::new(){router}) }}"))]);
            let find = |has_server| find(tree.sources.iter(), &["main".to_owned()], "/users/", has_server);
            assert_eq!(paths(&find(true).of_oauth_server), expected);
            assert!(find(true).below.is_empty() && find(false).of_oauth_server.is_empty(), "{router}");
        }
    }

    #[test]
    fn the_paths_of_the_oauth_server_are_those_that_installed_accounts_serve() {
        let files = crate::template::read::embedded();
        let mount = files.iter().find(|file| file.path == "src/mount.rs").expect("the file");
        let (_, rest) = mount.text.split_once("const OAUTH_SERVER_PATHS").expect("the paths");
        let (paths, rest) = rest.split_once("];").expect("their end");
        assert_eq!(paths.split('"').skip(1).step_by(2).collect::<Vec<_>>(), OF_OAUTH_SERVER);
        assert!(
            rest.contains(&format!("const RESOURCE_METADATA_PREFIX: &str = \"{METADATA_OF_RESOURCES}\";")),
            "{rest}"
        );
    }

    #[test]
    fn routes_at_the_top_level_are_found() {
        for (main, expected) in [
            ("let app = Router::new().route(\"/users/{id}\", get(user)); serve(l, app).await", "/users/{id}"),
            ("let app = Router::new(); let app = app.nest(\"/users\", other::router()); serve(l, app)", "/users/"),
            ("let app = Router::new().merge(users::router()); serve(l, app)", "/users/me"),
            ("let mut app = Router::new(); app = app.merge(users::router()); serve(l, app)", "/users/me"),
            ("serve(l, users::router().layer(cors)).await.unwrap()", "/users/me"),
            ("let app = Router::new().nest(\"/users/\", users::router()); serve(l, app)", "/users/"),
            (
                "let app = Router::new().nest_service(\"/users/pictures\", ServeDir::new(a)); serve(l, app)",
                "/users/pictures/",
            ),
            ("let app = Router::new().nest(\"/\", users::router()); serve(l, app)", "/users/me"),
            ("let app = if x { users::router() } else { Router::new() }; serve(l, app)", "/users/me"),
        ] {
            let main = format!("mod users; mod api; async fn main() {{ {main}; }}");
            let users =
                "pub fn router() -> Router { Router::new().route(\"/users\", get(all)).route(\"/users/me\", get(me)) }";
            let api = "pub fn router() -> Router { Router::new().route(\"/things\", get(all)) }";
            assert_found(&[("src/main.rs", &main), ("src/users.rs", users), ("src/api.rs", api)], &[expected]);
        }
    }

    #[test]
    fn routes_nested_below_another_path_do_not_collide() {
        for main in [
            "let app = Router::new().nest(\"/api/v1\", users::router()); serve(l, app)",
            "let api = users::router(); let app = Router::new().nest(\"/api\", api); serve(l, app)",
            "let app = Router::new().nest(\"/api\", Router::new().nest(\"/users\", users::router())); serve(l, app)",
            "let app = Router::new().route(\"/users\", get(all)).route(\"/usersettings/{id}\", get(one)); serve(l, app)",
            "client.get(\"/users/1\"); serve(l, Router::new().route(\"/\", get(home)))",
        ] {
            let main = format!("mod users; async fn main() {{ {main}; }} // \"/users/\"");
            let users = "pub fn router() -> Router { Router::new().route(\"/users/me\", get(me)) }";
            assert_found(&[("src/main.rs", &main), ("src/users.rs", users)], &[]);
        }
    }

    #[test]
    fn a_router_that_nests_itself_ends() {
        assert_found(
            &[("src/main.rs", "fn main() { a.nest(\"/a\", main()).merge(f()) } fn f() { a.nest(\"/b\", f()) }")],
            &[],
        );
    }

    #[test]
    fn functions_with_the_same_name_are_distinguished_by_their_modules() {
        let main = "mod users; mod pages; async fn main() { let app = pages::router().nest(\"/api\", users::router()); serve(l, app); }";
        let users = "pub fn router() -> Router { Router::new().route(\"/users/me\", get(me)) }";
        let pages = "pub fn router() -> Router { Router::new().route(\"/about\", get(about)) }";
        assert_found(&[("src/main.rs", main), ("src/users.rs", users), ("src/pages.rs", pages)], &[]);
    }

    #[test]
    fn in_a_library_the_search_starts_at_functions_that_nothing_calls() {
        let lib = "pub fn app() -> Router { Router::new().nest(\"/api\", inner()).merge(top()) } fn inner() -> Router { \
                   Router::new().route(\"/users/a\", get(a)) } fn top() -> Router { Router::new().route(\"/users/b\", get(b)) }";
        assert_found(&[("src/lib.rs", lib)], &["/users/b"]);
    }
}
