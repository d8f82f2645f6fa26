//! Finds the host's routes that accounts would take over.

use super::{
    code::tree::Source,
    routes::{self, Route},
};

/// Returns all routes whose full path begins with the prefix. Routers that are nested below another path don't count.
pub fn find<'a>(sources: impl Iterator<Item = &'a Source>, serving: &[String], prefix: &str) -> Vec<Route<'a>> {
    let mut found = routes::all(sources, serving);
    // The nesting itself is reported, so not the routes inside.
    let is_inside = |route: &Route| route.nests.iter().any(|nest| format!("{nest}/").starts_with(prefix));
    found.retain(|route| route.path.starts_with(prefix) && !is_inside(route));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::code::tree::tests::tree;

    #[track_caller]
    fn assert_found(files: &[(&str, &str)], expected: &[&str]) {
        let tree = tree(files);
        let found = find(tree.sources.iter(), &["main".to_owned()], "/users/");
        assert_eq!(found.iter().map(|route| route.path.as_str()).collect::<Vec<_>>(), expected);
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
