//! Finds whether an expression is a router or a listener, as far as the sources show. `None` means unknown.

use std::collections::BTreeMap;

use syn::{
    Block, Expr, ExprCall, ExprMethodCall, Field, FnArg, GenericArgument, ImplItemFn, ItemFn, ItemType, Member, Pat,
    PathArguments, ReturnType, Signature, Stmt, Type, TypeParamBound,
    visit::{self, Visit},
};

use super::{names::Names, tree::Source};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Router,
    Tcp,
    Unix,
}

/// The depth at which the search ends, because definitions can be circular. No real code is nested this deep.
const DEPTH: usize = 12;

/// Methods that return the value inside, or another one of its kind.
const THROUGH: [&str; 12] = [
    "unwrap",
    "expect",
    "unwrap_or_else",
    "unwrap_or_default",
    "context",
    "with_context",
    "wrap_err",
    "wrap_err_with",
    "map_err",
    "clone",
    "into_diagnostic",
    "inspect_err",
];

/// Methods of a router that return a router.
const OF_ROUTERS: [&str; 13] = [
    "route",
    "route_service",
    "nest",
    "nest_service",
    "merge",
    "layer",
    "route_layer",
    "fallback",
    "fallback_service",
    "method_not_allowed_fallback",
    "reset_fallback",
    "with_state",
    "without_v07_checks",
];

const CONSTRUCTORS: [&str; 4] = ["new", "default", "bind", "from_std"];

/// The declarations of the crates, by name. Functions with the same name aren't distinguished, so all of them must
/// agree.
#[derive(Default)]
pub struct Declared<'a> {
    functions: BTreeMap<String, Vec<(&'a Signature, &'a Names)>>,
    fields: BTreeMap<String, Vec<(&'a Type, &'a Names)>>,
    aliases: BTreeMap<String, Vec<(&'a Type, &'a Names)>>,
    /// Other crates of the workspace.
    neighbors: BTreeMap<String, Declared<'a>>,
}

impl<'a> Declared<'a> {
    pub fn of(sources: impl Iterator<Item = (&'a Source, &'a Names)>) -> Self {
        let mut declared = Self::default();
        for (source, names) in sources {
            Reader { declared: &mut declared, names }.visit_file(&source.file);
        }
        declared
    }

    pub fn add_neighbor(&mut self, name: String, declared: Self) {
        self.neighbors.insert(name, declared);
    }

    /// Returns the type behind an alias, if there is only one of that name.
    pub fn alias(&self, name: &str) -> Option<(&'a Type, &'a Names)> {
        match self.aliases.get(name).map(Vec::as_slice) {
            Some([alias]) => Some(*alias),
            _ => None,
        }
    }

    fn function(&self, name: &str, place: Option<usize>) -> Option<Kind> {
        let found = self.functions.get(name)?.iter().map(|(signature, names)| match &signature.output {
            ReturnType::Type(_, ty) => self.of_type(ty, names, place),
            ReturnType::Default => None,
        });
        agreed(found)
    }

    /// Returns the kind of a type, or of an element of a tuple. A `Result` counts as the value inside.
    pub fn of_type(&self, ty: &Type, names: &Names, place: Option<usize>) -> Option<Kind> {
        self.of_type_in(ty, names, place, DEPTH)
    }

    fn of_type_in(&self, ty: &Type, names: &Names, place: Option<usize>, depth: usize) -> Option<Kind> {
        let depth = depth.checked_sub(1)?;
        match (ty, place) {
            (Type::Tuple(tuple), Some(place)) => self.of_type_in(tuple.elems.iter().nth(place)?, names, None, depth),
            (Type::Reference(reference), _) => self.of_type_in(&reference.elem, names, place, depth),
            (Type::Paren(inner), _) => self.of_type_in(&inner.elem, names, place, depth),
            (Type::ImplTrait(bounds), _) => bounds.bounds.iter().find_map(|bound| match bound {
                TypeParamBound::Trait(bound) => {
                    let last = bound.path.segments.last().filter(|last| last.ident == "Future")?;
                    self.of_type_in(argument(&last.arguments)?, names, place, depth)
                }
                _ => None,
            }),
            (Type::Path(path), _) => {
                let last = path.path.segments.last()?;
                if last.ident == "Result" {
                    return self.of_type_in(argument(&last.arguments)?, names, place, depth);
                }
                let own = || place.is_none().then(|| kind_named(&names.full(&path.path))).flatten();
                own().or_else(|| {
                    let (ty, names) = self.alias(&last.ident.to_string())?;
                    self.of_type_in(ty, names, place, depth)
                })
            }
            _ => None,
        }
    }
}

/// Returns the first type between `<` and `>`.
pub fn argument(arguments: &PathArguments) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        GenericArgument::AssocType(output) => Some(&output.ty),
        _ => None,
    })
}

