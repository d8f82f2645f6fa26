//! Finds routes in the source of a router: chains of `.route(…)`, and the layers around them.

use std::collections::BTreeMap;

use syn::{
    Expr, ExprCall, ExprLit, ExprMethodCall, File, Lit, Local, Pat,
    visit::{self, Visit},
};

const METHODS: [&str; 9] = ["get", "post", "put", "patch", "delete", "head", "options", "trace", "any"];

/// A layer that refuses some requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    RequireSudo,
    RequireUser,
    AllowEnrolment,
    VisitorsOnly,
    LimitIpAddress,
}

impl Gate {
    /// Returns the gates by the names that their functions have in this application.
    pub fn named(rename: impl Fn(&str) -> String) -> Vec<(String, Self)> {
        [
            ("require_sudo_mode", Self::RequireSudo),
            ("require_authenticated_user", Self::RequireUser),
            ("allow_mfa_enrolment", Self::AllowEnrolment),
            ("redirect_if_user_is_authenticated", Self::VisitorsOnly),
            ("limit_ip_address", Self::LimitIpAddress),
        ]
        .map(|(name, gate)| (rename(name), gate))
        .into()
    }
}

/// A route in the source.
#[derive(Clone, Debug)]
pub struct Found {
    pub method: String,
    pub path: String,
    pub gates: Vec<Gate>,
    /// The path of its handler, such as `session::new`.
    pub handler: String,
}

/// Returns all routes of a file.
pub fn read(file: &File, gates: &[(String, Gate)]) -> Vec<Found> {
    let mut reader = Reader { gates, named: BTreeMap::new(), loose: Vec::new() };
    reader.visit_file(file);
    reader.named.into_values().flatten().chain(reader.loose).collect()
}

struct Reader<'a> {
    gates: &'a [(String, Gate)],
    /// Routers that were assigned to a variable, and are not yet part of another router.
    named: BTreeMap<String, Vec<Found>>,
    loose: Vec<Found>,
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_local(&mut self, local: &'ast Local) {
        let Some(init) = &local.init else { return };
        let routes = self.routes_of(&init.expr);
        match &local.pat {
            Pat::Ident(name) => {
                self.named.entry(name.ident.to_string()).or_default().extend(routes);
            }
            _ => self.loose.extend(routes),
        }
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        let routes = self.routes_of(expr);
        self.loose.extend(routes);
    }
}

impl Reader<'_> {
    /// Returns the routes of an expression. Later calls of a chain are layers around the earlier ones.
    fn routes_of(&mut self, expr: &Expr) -> Vec<Found> {
        match expr {
            Expr::MethodCall(call) => self.routes_of_call(call),
            Expr::Path(path) => {
                let name = path.path.get_ident().map(ToString::to_string);
                name.and_then(|name| self.named.remove(&name)).unwrap_or_default()
            }
            Expr::Match(branches) => branches.arms.iter().flat_map(|arm| self.routes_of(&arm.body)).collect(),
            Expr::Block(_) | Expr::If(_) => {
                visit::visit_expr(self, expr);
                Vec::new()
            }
            Expr::Call(call) => call.args.iter().flat_map(|arg| self.routes_of(arg)).collect(),
            _ => Vec::new(),
        }
    }

    fn routes_of_call(&mut self, call: &ExprMethodCall) -> Vec<Found> {
        let mut routes = self.routes_of(&call.receiver);
        let args: Vec<&Expr> = call.args.iter().collect();
        match (call.method.to_string().as_str(), &*args) {
            ("route", [path, methods]) => routes.extend(routes_at(path, methods)),
            ("merge" | "fallback_service" | "service", [other]) => routes.extend(self.routes_of(other)),
            ("nest", [prefix, other]) => {
                let prefix = text(prefix).unwrap_or_default();
                let inner = self.routes_of(other).into_iter();
                routes.extend(inner.map(|found| Found { path: format!("{prefix}{}", found.path), ..found }));
            }
            ("layer" | "route_layer", [layer]) => {
                let gates = self.gates_in(layer);
                routes.iter_mut().for_each(|route| route.gates.extend(&gates));
            }
            _ => {}
        }
        routes
    }

    /// Returns the gates that are named anywhere in an expression.
    fn gates_in(&self, layer: &Expr) -> Vec<Gate> {
        struct Names(Vec<String>);
        impl<'ast> Visit<'ast> for Names {
            fn visit_ident(&mut self, ident: &'ast syn::Ident) {
                self.0.push(ident.to_string());
            }
        }
        let mut names = Names(Vec::new());
        names.visit_expr(layer);
        self.gates.iter().filter(|(name, _)| names.0.contains(name)).map(|(_, gate)| *gate).collect()
    }
}

/// Returns the routes of `get(a).post(b)` at a path.
fn routes_at(path: &Expr, methods: &Expr) -> Vec<Found> {
    let Some(path) = text(path) else { return Vec::new() };
    let found = |(method, handler)| Found { method, path: path.clone(), gates: Vec::new(), handler };
    handlers_of(methods).into_iter().map(found).collect()
}

/// Returns the methods of `get(a).post(b)`, in capitals, and the names of their handlers.
pub fn handlers_of(methods: &Expr) -> Vec<(String, String)> {
    let found = |method: &str, handler: &Expr| (method.to_ascii_uppercase(), name_of(handler));
    let mut routes = Vec::new();
    let mut rest = methods;
    loop {
        match rest {
            Expr::MethodCall(call) => {
                let method = call.method.to_string();
                if let (true, Some(handler)) = (METHODS.contains(&&*method), call.args.first()) {
                    routes.push(found(&method, handler));
                }
                rest = &call.receiver;
            }
            Expr::Call(ExprCall { func, args, .. }) => {
                let name = name_of(func);
                let method = name.rsplit("::").next().unwrap_or_default();
                if let (true, Some(handler)) = (METHODS.contains(&method), args.first()) {
                    routes.push(found(method, handler));
                }
                break;
            }
            _ => break,
        }
    }
    routes.reverse();
    routes
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// Returns a path as text. Other expressions, such as closures, have no name.
fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Path(path) => {
            path.path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::")
        }
        _ => "…".to_owned(),
    }
}
