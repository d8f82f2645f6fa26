//! Finds whether a function can return our errors with `?`.

use syn::{PathArguments, ReturnType, Type, TypeParamBound};

use crate::host::code::{
    names::Names,
    values::{Declared, argument},
};

/// Result types whose error can be made from any other.
const RESULTS: [&str; 4] = ["anyhow::Result", "eyre::Result", "color_eyre::Result", "color_eyre::eyre::Result"];

/// Error types that can be made from any other.
const ERRORS: [&str; 8] = [
    "anyhow::Error",
    "eyre::Report",
    "color_eyre::Report",
    "color_eyre::eyre::Report",
    "axum::BoxError",
    "tower::BoxError",
    "lambda_http::Error",
    "lambda_runtime::Error",
];

/// Returns whether our errors can be returned with `?`. Only known types count, because the host's own may not convert
/// ours.
pub fn takes_ours(output: &ReturnType, names: &Names, declared: &Declared) -> bool {
    match output {
        ReturnType::Type(_, ty) => is_result(ty, names, declared, true),
        ReturnType::Default => false,
    }
}

fn is_result(ty: &Type, names: &Names, declared: &Declared, may_be_alias: bool) -> bool {
    let Type::Path(path) = ty else { return false };
    let Some(last) = path.path.segments.last().filter(|last| last.ident.to_string().ends_with("Result")) else {
        return false;
    };
    let count = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.len(),
        _ => 0,
    };
    let full = names.full(&path.path);
    if RESULTS.contains(&&*full) && count < 2 {
        return true;
    }
    if count == 2 {
        return second(&last.arguments).is_some_and(|error| is_error(error, names));
    }
    let is_own = !full.contains("::") || full.starts_with("crate::") || full.starts_with("super::");
    let alias = if may_be_alias && is_own { declared.alias(&last.ident.to_string()) } else { None };
    alias.is_some_and(|(ty, names)| is_result(ty, names, declared, false))
}

fn second(arguments: &PathArguments) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else { return None };
    match arguments.args.iter().nth(1)? {
        syn::GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}

/// Returns whether a type is `Box<dyn Error>` or one of `ERRORS`.
fn is_error(ty: &Type, names: &Names) -> bool {
    let Type::Path(path) = ty else { return false };
    if ERRORS.contains(&&*names.full(&path.path)) {
        return true;
    }
    let Some(boxed) = path.path.segments.last().filter(|last| last.ident == "Box") else { return false };
    let Some(Type::TraitObject(object)) = argument(&boxed.arguments) else { return false };
    object.bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| last.ident == "Error"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::code::tree::tests::tree;

    fn takes(source: &str) -> bool {
        let tree = tree(&[("src/main.rs", source)]);
        let source = &tree.sources[0];
        let names = Names::of(&source.file);
        let declared = Declared::of([(source, &names)].into_iter());
        let Some(syn::Item::Fn(main)) = source.file.items.last() else { panic!("main") };
        takes_ours(&main.sig.output, &names, &declared)
    }

    #[test]
    fn question_mark_is_used_if_the_function_returns_any_error() {
        for source in [
            "fn main() -> Result<(), Box<dyn std::error::Error>> {}",
            "use std::error::Error; fn main() -> Result<(), Box<dyn Error + Send + Sync>> {}",
            "fn main() -> anyhow::Result<()> {}",
            "use anyhow::Result; fn main() -> Result<()> {}",
            "use color_eyre::eyre::Result; fn main() -> Result {}",
            "use anyhow::Error; fn main() -> Result<(), Error> {}",
            "use lambda_http::{Error, run}; fn main() -> Result<(), Error> {}",
            "type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>; fn main() -> Result<()> {}",
        ] {
            assert!(takes(source), "{source}");
        }
    }

    #[test]
    fn question_mark_is_not_used_with_the_hosts_own_error() {
        for source in [
            "fn main() {}",
            "fn main() -> Result<(), MyError> {}",
            "use std::io::{Error, Result}; fn main() -> Result<()> {}",
            "use std::io::Error; fn main() -> Result<(), Error> {}",
            "use anyhow::Result; fn main() -> Result<(), MyError> {}",
            "fn main() -> Result<anyhow::Error, MyError> {}",
            "type Result<T> = std::result::Result<T, MyError>; fn main() -> Result<()> {}",
            "fn main() -> Option<anyhow::Error> {}",
            "fn main() -> std::process::ExitCode {}",
        ] {
            assert!(!takes(source), "{source}");
        }
    }
}
