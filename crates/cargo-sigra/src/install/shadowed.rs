//! Routes of the host's own at paths where accounts answer from now on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use syn::{
    Expr, ExprCall, ExprLit, ExprMethodCall, File, ImplItemFn, ItemFn, Lit,
    visit::{self, Visit},
};

use crate::host::Host;

/// How many functions deep routers are followed, and to how many places each: functions may have the same name, or call
/// each other.
const MAX_DEPTH: usize = 6;
const MAX_PLACES: usize = 64;

/// A route, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shadowed {
    /// The file and the line.
    pub place: String,
    pub path: String,
}

/// Those below a folder of paths such as `/users`.
pub fn find(host: &Host, folder: &str, module: &str) -> Vec<Shadowed> {
    let mut routes = Routes::default();
    for path in host.sources(module) {
        let parsed = fs::read_to_string(&path).ok().and_then(|source| syn::parse_file(&source).ok());
        if let Some(file) = parsed {
            routes.read(&host.relative(&path), &file);
        }
    }
    routes.below(folder)
}

/// What is called with a path.
#[derive(Debug)]
struct Route {
    place: String,
    /// All of the path that is written where the route is.
    path: String,
    /// Where the routers begin that it is nested in there: at a path below this one, it is not the first to be shadowed.
    above: String,
    function: Option<String>,
    is_nest: bool,
}

/// A function that is called, the path that its router is nested at, and the function that calls it.
type Call = (String, String, Option<String>);

/// All routes of an application, and which functions make routers that are nested.
#[derive(Default)]
struct Routes {
    routes: Vec<Route>,
    calls: BTreeSet<Call>,
    file: String,
    function: Option<String>,
    above: String,
}

impl Routes {
    fn read(&mut self, file: &str, source: &File) {
        file.clone_into(&mut self.file);
        self.visit_file(source);
    }

    fn below(&self, folder: &str) -> Vec<Shadowed> {
        let is_below = |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let is_folder = |path: &str| is_below(&format!("{}/", path.trim_end_matches('/')));
        let (prefixes, top) = (self.prefixes(), BTreeSet::from([String::new()]));
        let mut found = BTreeSet::new();
        for route in &self.routes {
            let known = route.function.as_ref().and_then(|function| prefixes.get(function));
            for prefix in known.unwrap_or(&top) {
                let (path, above) = (format!("{prefix}{}", route.path), format!("{prefix}{}", route.above));
                let is_shadowed = is_below(&path) || (route.is_nest && is_folder(&path));
                if is_shadowed && !is_folder(&above) {
                    found.insert(Shadowed { place: route.place.clone(), path });
                }
            }
        }
        found.into_iter().collect()
    }

    /// Where the routers of functions are that are called by others: at the top, unless they are nested.
    fn prefixes(&self) -> BTreeMap<String, BTreeSet<String>> {
        let is_called = |function: &String| self.calls.iter().any(|(called, ..)| called == function);
        let mut prefixes = BTreeMap::<String, BTreeSet<String>>::new();
        for _ in 0..MAX_DEPTH {
            for (called, path, by) in &self.calls {
                let above = match by {
                    Some(by) if is_called(by) => prefixes.get(by).cloned().unwrap_or_default(),
                    _ => BTreeSet::from([String::new()]),
                };
                let places = prefixes.entry(called.clone()).or_default();
                let room = MAX_PLACES.saturating_sub(places.len());
                places.extend(above.into_iter().map(|above| format!("{above}{path}")).take(room));
            }
        }
        prefixes.retain(|_, places| !places.is_empty());
        prefixes
    }

    fn enter(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        let (function, above) = (self.function.replace(name), std::mem::take(&mut self.above));
        visit(self);
        (self.function, self.above) = (function, above);
    }
}

