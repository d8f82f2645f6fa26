//! Finds routes in source: chains of `.route(…)`, through variables, functions and modules.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

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
    /// The arguments of `.layer(…)` and `.route_layer(…)` around it.
    pub layers: Vec<&'a Expr>,
    /// The paths of the routers that it is nested in.
    pub nests: Vec<String>,
}

/// Returns all routes, and the paths of nested routers. The search starts at the functions that serve.
pub fn all<'a>(sources: impl Iterator<Item = &'a Source>, serving: &[String]) -> Vec<Route<'a>> {
    let routers = Routers::of(sources);
    routers.routes(&routers.starts(serving))
}

/// Returns the routes of the routers that a file creates, wherever they are declared.
pub fn of_file<'a>(sources: impl Iterator<Item = &'a Source>, file: &Path) -> Vec<Route<'a>> {
    let routers = Routers::of(sources);
    let here = routers.positions(&|function| function.source.path == file);
    let called = routers.called_by(&here);
    let starts: Vec<usize> = here.into_iter().filter(|at| !called.contains(at)).collect();
    routers.routes(&starts)
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
    source: &'a Source,
    module: Vec<String>,
    name: String,
    parts: Vec<Part<'a>>,
}

/// A route or a call of another function, at a path.
#[derive(Clone)]
struct Part<'a> {
    path: String,
    nests: Vec<String>,
    layers: Vec<&'a Expr>,
    kind: PartKind<'a>,
}

impl<'a> Part<'a> {
    fn of(kind: PartKind<'a>) -> Self {
        Self { path: String::new(), nests: Vec::new(), layers: Vec::new(), kind }
    }
}

#[derive(Clone)]
enum PartKind<'a> {
    Route(&'a Source, usize, Option<&'a Expr>),
    Call(Vec<String>),
}

/// How many re-exports of a function are followed.
const LONGEST_CHAIN: usize = 4;

struct Routers<'a> {
    functions: Vec<Function<'a>>,
    /// The imports of each file, which can be re-exports.
    names: Vec<(&'a Source, Names)>,
}

impl<'a> Routers<'a> {
    fn of(sources: impl Iterator<Item = &'a Source>) -> Self {
        let names: Vec<_> = sources.map(|source| (source, Names::of(&source.file))).collect();
        let mut functions = Vec::new();
        for (source, names) in &names {
            Reader { source, names, module: source.module.clone(), functions: &mut functions }.visit_file(&source.file);
        }
        Self { functions, names }
    }

    /// Returns the routes of the routers that these functions create.
    fn routes(&self, starts: &[usize]) -> Vec<Route<'a>> {
        let mut found = Vec::new();
        for start in starts {
            self.collect(*start, &Above::default(), &mut Walk::default(), &mut found);
        }
        found.sort_by(|a, b| (&a.source.path, a.line, &a.path).cmp(&(&b.source.path, b.line, &b.path)));
        // A nested router and its first route can have the same path.
        let place = |route: &Route<'a>| (route.line, route.path.clone(), route.methods.is_some());
        found.dedup_by(|a, b| a.source == b.source && place(a) == place(b));
        found
    }

    /// Returns the functions that serve and their callers. If these have no routes, returns all functions that nothing
    /// calls.
    fn starts(&self, serving: &[String]) -> Vec<usize> {
        let calls = |function: &Function, name: &String| {
            function.parts.iter().any(|part| matches!(&part.kind, PartKind::Call(path) if path.last() == Some(name)))
        };
        let is_start =
            |function: &&Function| serving.iter().any(|name| function.name == *name || calls(function, name));
        let starts = self.positions(&|function| is_start(&function));
        if starts.iter().any(|start| !self.routes(&[*start]).is_empty()) {
            return starts;
        }
        let all: Vec<usize> = (0..self.functions.len()).collect();
        let called = self.called_by(&all);
        all.into_iter().filter(|at| !called.contains(at)).collect()
    }

    /// Returns the functions that any of these functions may call.
    fn called_by(&self, callers: &[usize]) -> BTreeSet<usize> {
        let calls =
            |at: &usize| self.functions[*at].parts.iter().flat_map(|part| self.called(*at, part)).collect::<Vec<_>>();
        callers.iter().flat_map(calls).collect()
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
        let exact = self.exported(path, LONGEST_CHAIN);
        // Only the name of a type is known here.
        let is_of_type = before.last().is_none_or(|last| last.starts_with(char::is_uppercase));
        if exact.is_empty() && is_of_type { self.positions(&|function| function.name == *name) } else { exact }
    }

    /// Returns the functions with this path, which modules may re-export.
    fn exported(&self, path: &[String], longest_chain: usize) -> Vec<usize> {
        let Some((name, before)) = path.split_last() else { return Vec::new() };
        let found = self.positions(&|function| function.name == *name && function.module.ends_with(before));
        if !found.is_empty() || before.is_empty() || longest_chain == 0 {
            return found;
        }
        let exporting = self.names.iter().filter(|(source, _)| source.module.ends_with(before));
        let elsewhere = exporting.map(|(_, names)| inside(&names.full_of(std::slice::from_ref(name))));
        elsewhere.filter(|other| other.len() > 1).flat_map(|other| self.exported(&other, longest_chain - 1)).collect()
    }

    fn collect(&self, at: usize, above: &Above<'a>, walk: &mut Walk, found: &mut Vec<Route<'a>>) {
        if walk.callers.contains(&at) || !walk.seen.insert((at, above.path.clone())) {
            return;
        }
        walk.callers.push(at);
        for part in &self.functions[at].parts {
            let Above { path, nests, layers } = above.with(part);
            match part.kind {
                PartKind::Route(source, line, methods) => {
                    found.push(Route { source, line, path, methods, layers, nests })
                }
                PartKind::Call(_) => {
                    let above = Above { path, nests, layers };
                    for inner in self.called(at, part) {
                        self.collect(inner, &above, walk, found);
                    }
                }
            }
        }
        walk.callers.pop();
    }
}