fn kind_named(full: &str) -> Option<Kind> {
    match full {
        // A plain `Router` comes from a prelude.
        "axum::Router" | "axum::routing::Router" | "Router" => Some(Kind::Router),
        "tokio::net::TcpListener" | "TcpListener" | "net::TcpListener" => Some(Kind::Tcp),
        "tokio::net::UnixListener" | "UnixListener" | "net::UnixListener" => Some(Kind::Unix),
        _ => None,
    }
}

fn agreed(mut kinds: impl Iterator<Item = Option<Kind>>) -> Option<Kind> {
    let first = kinds.next()??;
    kinds.all(|kind| kind == Some(first)).then_some(first)
}

struct Reader<'a, 'b> {
    declared: &'b mut Declared<'a>,
    names: &'a Names,
}

impl<'a> Visit<'a> for Reader<'a, '_> {
    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        let name = function.sig.ident.to_string();
        self.declared.functions.entry(name).or_default().push((&function.sig, self.names));
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        let name = function.sig.ident.to_string();
        self.declared.functions.entry(name).or_default().push((&function.sig, self.names));
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_field(&mut self, field: &'a Field) {
        if let Some(name) = &field.ident {
            self.declared.fields.entry(name.to_string()).or_default().push((&field.ty, self.names));
        }
    }

    fn visit_item_type(&mut self, alias: &'a ItemType) {
        self.declared.aliases.entry(alias.ident.to_string()).or_default().push((&alias.ty, self.names));
    }
}

/// A variable in a function, and where its value comes from.
#[derive(Clone)]
pub struct Binding<'a> {
    pub name: String,
    /// Its index in a tuple.
    pub place: Option<usize>,
    pub ty: Option<&'a Type>,
    pub init: Option<&'a Expr>,
}

impl<'a> Binding<'a> {
    /// Creates a binding whose value is unknown.
    pub fn unknown(name: String) -> Self {
        Self { name, place: None, ty: None, init: None }
    }

    pub fn of_argument(argument: &'a FnArg) -> Option<Self> {
        let FnArg::Typed(argument) = argument else { return None };
        let Pat::Ident(name) = &*argument.pat else { return None };
        Some(Self { name: name.ident.to_string(), place: None, ty: Some(&argument.ty), init: None })
    }

    /// Returns the bindings of a `let`, one for each name.
    pub fn of_let(pattern: &'a Pat, ty: Option<&'a Type>, init: Option<&'a Expr>, place: Option<usize>) -> Vec<Self> {
        match pattern {
            Pat::Ident(name) if name.subpat.is_none() => {
                vec![Self { name: name.ident.to_string(), place, ty, init }]
            }
            Pat::Type(typed) => Self::of_let(&typed.pat, Some(&typed.ty), init, place),
            Pat::Tuple(tuple) if place.is_none() => {
                let parts = tuple.elems.iter().enumerate();
                parts.flat_map(|(at, part)| Self::of_let(part, ty, init, Some(at))).collect()
            }
            // `let Ok(listener) = … else { … }`
            Pat::TupleStruct(inside) if inside.path.is_ident("Ok") && inside.elems.len() == 1 => {
                inside.elems.iter().flat_map(|part| Self::of_let(part, None, init, place)).collect()
            }
            other => {
                let mut all = All(Vec::new());
                all.visit_pat(other);
                all.0.into_iter().map(Self::unknown).collect()
            }
        }
    }
}

struct All(Vec<String>);

impl<'ast> Visit<'ast> for All {
    fn visit_pat_ident(&mut self, name: &'ast syn::PatIdent) {
        self.0.push(name.ident.to_string());
    }
}

/// The values that are visible at one place.
#[derive(Clone, Copy)]
pub struct Values<'a, 'b> {
    pub declared: &'b Declared<'a>,
    pub names: &'b Names,
    /// The variables in scope, the innermost last.
    pub bindings: &'b [Binding<'a>],
}

impl<'a, 'b> Values<'a, 'b> {
    pub fn kind(self, expr: &Expr) -> Option<Kind> {
        self.at(expr, None, DEPTH)
    }

    /// Returns the binding of a variable, and the values that are visible there.
    pub fn binding(self, expr: &Expr) -> Option<(&'b Binding<'a>, Self)> {
        let Expr::Path(path) = expr else { return None };
        let name = path.path.get_ident()?.to_string();
        let at = self.bindings.iter().rposition(|binding| binding.name == name)?;
        Some((&self.bindings[at], Self { bindings: &self.bindings[..at], ..self }))
    }

