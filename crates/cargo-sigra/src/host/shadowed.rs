//! Finds the host's routes, and those that accounts would take over.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Block, Expr, ExprMethodCall, ImplItemFn, ItemFn, ItemMod, Lit, Pat, Stmt,
    visit::{self, Visit},
};

use super::code::{names::Names, tree::Source};

/// A route, and the place of its declaration.
#[derive(Clone)]
pub struct Route<'a> {
    pub source: &'a Source,
    pub line: usize,
    pub path: String,
    /// The methods and handlers, such as `get(index).post(create)`. `None` for services and nested routers.
    pub methods: Option<&'a Expr>,
    /// The paths of the routers that it is nested in.
    nests: Vec<String>,
}

/// Returns all routes whose full path begins with the prefix. The search starts at the functions that serve, so routers
/// that are nested below another path don't count.
pub fn find<'a>(sources: impl Iterator<Item = &'a Source>, serving: &[String], prefix: &str) -> Vec<Route<'a>> {
    let mut found = all(sources, serving);
    // The nesting itself is reported, so not the routes inside.
    let is_inside = |route: &Route| route.nests.iter().any(|nest| format!("{nest}/").starts_with(prefix));
    found.retain(|route| route.path.starts_with(prefix) && !is_inside(route));
    found
}

/// Returns all routes, and the paths of nested routers.
pub fn all<'a>(sources: impl Iterator<Item = &'a Source>, serving: &[String]) -> Vec<Route<'a>> {
    let mut functions = Vec::new();
    for source in sources {
        let names = Names::of(&source.file);
        Reader { source, names: &names, module: source.module.clone(), functions: &mut functions }
            .visit_file(&source.file);
    }
    let routers = Routers { functions };
    let starts = routers.starts(serving);
    let mut found = Vec::new();
    for start in starts {
        routers.collect(start, "", &[], &mut Walk::default(), &mut found);
    }
    found.sort_by(|a, b| (&a.source.path, a.line, &a.path).cmp(&(&b.source.path, b.line, &b.path)));
    found.dedup_by(|a, b| a.source == b.source && (a.line, &a.path) == (b.line, &b.path));
    found
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Source {}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.path)
    }
}

/// The parts of routers that a function creates.
struct Function<'a> {
    module: Vec<String>,
    name: String,
    parts: Vec<Part<'a>>,
}

/// A route or a call of another function, at a path.
#[derive(Clone)]
struct Part<'a> {
    path: String,
    nests: Vec<String>,
    kind: PartKind<'a>,
}

#[derive(Clone)]
enum PartKind<'a> {
    Route(&'a Source, usize, Option<&'a Expr>),
    Call(Vec<String>),
}

struct Routers<'a> {
    functions: Vec<Function<'a>>,
}

impl<'a> Routers<'a> {
    /// Returns the functions that serve and their callers. If these have no routes, returns all functions that nothing
    /// calls.
    fn starts(&self, serving: &[String]) -> Vec<usize> {
        let calls = |function: &Function, name: &String| {
            function.parts.iter().any(|part| matches!(&part.kind, PartKind::Call(path) if path.last() == Some(name)))
        };
        let is_start =
            |function: &&Function| serving.iter().any(|name| function.name == *name || calls(function, name));
        let starts = self.positions(&|function| is_start(&function));
        let has_routes = |at: &usize| {
            let mut found = Vec::new();
            self.collect(*at, "", &[], &mut Walk::default(), &mut found);
            !found.is_empty()
        };
        if starts.iter().any(has_routes) {
            return starts;
        }
        let all = self.functions.iter().enumerate();
        let called: BTreeSet<usize> =
            all.flat_map(|(at, function)| function.parts.iter().flat_map(move |part| self.called(at, part))).collect();
        (0..self.functions.len()).filter(|at| !called.contains(at)).collect()
    }

    fn positions(&self, is_wanted: &dyn Fn(&Function) -> bool) -> Vec<usize> {
        let all = self.functions.iter().enumerate();
        all.filter(|(_, function)| is_wanted(function)).map(|(at, _)| at).collect()
    }

