//! Finds all places in a file where something is served.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{
    Arm, Attribute, Block, Expr, ExprAsync, ExprBinary, ExprCall, ExprClosure, ExprForLoop, ExprIf, ExprMethodCall,
    ExprPath, ExprWhile, ImplItemFn, ItemFn, ItemImpl, Macro, Meta, PatIdent, Signature, Stmt, Token, TraitItemFn,
    Type,
    punctuated::Punctuated,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{
    calls::path_before,
    errors,
    place::{Make, Place, Wait, name_for},
    site::{Doubt, Function, Shape, Site},
};
use crate::host::code::{
    names::Names,
    tree::Source,
    values::{Binding, Declared, Kind, Values},
};

/// What a file serves, and whether it already has accounts.
#[derive(Default)]
pub struct Found {
    pub sites: Vec<Site>,
    pub has_accounts: bool,
}

pub fn find(source: &Source, names: &Names, declared: &Declared) -> Found {
    let mut finder = Finder {
        source,
        names,
        declared,
        bodies: Vec::new(),
        bindings: Vec::new(),
        lets: Vec::new(),
        statement: None,
        block_on: None,
        found: Found::default(),
    };
    finder.visit_file(&source.file);
    finder.found
}

/// A function, a closure or an async block.
#[derive(Clone, Copy)]
struct Body<'a> {
    is_async: bool,
    can_fail: bool,
    function: Option<(&'a Signature, &'a Block)>,
}

/// The innermost statement around the visited code.
#[derive(Clone, Copy)]
struct Statement {
    begin: usize,
    end: usize,
    /// Whether it is always evaluated as a whole, and in order.
    is_straight: bool,
    is_conditional: bool,
    bodies: usize,
}

/// A `let x = …;`, which can create a service.
struct Let<'a> {
    name: String,
    init: &'a Expr,
    statement: Statement,
    body: Body<'a>,
    bindings: usize,
}

struct Finder<'a> {
    source: &'a Source,
    names: &'a Names,
    declared: &'a Declared<'a>,
    bodies: Vec<Body<'a>>,
    bindings: Vec<Binding<'a>>,
    lets: Vec<Let<'a>>,
    statement: Option<Statement>,
    /// The runtime that waits for a future in a function that isn't async.
    block_on: Option<String>,
    found: Found,
}

