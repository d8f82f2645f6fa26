//! Where the host serves its router: `axum::serve(listener, app)`, wherever in its sources.

use std::{net::SocketAddr, ops::Range, path::PathBuf};

use syn::{
    Block, Expr, ExprCall, ExprTuple, ImplItemFn, ItemFn, LitStr, ReturnType, Signature, Stmt,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    generate::Plan,
    host::Host,
    text_file::{TextFile, parse_rust},
};

/// What is there of it.
pub enum Served {
    /// Accounts are around it already.
    Already,
    /// In a file, which can be changed to this.
    Here {
        path: PathBuf,
        before: String,
        after: String,
    },
    Nowhere,
}

/// The first call that can be understood.
pub fn find(host: &Host, plan: &Plan) -> Served {
    let module = plan.module.as_deref().unwrap_or_default();
    let mut served = Served::Nowhere;
    for path in host.sources(module) {
        let Ok(source) = TextFile::read(&path).map(|file| file.text) else { continue };
        if ["with_accounts(", "with_accounts_in("].iter().any(|call| source.contains(call)) {
            return Served::Already;
        }
        let Some(call) = call_in(&source) else { continue };
        if let Served::Nowhere = served {
            let of_program = host.bin.as_deref() == Some(path.as_path());
            let root = if of_program && host.lib.is_some() { host.library_name() } else { "crate".to_owned() };
            let after = call.around(&source, &format!("{root}::{module}::with_accounts"));
            served = Served::Here { path, before: source, after };
        }
    }
    served
}

/// The port of the first address that is written out beside such a call.
pub fn port(host: &Host, module: &str) -> Option<u16> {
    let sources = host.sources(module).into_iter().filter_map(|path| TextFile::read(&path).ok());
    let sources = sources.map(|file| file.text);
    sources.filter(|source| call_in(source).is_some()).find_map(|source| port_in(&source))
}

/// A call of `axum::serve`, and the places in its source.
#[derive(Debug)]
struct Call {
    /// The statement that it stands in begins here.
    statement: usize,
    /// The router.
    router: Range<usize>,
    /// The router with what makes a service of it.
    service: Range<usize>,
    has_connect_info: bool,
    can_fail: bool,
}

impl Call {
    /// The source with accounts around the router.
    fn around(&self, source: &str, with_accounts: &str) -> String {
        let line = source[..self.statement].rfind('\n').map_or(0, |at| at + 1);
        let indent = &source[line..self.statement];
        let router = &source[self.router.clone()];
        let failed = if self.can_fail {
            "?".to_owned()
        } else {
            ".unwrap_or_else(|error| panic!(\"accounts can't start: {error}\"))".to_owned()
        };
        let make = if self.has_connect_info {
            &source[self.router.end..self.service.end]
        } else {
            ".into_make_service_with_connect_info::<std::net::SocketAddr>()"
        };
        let mut changed = source[..self.statement].to_owned();
        changed.push_str(&format!("let app = {with_accounts}({router}).await{failed};\n{indent}"));
        changed.push_str(&source[self.statement..self.service.start]);
        changed.push_str(&format!("app{make}"));
        changed.push_str(&source[self.service.end..]);
        changed
    }
}

fn call_in(source: &str) -> Option<Call> {
    let file = parse_rust(source).ok()?;
    let mut finder = Finder { can_fail: false, statement: 0, found: None };
    finder.visit_file(&file);
    finder.found
}

struct Finder {
    can_fail: bool,
    statement: usize,
    found: Option<Call>,
}

impl Finder {
    /// Errors of a known kind go up; others are the host's own, which ours may not be made into.
    fn enter(&mut self, signature: &Signature) -> bool {
        let ReturnType::Type(_, ty) = &signature.output else { return false };
        let ty = quoted(ty);
        ty.contains("Result") && ["Box<dyn", "anyhow", "eyre"].iter().any(|known| ty.contains(known))
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.can_fail = self.enter(&function.sig);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.can_fail = self.enter(&function.sig);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_block(&mut self, block: &'ast Block) {
        let outer = self.statement;
        for statement in &block.stmts {
            self.statement = statement.span().byte_range().start;
            visit::visit_stmt(self, statement);
        }
        self.statement = outer;
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        let is_serve =
            matches!(&*call.func, Expr::Path(path) if quoted(path).ends_with("axum::serve") || quoted(path) == "serve");
        if let (true, 2, None) = (is_serve, call.args.len(), &self.found) {
            self.found = call.args.last().and_then(|app| understood(app, self.statement, self.can_fail));
        }
        visit::visit_expr_call(self, call);
    }
}

/// `app`, `app.into_make_service()` and the like. A service of another kind is none of a router.
fn understood(app: &Expr, statement: usize, can_fail: bool) -> Option<Call> {
    let service = app.span().byte_range();
    let (router, has_connect_info) = match app {
        Expr::MethodCall(call) => match call.method.to_string().as_str() {
            "into_make_service" => (&*call.receiver, false),
            "into_make_service_with_connect_info" => (&*call.receiver, true),
            _ => (app, false),
        },
        Expr::Path(_) => (app, false),
        Expr::Call(call) if !quoted(&*call.func).contains("into_make_service") => (app, false),
        _ => return None,
    };
    Some(Call { statement, router: router.span().byte_range(), service, has_connect_info, can_fail })
}

fn port_in(source: &str) -> Option<u16> {
    let mut addresses = Addresses { port: None };
    addresses.visit_file(&parse_rust(source).ok()?);
    addresses.port
}

/// `"127.0.0.1:3000"`, `("0.0.0.0", 3000)` or `([127, 0, 0, 1], 3000)`.
struct Addresses {
    port: Option<u16>,
}

impl Addresses {
    fn see(&mut self, text: &str) {
        let port = text.replace("localhost", "127.0.0.1").parse::<SocketAddr>().ok().map(|address| address.port());
        self.port = self.port.or(port.filter(|port| *port > 0));
    }
}

impl<'ast> Visit<'ast> for Addresses {
    fn visit_lit_str(&mut self, text: &'ast LitStr) {
        self.see(&text.value());
    }