    /// Returns the functions that a part of another one may call.
    fn called(&self, by: usize, part: &Part) -> Vec<usize> {
        let PartKind::Call(path) = &part.kind else { return Vec::new() };
        let Some((name, before)) = path.split_last() else { return Vec::new() };
        let here = self.positions(&|function| {
            before.is_empty() && function.name == *name && function.module == self.functions[by].module
        });
        if !here.is_empty() {
            return here;
        }
        let exact = self.positions(&|function| function.name == *name && function.module.ends_with(before));
        // Only the name of a type is known here.
        let is_of_type = before.last().is_none_or(|last| last.starts_with(char::is_uppercase));
        if exact.is_empty() && is_of_type { self.positions(&|function| function.name == *name) } else { exact }
    }

    fn collect(&self, at: usize, prefix: &str, above: &[String], walk: &mut Walk, found: &mut Vec<Route<'a>>) {
        if walk.callers.contains(&at) || !walk.seen.insert((at, prefix.to_owned())) {
            return;
        }
        walk.callers.push(at);
        for part in &self.functions[at].parts {
            let path = format!("{prefix}{}", part.path);
            let own = part.nests.iter().map(|nest| format!("{prefix}{nest}"));
            let nests: Vec<String> = above.iter().cloned().chain(own).collect();
            match part.kind {
                PartKind::Route(source, line, methods) => found.push(Route { source, line, path, methods, nests }),
                PartKind::Call(_) => {
                    for inner in self.called(at, part) {
                        self.collect(inner, &path, &nests, walk, found);
                    }
                }
            }
        }
        walk.callers.pop();
    }
}

/// The functions that the search visited.
#[derive(Default)]
struct Walk {
    /// The callers of the current function. A router can't be nested in itself.
    callers: Vec<usize>,
    /// All visited functions, each with the path that its router is nested at.
    seen: BTreeSet<(usize, String)>,
}

struct Reader<'a, 'b> {
    source: &'a Source,
    names: &'b Names,
    module: Vec<String>,
    functions: &'b mut Vec<Function<'a>>,
}