impl<'a> Visit<'a> for Finder<'a> {
    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        if let Some(site) = self.shuttle(function) {
            self.found.sites.push(site);
        }
        self.function(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        self.function(&function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'a TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.sig, block);
        }
    }

    fn visit_item_impl(&mut self, block: &'a ItemImpl) {
        let of = block.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        if of.is_some_and(|last| last.ident == "Hooks") && self.names.import_from("loco_rs") {
            self.push(Shape::Loco, block.self_ty.span(), None, None);
        }
        visit::visit_item_impl(self, block);
    }

    fn visit_expr_async(&mut self, block: &'a ExprAsync) {
        self.body(Body { is_async: true, can_fail: false, function: None }, |finder| {
            visit::visit_expr_async(finder, block);
        });
    }

    fn visit_expr_closure(&mut self, closure: &'a ExprClosure) {
        let is_async = closure.asyncness.is_some();
        self.body(Body { is_async, can_fail: false, function: None }, |finder| {
            visit::visit_expr_closure(finder, closure);
        });
    }

    fn visit_block(&mut self, block: &'a Block) {
        let (outer, bindings, lets) = (self.statement, self.bindings.len(), self.lets.len());
        for statement in &block.stmts {
            let range = statement.span().byte_range();
            let current = Statement {
                begin: range.start,
                end: range.end,
                is_straight: true,
                is_conditional: has_cfg(statement),
                bodies: self.bodies.len(),
            };
            self.statement = Some(current);
            match statement {
                Stmt::Local(local) => self.local(local, current),
                other => visit::visit_stmt(self, other),
            }
        }
        self.statement = outer;
        self.bindings.truncate(bindings);
        self.lets.truncate(lets);
    }

    fn visit_pat_ident(&mut self, name: &'a PatIdent) {
        self.bindings.push(Binding::unknown(name.ident.to_string()));
    }

    fn visit_arm(&mut self, arm: &'a Arm) {
        let bindings = self.bindings.len();
        self.branch(|finder| visit::visit_arm(finder, arm));
        self.bindings.truncate(bindings);
    }

    fn visit_expr_if(&mut self, expr: &'a ExprIf) {
        let bindings = self.bindings.len();
        self.branch(|finder| visit::visit_expr_if(finder, expr));
        self.bindings.truncate(bindings);
    }

    fn visit_expr_while(&mut self, expr: &'a ExprWhile) {
        self.branch(|finder| visit::visit_expr_while(finder, expr));
    }

    fn visit_expr_for_loop(&mut self, expr: &'a ExprForLoop) {
        self.branch(|finder| visit::visit_expr_for_loop(finder, expr));
    }

    fn visit_expr_binary(&mut self, expr: &'a ExprBinary) {
        self.branch(|finder| visit::visit_expr_binary(finder, expr));
    }

    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        let Expr::Path(path) = &*call.func else { return visit::visit_expr_call(self, call) };
        let full = self.names.full(&path.path);
        if is_ours(&full) {
            self.found.has_accounts = true;
        } else if self.is_axum_serve(&full) {
            let arguments: Vec<&Expr> = call.args.iter().collect();
            match arguments[..] {
                [listener, app] => self.axum_serve(call, listener, app),
                _ => self.push(Shape::Axum, call.span(), None, Some(Doubt::Value)),
            }
        } else if is_lambda(&full) {
            self.service(Shape::Lambda, call.span(), call.args.first(), Make::Nothing);
        }
        call.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        let method = call.method.to_string();
        match (method.as_str(), call.args.len()) {
            ("serve", 1) if self.is_server(call, "axum_server") => {
                self.service(Shape::AxumServer, call.span(), call.args.first(), Make::ConnectInfo);
            }
            ("serve", 1) if call.args.first().is_some_and(makes_service) => {
                self.service(Shape::Other, call.span(), call.args.first(), Make::Kept);
            }
            ("serve_connection" | "serve_connection_with_upgrades", _) => {
                self.push(Shape::Hyper, call.method.span(), None, None);
            }
            _ => {}
        }
        self.visit_expr(&call.receiver);
        let outer = self.block_on.take();
        if method == "block_on" {
            // Only a variable is sure to be the same runtime if it is written twice.
            self.block_on = matches!(&*call.receiver, Expr::Path(_)).then(|| self.text(call.receiver.span()));
        }
        call.args.iter().for_each(|argument| self.visit_expr(argument));
        self.block_on = outer;
    }

    fn visit_expr_path(&mut self, path: &'a ExprPath) {
        if self.names.full(&path.path) == "axum::serve" {
            self.push(Shape::Axum, path.span(), None, Some(Doubt::Value));
        }
    }

    fn visit_macro(&mut self, call: &'a Macro) {
        let name = call.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        self.tokens(&name, call.tokens.clone(), true);
    }
}

impl<'a> Finder<'a> {
    fn function(&mut self, signature: &'a Signature, block: &'a Block) {
        let outer = (
            std::mem::take(&mut self.bindings),
            std::mem::take(&mut self.lets),
            self.statement.take(),
            self.block_on.take(),
        );
        self.bindings.extend(signature.inputs.iter().filter_map(Binding::of_argument));
        let can_fail = errors::takes_ours(&signature.output, self.names, self.declared);
        let is_async = signature.asyncness.is_some();
        self.bodies.push(Body { is_async, can_fail, function: Some((signature, block)) });
        self.visit_block(block);
        self.bodies.pop();
        (self.bindings, self.lets, self.statement, self.block_on) = outer;
    }

    fn body(&mut self, body: Body<'a>, inner: impl FnOnce(&mut Self)) {
        let (bindings, block_on) = (self.bindings.len(), self.block_on.clone());
        if body.is_async {
            self.block_on = None;
        }
        self.bodies.push(body);
        inner(self);
        self.bodies.pop();
        self.bindings.truncate(bindings);
        self.block_on = block_on;
    }

