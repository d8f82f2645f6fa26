//! Finds the port that a host listens on, as far as its sources show it.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Block, Expr, ExprCall, ExprMethodCall, ExprTuple, Field, ItemConst, ItemFn, ItemStatic, Lit, Local, Pat,
    visit::{self, Visit},
};

use crate::host::code::tree::Source;

/// Returns the port, if the sources contain exactly one: in the address of a listener, in what that is made from, or
/// next to the word "port".
pub fn find<'a>(sources: impl Iterator<Item = &'a Source> + Clone) -> Option<u16> {
    let mut written = Written::default();
    sources.for_each(|source| written.visit_file(&source.file));
    let mut ports = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for address in &written.bound {
        written.follow(address.to_token_stream(), &mut seen, &mut ports);
    }
    only(&ports).or_else(|| only(&written.next_to_the_word).filter(|_| ports.is_empty()))
}

fn only(ports: &BTreeSet<u16>) -> Option<u16> {
    ports.first().copied().filter(|_| ports.len() == 1)
}

#[derive(Default)]
struct Written<'a> {
    /// The addresses of listeners.
    bound: Vec<&'a Expr>,
    /// The values of variables and constants.
    named: BTreeMap<String, Vec<TokenStream>>,
    bodies: BTreeMap<String, Vec<&'a Block>>,
    /// Numbers next to the word "port": `let port = …`, `env::var("PORT")…`.
    next_to_the_word: BTreeSet<u16>,
}

impl<'a> Visit<'a> for Written<'a> {
    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        let is_bound = matches!(&*call.func, Expr::Path(path)
            if path.path.segments.last().is_some_and(|last| last.ident.to_string().starts_with("bind"))
                && !path.path.segments.iter().any(|part| part.ident == "UnixListener" || part.ident == "UdpSocket"));
        if is_bound && let Some(address) = call.args.first() {
            self.bound.push(address);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        if call.method.to_string().starts_with("unwrap_or") && mentions_port(call.receiver.to_token_stream()) {
            self.next_to_the_word.extend(call.args.iter().flat_map(|argument| numbers(argument.to_token_stream())));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_local(&mut self, local: &'a Local) {
        let pattern = match &local.pat {
            Pat::Type(typed) => &*typed.pat,
            pattern => pattern,
        };
        if let (Pat::Ident(name), Some(init)) = (pattern, &local.init) {
            self.name(&name.ident.to_string(), &init.expr);
        }
        visit::visit_local(self, local);
    }

    fn visit_item_const(&mut self, item: &'a ItemConst) {
        self.name(&item.ident.to_string(), &item.expr);
    }

    fn visit_item_static(&mut self, item: &'a ItemStatic) {
        self.name(&item.ident.to_string(), &item.expr);
    }

    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        self.bodies.entry(function.sig.ident.to_string()).or_default().push(&function.block);
        visit::visit_item_fn(self, function);
    }

    /// Finds `#[arg(long, default_value_t = 3000)] port: u16`.
    fn visit_field(&mut self, field: &'a Field) {
        let is_port = field.ident.as_ref().is_some_and(|name| is_word(&name.to_string()));
        for attribute in field.attrs.iter().filter(|_| is_port) {
            if let syn::Meta::List(list) = &attribute.meta {
                self.next_to_the_word.extend(numbers(list.tokens.clone()));
            }
        }
    }
}

impl<'a> Written<'a> {
    fn name(&mut self, name: &str, value: &'a Expr) {
        let literal = match value {
            Expr::Lit(literal) => number(&literal.lit),
            _ => None,
        };
        self.next_to_the_word.extend(literal.filter(|_| is_word(name)));
        self.named.entry(name.to_owned()).or_default().push(value.to_token_stream());
    }

    /// Collects all ports in an expression, and in the values of its variables.
    fn follow(&self, tokens: TokenStream, seen: &mut BTreeSet<String>, ports: &mut BTreeSet<u16>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for token in &tokens {
            match token {
                TokenTree::Literal(literal) => {
                    let literal: Lit = Lit::new(literal.clone());
                    ports.extend(port_of(&literal));
                    if let Lit::Str(text) = &literal {
                        // `"0.0.0.0:{port}"`
                        for name in text.value().split('{').skip(1).filter_map(|rest| rest.split(['}', ':']).next()) {
                            self.follow_name(name, seen, ports);
                        }
                    }
                }
                TokenTree::Ident(name) => self.follow_name(&name.to_string(), seen, ports),
                TokenTree::Group(group) => {
                    if let Ok(tuple) = syn::parse2::<ExprTuple>(token.to_token_stream())
                        && let [_, Expr::Lit(port)] = &tuple.elems.iter().collect::<Vec<_>>()[..]
                    {
                        ports.extend(number(&port.lit));
                    }
                    self.follow(group.stream(), seen, ports);
                }
                TokenTree::Punct(_) => {}
            }
        }
        if mentions_port(tokens.iter().cloned().collect()) {
            ports.extend(defaults(&tokens));
        }
    }

    fn follow_name(&self, name: &str, seen: &mut BTreeSet<String>, ports: &mut BTreeSet<u16>) {
        if name.is_empty() || !seen.insert(name.to_owned()) {
            return;
        }
        for value in self.named.get(name).into_iter().flatten() {
            // `const PORT: u16 = 3000;`
            let literal = syn::parse2::<Lit>(value.clone()).ok();
            ports.extend(literal.as_ref().and_then(number));
            self.follow(value.clone(), seen, ports);
        }
        for body in self.bodies.get(name).into_iter().flatten() {
            self.follow(body.to_token_stream(), seen, ports);
        }
    }
}