impl<'a> Visit<'a> for Reader<'a, '_> {
    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        self.function(function.sig.ident.to_string(), &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        self.function(function.sig.ident.to_string(), &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

impl<'a> Reader<'a, '_> {
    fn function(&mut self, name: String, block: &'a Block) {
        let mut body = Body { source: self.source, names: self.names, named: BTreeMap::new(), loose: Vec::new() };
        let last = body.block(block);
        let parts = last.into_iter().chain(body.loose).chain(body.named.into_values().flatten()).collect();
        self.functions.push(Function { module: self.module.clone(), name, parts });
    }
}

struct Body<'a, 'b> {
    source: &'a Source,
    names: &'b Names,
    /// Routers in variables, until another router takes them in.
    named: BTreeMap<String, Vec<Part<'a>>>,
    loose: Vec<Part<'a>>,
}

impl<'a> Body<'a, '_> {
    /// Returns the parts of its last expression.
    fn block(&mut self, block: &'a Block) -> Vec<Part<'a>> {
        let mut last = Vec::new();
        for statement in &block.stmts {
            self.loose.append(&mut last);
            match statement {
                Stmt::Local(local) => {
                    let parts = local.init.as_ref().map(|init| self.parts(&init.expr)).unwrap_or_default();
                    let pattern = match &local.pat {
                        Pat::Type(typed) => &*typed.pat,
                        pattern => pattern,
                    };
                    match pattern {
                        Pat::Ident(name) => self.named.entry(name.ident.to_string()).or_default().extend(parts),
                        Pat::Tuple(tuple) => match tuple.elems.first() {
                            Some(Pat::Ident(name)) => {
                                self.named.entry(name.ident.to_string()).or_default().extend(parts)
                            }
                            _ => self.loose.extend(parts),
                        },
                        _ => self.loose.extend(parts),
                    }
                }
                Stmt::Expr(expr, _) => last = self.parts(expr),
                Stmt::Item(_) | Stmt::Macro(_) => {}
            }
        }
        last
    }

    fn parts(&mut self, expr: &'a Expr) -> Vec<Part<'a>> {
        match expr {
            Expr::MethodCall(call) => self.of_method(call),
            Expr::Path(path) => {
                let name = path.path.get_ident().map(ToString::to_string);
                name.and_then(|name| self.named.remove(&name)).unwrap_or_default()
            }
            Expr::Call(call) => {
                let mut parts: Vec<_> = call.args.iter().flat_map(|argument| self.parts(argument)).collect();
                if let Expr::Path(path) = &*call.func {
                    let full = self.names.full(&path.path);
                    let path = full.split("::").filter(|part| !["crate", "self", "super", "Self"].contains(part));
                    parts.push(Part {
                        path: String::new(),
                        nests: Vec::new(),
                        kind: PartKind::Call(path.map(str::to_owned).collect()),
                    });
                }
                parts
            }
            Expr::Assign(assign) => {
                let parts = self.parts(&assign.right);
                match &*assign.left {
                    Expr::Path(path) if path.path.get_ident().is_some() => {
                        let name = path.path.get_ident().map(ToString::to_string).unwrap_or_default();
                        self.named.entry(name).or_default().extend(parts);
                        Vec::new()
                    }
                    _ => parts,
                }
            }
            Expr::Await(inner) => self.parts(&inner.base),
            Expr::Try(inner) => self.parts(&inner.expr),
            Expr::Paren(inner) => self.parts(&inner.expr),
            Expr::Reference(inner) => self.parts(&inner.expr),
            Expr::Return(inner) => inner.expr.as_ref().map(|inner| self.parts(inner)).unwrap_or_default(),
            Expr::Tuple(tuple) => tuple.elems.iter().flat_map(|part| self.parts(part)).collect(),
            Expr::Struct(value) => value.fields.iter().flat_map(|field| self.parts(&field.expr)).collect(),
            Expr::Block(block) => self.block(&block.block),
            Expr::Async(block) => self.block(&block.block),
            Expr::Closure(closure) => self.parts(&closure.body),
            Expr::Match(branches) => {
                let of_value = self.parts(&branches.expr);
                of_value.into_iter().chain(branches.arms.iter().flat_map(|arm| self.parts(&arm.body))).collect()
            }
            Expr::If(branches) => {
                let mut parts = self.block(&branches.then_branch);
                if let Some((_, other)) = &branches.else_branch {
                    parts.extend(self.parts(other));
                }
                parts
            }
            _ => Vec::new(),
        }
    }

    fn of_method(&mut self, call: &'a ExprMethodCall) -> Vec<Part<'a>> {
        let mut parts = self.parts(&call.receiver);
        let arguments: Vec<&Expr> = call.args.iter().collect();
        let line = call.method.span().start().line;
        let route = |path: String, methods: Option<&'a Expr>| Part {
            path,
            nests: Vec::new(),
            kind: PartKind::Route(self.source, line, methods),
        };
        match (call.method.to_string().as_str(), &arguments[..]) {
            ("route", [path, methods]) => parts.extend(text(path).map(|path| route(path, Some(*methods)))),
            ("route_service", [path, _]) => parts.extend(text(path).map(|path| route(path, None))),
            ("nest" | "nest_service", [prefix, inner]) => {
                let Some(prefix) = text(prefix) else { return parts };
                let prefix = prefix.trim_end_matches('/').to_owned();
                parts.push(route(format!("{prefix}/"), None));
                for part in self.parts(inner) {
                    let inside = part.nests.iter().map(|nest| format!("{prefix}{nest}"));
                    let nests = [prefix.clone()].into_iter().chain(inside).collect();
                    parts.push(Part { path: format!("{prefix}{}", part.path), nests, ..part });
                }
            }
            (method, arguments) => {
                for argument in arguments {
                    parts.extend(self.parts(argument));
                }
                if matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self")) {
                    parts.push(Part {
                        path: String::new(),
                        nests: Vec::new(),
                        kind: PartKind::Call(vec![method.to_owned()]),
                    });
                }
            }
        }
        parts
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
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
    fn all_routes_are_found_with_the_paths_of_their_routers() {
        let tree = tree(&[
            (
                "src/main.rs",
                "mod api; async fn main() { let app = Router::new().route(\"/\", get(home)).nest(\"/api\", api::router()); serve(l, app); }",
            ),
            ("src/api.rs", "pub fn router() -> Router { Router::new().route(\"/things\", get(all).post(new)) }"),
        ]);
        let found = all(tree.sources.iter(), &["main".to_owned()]);
        let paths: Vec<_> = found.iter().map(|route| (&*route.path, route.methods.is_some())).collect();
        assert_eq!(paths, [("/api/things", true), ("/", true), ("/api/", false)]);
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