    /// Visits code that may run never, or more than once.
    fn branch(&mut self, inner: impl FnOnce(&mut Self)) {
        let outer = self.statement;
        if let Some(statement) = &mut self.statement {
            statement.is_straight = false;
        }
        inner(self);
        self.statement = outer;
    }

    fn local(&mut self, local: &'a syn::Local, statement: Statement) {
        let Some(init) = &local.init else { return self.visit_pat(&local.pat) };
        if init.diverge.is_some() {
            self.branch(|finder| visit::visit_local_init(finder, init));
        } else {
            self.visit_expr(&init.expr);
        }
        if let (syn::Pat::Ident(name), None, Some(body)) = (&local.pat, &init.diverge, self.bodies.last()) {
            let (name, bindings) = (name.ident.to_string(), self.bindings.len());
            self.lets.push(Let { name, init: &init.expr, statement, body: *body, bindings });
        }
        self.bindings.extend(Binding::of_let(&local.pat, None, Some(&init.expr), None));
    }

    fn values(&self) -> Values<'a, '_> {
        Values { declared: self.declared, names: self.names, bindings: &self.bindings }
    }

    fn text(&self, span: proc_macro2::Span) -> String {
        self.source.text[span.byte_range()].to_owned()
    }

    fn is_axum_serve(&self, full: &str) -> bool {
        full == "axum::serve" || full == "serve" && self.names.may_come_from("serve", "axum")
    }

    /// Returns whether the server of `.serve(…)` comes from a crate, as far as this function shows.
    fn is_server(&self, call: &ExprMethodCall, krate: &str) -> bool {
        let mut receiver = &*call.receiver;
        let mut values = self.values();
        loop {
            match receiver {
                Expr::MethodCall(inner) => receiver = &inner.receiver,
                Expr::Await(inner) => receiver = &inner.base,
                Expr::Try(inner) => receiver = &inner.expr,
                Expr::Call(inner) => match &*inner.func {
                    Expr::Path(path) => return self.names.full(&path.path).starts_with(&format!("{krate}::")),
                    _ => return false,
                },
                path => match values.binding(path).and_then(|(binding, there)| Some((binding.init?, there))) {
                    Some((init, there)) => (receiver, values) = (init, there),
                    None => return false,
                },
            }
        }
    }

    fn axum_serve(&mut self, call: &'a ExprCall, listener: &'a Expr, app: &'a Expr) {
        let doubt = match self.values().kind(listener) {
            Some(Kind::Tcp) => None,
            Some(Kind::Unix) => Some(Doubt::Unix),
            Some(Kind::Router) | None => Some(Doubt::Listener),
        };
        let make = if doubt.is_some() { Make::Nothing } else { Make::ConnectInfo };
        let (place, of_app) = self.around(app, make);
        self.push(Shape::Axum, call.func.span(), place, of_app.or(doubt));
    }

    fn service(&mut self, shape: Shape, span: proc_macro2::Span, app: Option<&'a Expr>, make: Make) {
        let (place, doubt) = app.map_or((None, Some(Doubt::NoRouter)), |app| self.around(app, make));
        self.push(shape, span, place, doubt);
    }