/// Returns the numbers in the arguments of `unwrap_or…`.
fn defaults(tokens: &[TokenTree]) -> Vec<u16> {
    let is_default = |token: &TokenTree| matches!(token, TokenTree::Ident(name) if name.to_string().starts_with("unwrap_or") || name == "map_or");
    let after = tokens.windows(2).filter(|pair| is_default(&pair[0]));
    after
        .filter_map(|pair| match &pair[1] {
            TokenTree::Group(group) => Some(numbers(group.stream())),
            _ => None,
        })
        .flatten()
        .collect()
}

fn is_word(name: &str) -> bool {
    name.to_ascii_lowercase().split('_').any(|word| word == "port")
}

/// Returns whether code mentions a port, such as `env::var("PORT")`.
fn mentions_port(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(name) => is_word(&name.to_string()),
        TokenTree::Literal(text) => is_word(text.to_string().trim_matches('"')),
        TokenTree::Group(group) => mentions_port(group.stream()),
        TokenTree::Punct(_) => false,
    })
}

fn numbers(tokens: TokenStream) -> Vec<u16> {
    let of = |token: TokenTree| match token {
        TokenTree::Literal(literal) => number(&Lit::new(literal)).into_iter().collect(),
        TokenTree::Group(group) => numbers(group.stream()),
        _ => Vec::new(),
    };
    tokens.into_iter().flat_map(of).collect()
}

/// Parses `3000` or `"3000"`.
fn number(literal: &Lit) -> Option<u16> {
    let port = match literal {
        Lit::Int(number) => number.base10_parse().ok(),
        Lit::Str(text) => text.value().parse().ok(),
        _ => None,
    };
    port.filter(|port| *port > 0)
}

/// Parses the port of an address such as `127.0.0.1:3000`, `[::1]:3000` or `{host}:3000`.
fn port_of(literal: &Lit) -> Option<u16> {
    let Lit::Str(text) = literal else { return None };
    let text = text.value();
    let (host, port) = text.rsplit_once(':')?;
    let is_host = !host.contains('/') && (!host.contains(':') || host.starts_with('['));
    port.parse().ok().filter(|port| is_host && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::code::tree::tests::tree;

    fn port(source: &str) -> Option<u16> {
        find(tree(&[("src/main.rs", source)]).sources.iter())
    }

    #[test]
    fn a_literal_port_is_found() {
        for address in [
            "\"127.0.0.1:3000\"",
            "\"localhost:3000\"",
            "\"[::1]:3000\"",
            "(\"0.0.0.0\", 3000)",
            "([127, 0, 0, 1], 3000)",
            "&SocketAddr::from(([0, 0, 0, 0], 3000))",
            "SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), port())",
            "format!(\"0.0.0.0:{}\", port())",
            "format!(\"{host}:3000\")",
            "env::var(\"LISTEN\").unwrap_or_else(|_| \"127.0.0.1:3000\".to_owned())",
            "(HOST, PORT)",
            "address()",
        ] {
            let source = format!(
                "const PORT: u16 = 3000; const HOST: &str = \"0.0.0.0\"; fn port() -> u16 {{ PORT }}\n\
                 fn address() -> String {{ let port = PORT; format!(\"{{HOST}}:{{port}}\") }}\n\
                 async fn main() {{ let l = TcpListener::bind({address}).await?; }}"
            );
            assert_eq!(port(&source), Some(3000), "{source}");
        }
    }

    #[test]
    fn the_default_of_a_port_from_the_environment_is_found() {
        for source in [
            "let port = std::env::var(\"PORT\").ok().and_then(|p| p.parse().ok()).unwrap_or(3000); bind((\"0.0.0.0\", port))",
            "let port: u16 = env::var(\"PORT\").unwrap_or_else(|_| \"3000\".into()).parse()?; bind(format!(\"0.0.0.0:{port}\"))",
            "let port = env::var(\"APP_PORT\").unwrap_or(\"3000\".to_string()); bind(&config.address)",
            "let config = Config { port: env::var(\"PORT\").map_or(None, |p| p.parse().ok()).unwrap_or(3000) }; bind(config.address())",
        ] {
            assert_eq!(port(&format!("fn main() {{ {source}; }}")), Some(3000), "{source}");
        }
        assert_eq!(
            port("struct Args { #[arg(long, default_value_t = 3000)] port: u16 } fn main() { bind(args.address()) }"),
            Some(3000)
        );
    }

    #[test]
    fn an_ambiguous_port_is_not_found() {
        for source in [
            "fn main() { bind(address()) }",
            "fn main() { bind(\"127.0.0.1:0\") }",
            "fn main() { let x = (1, 2); }",
            "fn main() { bind(\"0.0.0.0:3000\"); bind(\"0.0.0.0:3001\") }",
            "fn main() { let a = if cfg!(debug_assertions) { \"127.0.0.1:3000\" } else { \"0.0.0.0:80\" }; bind(a) }",
            "fn main() { connect(\"localhost:6379\"); bind(config.address) }",
        ] {
            assert_eq!(port(source), None, "{source}");
        }
    }
}
