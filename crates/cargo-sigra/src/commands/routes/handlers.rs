//! Finds handlers, and what they require by the types of their arguments.

use syn::{Expr, ExprCall, FnArg, GenericArgument, Item, Pat, PathArguments, Type};

use super::requirement::Requirement;
use crate::host::code::{names::Names, tree::Source};

const METHODS: [&str; 9] = ["get", "post", "put", "patch", "delete", "head", "options", "trace", "any"];

/// Returns the methods of `get(a).post(b)`, in capitals, and their handlers.
pub fn of_methods(methods: &Expr) -> Vec<(String, &Expr)> {
    let mut found = Vec::new();
    let mut rest = methods;
    loop {
        match rest {
            Expr::MethodCall(call) => {
                let method = call.method.to_string();
                if let (true, Some(handler)) = (METHODS.contains(&&*method), call.args.first()) {
                    found.push((method.to_ascii_uppercase(), handler));
                }
                rest = &call.receiver;
            }
            Expr::Call(ExprCall { func, args, .. }) => {
                let name = name_of(func);
                let method = name.rsplit("::").next().unwrap_or_default();
                if let (true, Some(handler)) = (METHODS.contains(&method), args.first()) {
                    found.push((method.to_ascii_uppercase(), handler));
                }
                break;
            }
            _ => break,
        }
    }
    found.reverse();
    found
}

/// Returns a path as text. Other expressions, such as closures, have no name.
pub fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Path(path) => segments(path).join("::"),
        _ => "…".to_owned(),
    }
}

fn segments(path: &syn::ExprPath) -> Vec<String> {
    path.path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// Returns what a handler in this file requires. `None` if its code isn't found.
pub fn requirement<'a>(
    handler: &Expr,
    route_in: &Source,
    sources: impl Iterator<Item = &'a Source>,
) -> Option<Requirement> {
    let path = match handler {
        Expr::Closure(closure) => return Some(of_types(closure.inputs.iter().filter_map(type_of_input))),
        Expr::Path(path) => Names::of(&route_in.file).full(&path.path),
        _ => return None,
    };
    let path: Vec<&str> = path.split("::").filter(|part| !["crate", "self", "super"].contains(part)).collect();
    let (name, module) = path.split_last()?;
    let is_its_module = |source: &&Source| match module {
        [] => source.module == route_in.module,
        module => {
            source.module.len() >= module.len()
                && source.module.iter().rev().zip(module.iter().rev()).all(|(a, b)| a == b)
        }
    };
    sources.filter(is_its_module).find_map(|source| of_function(source, name))
}

fn type_of_input(input: &Pat) -> Option<&Type> {
    match input {
        Pat::Type(typed) => Some(&typed.ty),
        _ => None,
    }
}

fn of_function(source: &Source, name: &str) -> Option<Requirement> {
    let function = source.file.items.iter().find_map(|item| match item {
        Item::Fn(function) if function.sig.ident == name => Some(&function.sig),
        _ => None,
    });
    let of_argument = |argument: &'_ FnArg| match argument {
        FnArg::Typed(argument) => Some(of_type(&argument.ty)),
        FnArg::Receiver(_) => None,
    };
    function.map(|signature| signature.inputs.iter().filter_map(of_argument).max().unwrap_or(Requirement::Anybody))
}

fn of_types<'a>(types: impl Iterator<Item = &'a Type>) -> Requirement {
    types.map(of_type).max().unwrap_or(Requirement::Anybody)
}

/// Returns what an argument of this type requires. `Option<Scope<User>>` and `Result<Scope<User>, _>` require nothing.
fn of_type(ty: &Type) -> Requirement {
    let Type::Path(path) = ty else { return Requirement::Anybody };
    let Some(last) = path.path.segments.last() else { return Requirement::Anybody };
    match (last.ident.to_string().as_str(), &last.arguments) {
        ("Sudo", _) => Requirement::Sudo,
        ("Scope" | "Live", _) => Requirement::User,
        ("MfaEnrolment", _) => Requirement::Enrolment,
        ("MfaChallenge", _) => Requirement::Pending,
        ("Option" | "Result", _) => Requirement::Anybody,
        (_, PathArguments::AngleBracketed(inner)) => {
            of_types(inner.args.iter().filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            }))
        }
        _ => Requirement::Anybody,
    }
}