    /// Returns where to add accounts to a served value, and why that isn't certain.
    fn around(&self, app: &'a Expr, make: Make) -> (Option<Place>, Option<Doubt>) {
        let (router, made) = made_of(app, make);
        let values = self.values();
        if values.kind(router) == Some(Kind::Router) {
            return self.place_in(self.statement, self.bodies.last(), router, app, made);
        }
        if let Some((binding, there)) = values.binding(router) {
            let at = self.lets.iter().rposition(|there| there.name == binding.name);
            let of =
                at.map(|at| &self.lets[at]).filter(|of| binding.init.is_some_and(|init| std::ptr::eq(init, of.init)));
            if let Some(of) = of {
                let there = Values { bindings: &self.bindings[..of.bindings], ..there };
                // The service is a variable.
                let (inner, made) = made_of(of.init, make);
                if makes_service(of.init) && there.kind(inner) == Some(Kind::Router) && std::ptr::eq(router, app) {
                    return self.place_in(Some(of.statement), Some(&of.body), inner, of.init, made);
                }
                // The router is wrapped in something else.
                if let Some(inner) = wrapped(of.init).find(|inner| there.kind(inner) == Some(Kind::Router)) {
                    let place = self.place_in(Some(of.statement), Some(&of.body), inner, inner, Make::Nothing).0;
                    return (place, Some(Doubt::Wrapped));
                }
            }
        }
        let is_path =
            matches!(router, Expr::Path(_) | Expr::Call(_) | Expr::MethodCall(_) | Expr::Field(_) | Expr::Await(_));
        let is_function = matches!(app, Expr::Call(call) if self.text(call.func.span()).contains("make_service"));
        let place = if is_path && !is_function {
            self.place_in(self.statement, self.bodies.last(), router, app, made).0
        } else {
            None
        };
        (place, Some(Doubt::NoRouter))
    }

    fn place_in(
        &self,
        statement: Option<Statement>,
        body: Option<&Body<'a>>,
        router: &Expr,
        service: &Expr,
        make: Make,
    ) -> (Option<Place>, Option<Doubt>) {
        let (Some(statement), Some(body)) = (statement, body) else { return (None, Some(Doubt::Branch)) };
        let function = self.bodies.iter().rev().find_map(|body| body.function);
        let all = function.map_or("", |(_, block)| &self.source.text[block.span().byte_range()]);
        let router_text = self.text(router.span());
        let wait = match (body.is_async, &self.block_on) {
            (true, _) => Some(Wait::Await),
            (false, Some(runtime)) => Some(Wait::BlockOn(runtime.clone())),
            (false, None) => None,
        };
        let is_inside =
            statement.bodies == self.bodies.len() || statement.begin != self.statement.map_or(0, |s| s.begin);
        let doubt = match wait {
            None | Some(Wait::BlockOn(_)) => Some(Doubt::Sync),
            Some(Wait::Await) if !statement.is_straight || !is_inside => Some(Doubt::Branch),
            Some(Wait::Await) => statement.is_conditional.then_some(Doubt::Conditional),
        };
        let place = wait.filter(|_| statement.is_straight && is_inside).map(|wait| Place {
            statement: statement.begin..statement.end,
            router: router.span().byte_range(),
            service: service.span().byte_range(),
            name: name_for(router, &router_text, all),
            make,
            wait,
            can_fail: body.can_fail,
        });
        (place, doubt)
    }

    fn push(&mut self, shape: Shape, span: proc_macro2::Span, place: Option<Place>, doubt: Option<Doubt>) {
        let function = self.bodies.iter().rev().find_map(|body| body.function);
        let is_router = |ty: &Type| self.declared.of_type(ty, self.names, None) == Some(Kind::Router);
        let function = function.map(|(signature, _)| Function {
            name: signature.ident.to_string(),
            inputs: signature.inputs.len(),
            is_method: signature.receiver().is_some(),
            takes_router: signature
                .inputs
                .iter()
                .any(|input| matches!(input, syn::FnArg::Typed(input) if is_router(&input.ty))),
        });
        let doubt = doubt.or_else(|| {
            let is_async = self.bodies.last().is_some_and(|body| body.is_async);
            (!is_async && matches!(shape, Shape::Axum)).then_some(Doubt::Sync)
        });
        self.found.sites.push(Site {
            path: self.source.path.clone(),
            line: span.start().line,
            shape,
            place,
            doubt,
            function,
            can_fail: self.bodies.last().is_some_and(|body| body.can_fail),
            crates: Vec::new(),
        });
    }