    fn visit_expr_tuple(&mut self, tuple: &'ast ExprTuple) {
        let elements: Vec<String> = tuple.elems.iter().map(quoted).collect();
        if let [ip, port] = &elements[..] {
            self.see(&format!("{}:{port}", ip.trim_matches(['[', ']', '"']).replace(',', ".")));
        }
        visit::visit_expr_tuple(self, tuple);
    }
}

/// Code without white space.
fn quoted(code: &impl quote::ToTokens) -> String {
    code.to_token_stream().to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(source: &str) -> Option<String> {
        call_in(source).map(|call| call.around(source, "crate::auth::with_accounts"))
    }

    #[test]
    fn a_plain_hello_world_is_served_with_accounts() {
        let source = "#[tokio::main]\nasync fn main() {\n    let app = Router::new();\n    // Serves.\n    axum::serve(listener, app).await.unwrap();\n}\n";
        let expected = "#[tokio::main]\nasync fn main() {\n    let app = Router::new();\n    // Serves.\n    let app = crate::auth::with_accounts(app).await.unwrap_or_else(|error| panic!(\"accounts can't start: {error}\"));\n    axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await.unwrap();\n}\n";
        assert_eq!(around(source).as_deref(), Some(expected));
    }

    #[test]
    fn errors_go_up_where_they_can() {
        for result in ["Result<(), Box<dyn std::error::Error>>", "anyhow::Result<()>", "color_eyre::Result<()>"] {
            let source = format!(
                "impl App {{ async fn serve(self) -> {result} {{ axum::serve(l, self.app().into_make_service()).await?; Ok(()) }} }}"
            );
            let changed = around(&source).expect("understood");
            assert!(changed.contains("let app = crate::auth::with_accounts(self.app()).await?;"), "{changed}");
            assert!(
                changed.contains("axum::serve(l, app.into_make_service_with_connect_info::<std::net::SocketAddr>())"),
                "{changed}"
            );
        }
        let own = "async fn main() -> Result<(), MyError> { axum::serve(l, app).await?; Ok(()) }";
        assert!(around(own).expect("understood").contains("unwrap_or_else"));
    }

    #[test]
    fn what_the_host_makes_of_its_router_stays() {
        let source = "async fn main() { serve(l, app.into_make_service_with_connect_info::<Addr>()).with_graceful_shutdown(stop()).await }";
        let changed = around(source).expect("understood");
        assert!(
            changed.contains("serve(l, app.into_make_service_with_connect_info::<Addr>()).with_graceful_shutdown"),
            "{changed}"
        );
    }

    #[test]
    fn the_port_is_found_where_it_is_written_out() {
        for address in [
            "\"127.0.0.1:3000\"",
            "\"localhost:3000\"",
            "\"[::1]:3000\"",
            "(\"0.0.0.0\", 3000)",
            "([127, 0, 0, 1], 3000)",
            "SocketAddr::from(([0, 0, 0, 0], 3000))",
        ] {
            let source = format!("async fn main() {{ let l = TcpListener::bind({address}).await?; }}");
            assert_eq!(port_in(&source), Some(3000), "{source}");
        }
        for source in ["fn main() { bind(address()) }", "fn main() { bind(\"127.0.0.1:0\") }", "let x = (1, 2);"] {
            assert_eq!(port_in(source), None, "{source}");
        }
    }

    #[test]
    fn what_is_no_router_is_left_to_its_owner() {
        for source in [
            "async fn main() { axum::serve(l, ServiceExt::<Request>::into_make_service(app)).await }",
            "async fn main() { hyper::serve_connection(io, app).await }",
            "pub fn routes() -> Router { Router::new() }",
            "this is no Rust",
        ] {
            assert_eq!(around(source), None, "{source}");
        }
    }
}