impl<'ast> Visit<'ast> for Routes {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.enter(function.sig.ident.to_string(), |routes| visit::visit_item_fn(routes, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.enter(function.sig.ident.to_string(), |routes| visit::visit_impl_item_fn(routes, function));
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let method = call.method.to_string();
        let is_nest = matches!(method.as_str(), "nest" | "nest_service");
        let Some(path) = call.args.first().and_then(path_in).filter(|_| is_nest || method.starts_with("route")) else {
            visit::visit_expr_method_call(self, call);
            return;
        };
        let whole = format!("{}{}", self.above, path.trim_end_matches(if is_nest { '/' } else { '\0' }));
        self.routes.push(Route {
            place: format!("{}:{}", self.file, call.method.span().start().line),
            path: whole.clone(),
            above: self.above.clone(),
            function: self.function.clone(),
            is_nest,
        });
        self.visit_expr(&call.receiver);
        let above = if is_nest { std::mem::replace(&mut self.above, whole) } else { self.above.clone() };
        call.args.iter().skip(1).for_each(|arg| self.visit_expr(arg));
        self.above = above;
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(called) = &*call.func
            && let Some(name) = called.path.segments.last()
        {
            self.calls.insert((name.ident.to_string(), self.above.clone(), self.function.clone()));
        }
        visit::visit_expr_call(self, call);
    }
}

fn path_in(arg: &Expr) -> Option<String> {
    match arg {
        Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) if path.value().starts_with('/') => Some(path.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below_users(source: &str) -> Vec<String> {
        let mut routes = Routes::default();
        routes.read("src/main.rs", &syn::parse_file(source).expect("Rust"));
        routes.below("/users").into_iter().map(|found| format!("{} {}", found.place, found.path)).collect()
    }

    #[test]
    fn routes_and_nested_routers_at_the_paths_of_accounts_are_found() {
        for (source, found) in [
            ("fn f() { Router::new().route(\"/users/{id}\", get(show)); }", "/users/{id}"),
            ("fn f() { Router::new().route_service(\"/users/a\", s); }", "/users/a"),
            ("fn f() { Router::new().nest(\"/users\", Router::new().route(\"/{id}\", get(show))); }", "/users"),
            ("fn f() { Router::new().nest(\"/users/\", users::router()); }", "/users"),
            ("fn f() { Router::new().nest_service(\"/users/pictures\", ServeDir::new(\"a\")); }", "/users/pictures"),
            ("fn f() { a.nest(\"/\", own()) } fn own() { Router::new().route(\"/users/me\", get(me)) }", "/users/me"),
        ] {
            assert_eq!(below_users(source), [format!("src/main.rs:1 {found}")], "{source}");
        }
        let nested = "fn f() { a.nest(\"/users\", users()) }\nfn users() { b.route(\"/me\", get(me)) }";
        assert_eq!(below_users(nested), ["src/main.rs:1 /users"], "not each of them");
    }

    #[test]
    fn routes_elsewhere_are_left_alone() {
        for source in [
            "fn f() { Router::new().nest(\"/api/v1\", Router::new().route(\"/users/{id}\", get(show))); }",
            "fn f() { a.nest(\"/api\", api()) } fn api() { Router::new().route(\"/users/{id}\", get(show)) }",
            "fn f() { a.nest(\"/api\", v1::api().layer(x)) } fn api() { b.merge(users()).nest(\"/users\", u()) }",
            "fn f() { a.nest(\"/api\", api()) } fn api() { b.merge(own()) } fn own() { c.route(\"/users/a\", get(a)) }",
            "fn f() { a.nest(\"/api\", api()) } fn api() { b.nest(\"/v1\", v1()) } fn v1() { c.nest(\"/users\", u()) }",
            "fn f() { Router::new().route(\"/users\", get(index)).route(\"/usersettings/a\", get(a)); }",
            "fn f() { client.get(\"/users/1\"); println!(\"/users/\"); }",
        ] {
            assert_eq!(below_users(source), [""; 0], "{source}");
        }
    }

    #[test]
    fn a_router_that_nests_itself_ends() {
        below_users(
            "fn f() { a.nest(\"/a\", f()).route(\"/users/x\", get(x)) } fn g() { a.nest(\"/b\", h()) } fn h() { a.nest(\"/c\", g()) }",
        );
    }
}