    /// Finds `Ok(router.into())` at the end of a function that Shuttle runs.
    fn shuttle(&mut self, function: &'a ItemFn) -> Option<Site> {
        let is_main = |attribute: &Attribute| self.names.full(attribute.path()) == "shuttle_runtime::main";
        if !function.attrs.iter().any(is_main) {
            return None;
        }
        let last = function.block.stmts.last()?;
        let app = match last {
            Stmt::Expr(Expr::Call(call), _) => match call.args.first() {
                Some(Expr::MethodCall(inner)) if inner.method == "into" => Some(&*inner.receiver),
                _ => None,
            },
            _ => None,
        };
        let all = &self.source.text[function.block.span().byte_range()];
        let place = app.map(|app| Place {
            statement: last.span().byte_range(),
            router: app.span().byte_range(),
            service: app.span().byte_range(),
            name: name_for(app, &self.text(app.span()), all),
            make: Make::Nothing,
            wait: Wait::Await,
            can_fail: false,
        });
        Some(Site {
            path: self.source.path.clone(),
            line: last.span().start().line,
            shape: Shape::Shuttle,
            place,
            doubt: None,
            function: None,
            can_fail: false,
            crates: Vec::new(),
        })
    }

    /// Searches the tokens of a macro, which aren't code until the macro expands them.
    fn tokens(&mut self, name: &str, tokens: TokenStream, is_plain: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let TokenTree::Group(group) = token else { continue };
            if group.delimiter() == Delimiter::Parenthesis {
                let path = path_before(&tokens[..at]);
                let full = self.names.full_of(&path);
                if is_ours(&full) {
                    self.found.has_accounts = true;
                } else if self.is_axum_serve(&full) {
                    let place = if is_plain { self.place_in_macro(group.stream()) } else { None };
                    self.push(Shape::Axum, group.span(), place, Some(Doubt::Macro(name.to_owned())));
                }
            }
            self.tokens(name, group.stream(), is_plain && group.delimiter() == Delimiter::Parenthesis);
        }
    }

    fn place_in_macro(&self, arguments: TokenStream) -> Option<Place> {
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        let arguments = syn::parse::Parser::parse2(parser, arguments).ok()?;
        let (listener, app) = (arguments.first()?, arguments.get(1)?);
        let is_tcp = self.values().kind(listener) == Some(Kind::Tcp);
        let (router, make) = made_of(app, if is_tcp { Make::ConnectInfo } else { Make::Nothing });
        self.place_in(self.statement, self.bodies.last(), router, app, make).0
    }
}

/// Splits `app.into_make_service()` into `app` and what makes a service of it.
fn made_of(app: &Expr, make: Make) -> (&Expr, Make) {
    match app {
        Expr::MethodCall(call) if call.method == "into_make_service_with_connect_info" => (&call.receiver, Make::Kept),
        Expr::MethodCall(call) if call.method == "into_make_service" => {
            (&call.receiver, if make == Make::Nothing { Make::Kept } else { make })
        }
        _ => (app, make),
    }
}

fn makes_service(app: &Expr) -> bool {
    matches!(app, Expr::MethodCall(call) if call.method.to_string().starts_with("into_make_service"))
}

/// Returns the arguments of a call.
fn wrapped(expr: &Expr) -> impl Iterator<Item = &Expr> {
    let arguments = match expr {
        Expr::Call(call) => Some(&call.args),
        Expr::MethodCall(call) if call.method == "layer" || call.method == "service" => Some(&call.args),
        _ => None,
    };
    arguments.into_iter().flatten()
}

/// Returns whether a function adds accounts.
fn is_ours(full: &str) -> bool {
    matches!(full.rsplit("::").next(), Some("with_accounts" | "with_accounts_in"))
}

fn is_lambda(full: &str) -> bool {
    matches!(full, "lambda_http::run" | "lambda_http::run_with_streaming_response" | "lambda_runtime::run")
}

fn has_cfg(statement: &Stmt) -> bool {
    let attributes = match statement {
        Stmt::Local(local) => &local.attrs,
        Stmt::Macro(call) => &call.attrs,
        Stmt::Expr(Expr::Await(expr), _) => &expr.attrs,
        Stmt::Expr(Expr::Block(expr), _) => &expr.attrs,
        Stmt::Expr(Expr::Call(expr), _) => &expr.attrs,
        Stmt::Expr(Expr::MethodCall(expr), _) => &expr.attrs,
        Stmt::Expr(Expr::Try(expr), _) => &expr.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("cfg")))
}
