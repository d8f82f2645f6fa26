//! Counts the calls of a function, by its name, in code and in macros.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{
    Expr, ExprCall, ExprMethodCall, Macro,
    visit::{self, Visit},
};

use super::site::Function;

/// Returns the path before a call's parentheses, such as `axum::serve`.
pub fn path_before(tokens: &[TokenTree]) -> Vec<String> {
    let mut path = Vec::new();
    let mut rest = tokens.iter().rev();
    while let Some(TokenTree::Ident(name)) = rest.next() {
        path.insert(0, name.to_string());
        let colons = [rest.next(), rest.next()];
        if !colons.iter().all(|token| matches!(token, Some(TokenTree::Punct(colon)) if colon.as_char() == ':')) {
            break;
        }
    }
    path
}

/// The calls of a function so far.
pub struct Calls<'a> {
    function: &'a Function,
    pub count: usize,
}

impl<'a> Calls<'a> {
    pub fn of(function: &'a Function) -> Self {
        Self { function, count: 0 }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let TokenTree::Group(group) = token else { continue };
            if group.delimiter() == Delimiter::Parenthesis {
                let path = path_before(&tokens[..at]);
                self.count += usize::from(path.last() == Some(&self.function.name) && path[0] != "axum");
            }
            self.tokens(group.stream());
        }
    }
}

impl<'ast> Visit<'ast> for Calls<'_> {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(path) = &*call.func {
            let segments = &path.path.segments;
            let of_axum = segments.len() > 1 && segments.first().is_some_and(|first| first.ident == "axum");
            let is_named = segments.last().is_some_and(|last| last.ident == self.function.name.as_str());
            self.count += usize::from(is_named && !of_axum && call.args.len() == self.function.inputs);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let is_named = self.function.is_method && call.method == self.function.name.as_str();
        self.count += usize::from(is_named && call.args.len() + 1 == self.function.inputs);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.tokens(call.tokens.clone());
    }
}