    /// Returns the kind of an expression. `place` is the index of the value in the tuple that the expression returns.
    fn at(self, expr: &Expr, place: Option<usize>, depth: usize) -> Option<Kind> {
        let depth = depth.checked_sub(1)?;
        match expr {
            Expr::Await(inner) => self.at(&inner.base, place, depth),
            Expr::Try(inner) => self.at(&inner.expr, place, depth),
            Expr::Paren(inner) => self.at(&inner.expr, place, depth),
            Expr::Group(inner) => self.at(&inner.expr, place, depth),
            Expr::MethodCall(call) => self.of_method(call, place, depth),
            Expr::Call(call) => self.of_call(call, place),
            Expr::Path(_) => {
                let (binding, there) = self.binding(expr)?;
                let place = binding.place.or(place);
                let by_type = binding.ty.and_then(|ty| self.declared.of_type(ty, self.names, place));
                by_type.or_else(|| there.at(binding.init?, place, depth))
            }
            Expr::Tuple(tuple) => self.at(tuple.elems.iter().nth(place?)?, None, depth),
            Expr::Field(field) => match &field.member {
                Member::Named(name) => {
                    let found = self.declared.fields.get(&name.to_string())?;
                    agreed(found.iter().map(|(ty, names)| self.declared.of_type(ty, names, place)))
                }
                Member::Unnamed(_) => None,
            },
            Expr::Block(block) => self.of_block(&block.block, place, depth),
            Expr::If(branches) => {
                let (_, other) = branches.else_branch.as_ref()?;
                agreed([self.of_block(&branches.then_branch, place, depth), self.at(other, place, depth)].into_iter())
            }
            Expr::Match(branches) => {
                let values = branches.arms.iter().filter(|arm| !leaves(&arm.body));
                agreed(values.map(|arm| self.at(&arm.body, place, depth)))
            }
            _ => None,
        }
    }

    /// Returns the kind of a block's last expression. Variables of the block count as unknown.
    fn of_block(self, block: &Block, place: Option<usize>, depth: usize) -> Option<Kind> {
        let Some(Stmt::Expr(last, None)) = block.stmts.last() else { return None };
        let mut bindings = self.bindings.to_vec();
        for statement in &block.stmts {
            if let Stmt::Local(local) = statement {
                let mut all = All(Vec::new());
                all.visit_pat(&local.pat);
                bindings.extend(all.0.into_iter().map(Binding::unknown));
            }
        }
        Values { bindings: &bindings, ..self }.at(last, place, depth)
    }

    fn of_method(self, call: &ExprMethodCall, place: Option<usize>, depth: usize) -> Option<Kind> {
        let method = call.method.to_string();
        if THROUGH.contains(&&*method) {
            return self.at(&call.receiver, place, depth);
        }
        // utoipa's router returns an axum router and its description.
        if method == "split_for_parts" && place == Some(0) {
            return Some(Kind::Router);
        }
        let of_itself = self.at(&call.receiver, None, depth);
        match of_itself {
            Some(Kind::Router) if OF_ROUTERS.contains(&&*method) => of_itself,
            Some(Kind::Tcp) if method == "tap_io" => of_itself,
            Some(_) => None,
            None if OF_ROUTERS.contains(&&*method) => None,
            None => self.declared.function(&method, place).or_else(|| {
                let others = self.declared.neighbors.values().filter(|other| other.functions.contains_key(&method));
                agreed(others.map(|other| other.function(&method, place)))
            }),
        }
    }

    fn of_call(self, call: &ExprCall, place: Option<usize>) -> Option<Kind> {
        let Expr::Path(path) = &*call.func else { return None };
        let full = self.names.full(&path.path);
        let (before, last) = full.rsplit_once("::").unwrap_or(("", &full));
        if CONSTRUCTORS.contains(&last)
            && let Some(kind) = kind_named(before)
        {
            return Some(kind);
        }
        // `new` of another type returns that type.
        let krate = full.split("::").next().and_then(|first| self.declared.neighbors.get(first));
        if CONSTRUCTORS.contains(&last) { None } else { krate.unwrap_or(self.declared).function(last, place) }
    }
}