/// What a router is nested in.
#[derive(Default)]
struct Above<'a> {
    path: String,
    nests: Vec<String>,
    layers: Vec<&'a Expr>,
}

impl<'a> Above<'a> {
    fn with(&self, part: &Part<'a>) -> Self {
        let own = part.nests.iter().map(|nest| format!("{}{nest}", self.path));
        Self {
            path: format!("{}{}", self.path, part.path),
            nests: self.nests.iter().cloned().chain(own).collect(),
            layers: self.layers.iter().chain(&part.layers).copied().collect(),
        }
    }
}

/// Returns a path without `crate`, `self` and `super`.
fn inside(path: &str) -> Vec<String> {
    path.split("::").filter(|part| !["crate", "self", "super", "Self"].contains(part)).map(str::to_owned).collect()
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
        self.functions.push(Function { source: self.source, module: self.module.clone(), name, parts });
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
                    parts.push(Part::of(PartKind::Call(inside(&self.names.full(&path.path)))));
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
            ..Part::of(PartKind::Route(self.source, line, methods))
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
            ("layer" | "route_layer", [layer]) => parts.iter_mut().for_each(|part| part.layers.push(layer)),
            (method, arguments) => {
                for argument in arguments {
                    parts.extend(self.parts(argument));
                }
                if matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self")) {
                    parts.push(Part::of(PartKind::Call(vec![method.to_owned()])));
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
    fn the_routers_of_other_modules_are_found_with_the_layers_around_them() {
        let tree = tree(&[
            ("src/main.rs", "mod web; mod shop;"),
            (
                "src/web.rs",
                "use crate::shop; fn app() -> Router { own().merge(shop::routes().route_layer(from_fn(guard))).layer(trace) } \
                 fn own() -> Router { Router::new().route(\"/\", get(home)).nest(\"/cart\", crate::shop::cart()) }",
            ),
            (
                "src/shop.rs",
                "mod pages; pub use pages::cart; pub fn routes() -> Router { Router::new().route(\"/shop\", get(all)) }",
            ),
            (
                "src/shop/pages.rs",
                "pub fn cart() -> Router { Router::new().route(\"/pay\", post(pay)) } fn unused() -> Router { \
                 Router::new().route(\"/unused\", get(unused)) }",
            ),
        ]);
        let found = of_file(tree.sources.iter(), Path::new("src/web.rs"));
        let layers: Vec<_> = found.iter().map(|route| (&*route.path, route.layers.len())).collect();
        assert_eq!(layers, [("/cart/pay", 1), ("/shop", 2), ("/", 1), ("/cart/", 1)]);
    }
}
