//! Finds handlers, and what they require by the types of their arguments.

use syn::{
    Expr, ExprCall, ExprLit, FnArg, GenericArgument, ImplItem, ImplItemConst, Item, Lit, Pat, PathArguments, Type,
};

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

/// Returns the types of a handler's arguments. `None` if its code isn't found.
pub fn arguments<'a>(
    handler: &'a Expr,
    route_in: &Source,
    sources: impl Iterator<Item = &'a Source>,
) -> Option<Vec<&'a Type>> {
    let path = match handler {
        Expr::Closure(closure) => return Some(closure.inputs.iter().filter_map(type_of_input).collect()),
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
    sources.filter(is_its_module).find_map(|source| arguments_of_function(source, name))
}

fn type_of_input(input: &Pat) -> Option<&Type> {
    match input {
        Pat::Type(typed) => Some(&typed.ty),
        _ => None,
    }
}

fn arguments_of_function<'a>(source: &'a Source, name: &str) -> Option<Vec<&'a Type>> {
    let function = source.file.items.iter().find_map(|item| match item {
        Item::Fn(function) if function.sig.ident == name => Some(&function.sig),
        _ => None,
    });
    fn of_argument(argument: &FnArg) -> Option<&Type> {
        match argument {
            FnArg::Typed(argument) => Some(&argument.ty),
            FnArg::Receiver(_) => None,
        }
    }
    function.map(|signature| signature.inputs.iter().filter_map(of_argument).collect())
}

/// Returns what arguments of these types require.
pub fn requirement<'a>(types: impl Iterator<Item = &'a Type>) -> Requirement {
    types.map(of_type).max().unwrap_or(Requirement::Anybody)
}

/// Returns what an argument of this type requires. `Option<Scope<User>>` and `Result<Scope<User>, _>` require nothing.
fn of_type(ty: &Type) -> Requirement {
    let Type::Path(path) = ty else { return Requirement::Anybody };
    let Some(last) = path.path.segments.last() else { return Requirement::Anybody };
    match (last.ident.to_string().as_str(), &last.arguments) {
        ("Sudo", _) => Requirement::Sudo,
        ("Scope" | "Live", _) => Requirement::User,
        ("Bearer", _) => Requirement::Token,
        ("Caller", _) => Requirement::UserOrToken,
        ("MfaEnrollment", _) => Requirement::Enrollment,
        ("MfaChallenge", _) => Requirement::Pending,
        ("Option" | "Result", _) => Requirement::Anybody,
        (_, PathArguments::AngleBracketed(inner)) => {
            requirement(inner.args.iter().filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            }))
        }
        _ => Requirement::Anybody,
    }
}

/// Returns the names of the permissions that arguments of these types require: those of `ReadProjects` in
/// `Bearer<User, ReadProjects>`. A type whose name isn't found in the sources is listed as it is.
pub fn permissions<'a>(arguments: &[&Type], sources: impl Iterator<Item = &'a Source> + Clone) -> Vec<String> {
    let required = arguments.iter().filter_map(|ty| second_argument(ty)).flat_map(each);
    let name = |ty: &Type| {
        let ident = last_segment(ty)?.ident.to_string();
        Some(sources.clone().find_map(|source| name_of_permission(source, &ident)).unwrap_or(ident))
    };
    required.filter_map(name).collect()
}

/// Returns the second argument of a `Bearer` or a `Caller`.
fn second_argument(ty: &Type) -> Option<&Type> {
    let last = last_segment(ty)?;
    let PathArguments::AngleBracketed(inner) = &last.arguments else { return None };
    let mut types = inner.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    if last.ident == "Bearer" || last.ident == "Caller" { types.nth(1) } else { None }
}

fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// Returns the types in a tuple, or the type itself.
fn each(ty: &Type) -> Vec<&Type> {
    match ty {
        Type::Tuple(tuple) => tuple.elems.iter().collect(),
        ty => vec![ty],
    }
}

/// Returns `NAME` in `impl Permission for …`.
fn name_of_permission(source: &Source, ident: &str) -> Option<String> {
    source.file.items.iter().find_map(|item| {
        let Item::Impl(found) = item else { return None };
        let (_, of_trait, _) = found.trait_.as_ref()?;
        let is_it = of_trait.segments.last()?.ident == "Permission" && last_segment(&found.self_ty)?.ident == ident;
        if !is_it {
            return None;
        }
        found.items.iter().find_map(|item| match item {
            ImplItem::Const(ImplItemConst { ident, expr: Expr::Lit(ExprLit { lit: Lit::Str(name), .. }), .. })
                if ident == "NAME" =>
            {
                Some(name.value())
            }
            _ => None,
        })
    })
}