/// Returns whether a match arm has no value, because it returns, breaks or panics.
fn leaves(expr: &Expr) -> bool {
    match expr {
        Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => true,
        Expr::Macro(call) => {
            let name = call.mac.path.segments.last().map(|last| last.ident.to_string());
            matches!(name.as_deref(), Some("panic" | "unreachable" | "todo" | "bail"))
        }
        Expr::Block(block) => match block.block.stmts.last() {
            Some(Stmt::Expr(last, _)) => leaves(last),
            Some(Stmt::Macro(last)) => last.mac.path.is_ident("panic"),
            _ => false,
        },
        Expr::Call(call) => {
            matches!(&*call.func, Expr::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "exit"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tree::tests::tree, *};

    /// Returns the kind of the last expression of `main`.
    fn kind_in(declarations: &str, main: &str) -> Option<Kind> {
        let source = format!("{declarations}\nasync fn main() {{ {main} }}");
        let tree = tree(&[("src/main.rs", &source)]);
        let source = &tree.sources[0];
        let names = Names::of(&source.file);
        let declared = Declared::of([(source, &names)].into_iter());
        let Some(syn::Item::Fn(main)) = source.file.items.last() else { panic!("main") };
        let mut bindings = Vec::new();
        let mut last = None;
        for statement in &main.block.stmts {
            match statement {
                Stmt::Local(local) => {
                    let init = local.init.as_ref().map(|init| &*init.expr);
                    bindings.extend(Binding::of_let(&local.pat, None, init, None));
                }
                Stmt::Expr(expr, _) => last = Some(expr),
                _ => {}
            }
        }
        Values { declared: &declared, names: &names, bindings: &bindings }.kind(last.expect("a tail"))
    }

    #[test]
    fn routers_are_recognized_by_their_origin() {
        for (declarations, main) in [
            ("use axum::Router;", "let app = Router::new().route(\"/\", get(home)); app"),
            ("", "axum::Router::<()>::new().layer(x)"),
            ("use axum::Router as R;", "let a = R::new(); let b = a.merge(c()); b"),
            ("use axum::Router; fn app() -> Router { todo!() }", "app()"),
            ("use axum::Router; fn app() -> Result<Router, E> { todo!() }", "let app = app()?; app"),
            ("use axum::Router; async fn app() -> anyhow::Result<Router<S>> { todo!() }", "app().await?.with_state(s)"),
            ("use axum::Router; fn app() -> (Router, Api) { todo!() }", "let (app, api) = app(); app"),
            ("use axum::Router; struct S; impl S { fn router(&self) -> Router { todo!() } }", "S.router()"),
            ("use axum::Router; struct S { app: Router }", "s.app"),
            ("use axum::Router; type App = Router<()>; fn app() -> App { todo!() }", "app()"),
            ("", "let (router, api) = OpenApiRouter::new().split_for_parts(); router.merge(docs)"),
            ("use axum::Router;", "let app = Router::new(); let app = if cors { app.layer(c) } else { app }; app"),
            ("use axum::Router;", "match x { 1 => Router::new(), _ => panic!() }"),
            ("use axum::*;", "let app: Router = build(); app"),
        ] {
            assert_eq!(kind_in(declarations, main), Some(Kind::Router), "{declarations} {main}");
        }
    }

    #[test]
    fn ambiguous_values_are_not_routers() {
        for (declarations, main) in [
            ("use axum::Router;", "NormalizePathLayer::trim_trailing_slash().layer(Router::new())"),
            ("use axum::Router;", "let app = Router::new(); let app = NormalizePath::trim_trailing_slash(app); app"),
            ("use matchit::Router;", "Router::new()"),
            ("", "other_crate::app()"),
            ("", "OpenApiRouter::new().route(a, b)"),
            ("use axum::Router; fn app() -> Router { todo!() } mod b { fn app() -> Other { todo!() } }", "app()"),
            ("use axum::Router;", "let app = Router::new(); let Some(app) = x else { return }; app"),
            ("", "app"),
            ("type App = App;  fn app() -> App { todo!() }", "app()"),
        ] {
            assert_eq!(kind_in(declarations, main), None, "{declarations} {main}");
        }
    }

    #[test]
    fn listeners_are_recognized_by_their_origin() {
        for (main, kind) in [
            ("tokio::net::TcpListener::bind(a).await?", Some(Kind::Tcp)),
            ("let l = TcpListener::bind(a).await.unwrap(); l", Some(Kind::Tcp)),
            ("let Ok(l) = TcpListener::bind(a).await else { return }; l", Some(Kind::Tcp)),
            ("let Err(l) = TcpListener::bind(a).await else { return }; l", None),
            (
                "let l = match fd { Some(l) => TcpListener::from_std(l)?, None => TcpListener::bind(a).await? }; l",
                Some(Kind::Tcp),
            ),
            ("TcpListener::bind(a).await?.tap_io(|io| {})", Some(Kind::Tcp)),
            ("tokio::net::UnixListener::bind(p)?", Some(Kind::Unix)),
            ("TlsListener::new(TcpListener::bind(a).await?)", None),
            ("std::net::TcpListener::bind(a)?", None),
            ("if unix { UnixListener::bind(p)? } else { TcpListener::bind(a).await? }", None),
        ] {
            assert_eq!(kind_in("", main), kind, "{main}");
        }
        assert_eq!(
            kind_in("async fn listener() -> io::Result<TcpListener> { todo!() }", "listener().await?"),
            Some(Kind::Tcp)
        );
    }
}
