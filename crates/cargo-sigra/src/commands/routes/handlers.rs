//! Finds what a handler requires, by the types of its arguments.

use std::{cell::RefCell, collections::BTreeMap};

use syn::{File, FnArg, GenericArgument, Item, PathArguments, Type};

use super::requirement::Requirement;

/// Returns the source of a module.
type Source<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// The handlers of the modules next to the router.
pub struct Handlers<'a> {
    read: Source<'a>,
    modules: RefCell<BTreeMap<String, Vec<(String, Requirement)>>>,
}

impl<'a> Handlers<'a> {
    /// Creates it from `read`, which returns the source of a module.
    pub fn new(read: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { read: Box::new(read), modules: RefCell::default() }
    }

    /// Returns what the handler requires. A handler whose source isn't found counts as open to anyone.
    pub fn requirement(&self, handler: &str) -> Requirement {
        let Some((module, function)) = handler.rsplit_once("::") else { return Requirement::Anybody };
        let module = module.rsplit("::").next().unwrap_or(module);
        let mut modules = self.modules.borrow_mut();
        let read = || (self.read)(module).and_then(|source| syn::parse_file(&source).ok());
        let known =
            modules.entry(module.to_owned()).or_insert_with(|| read().as_ref().map(functions).unwrap_or_default());
        known.iter().find(|(name, _)| name == function).map_or(Requirement::Anybody, |(_, requirement)| *requirement)
    }
}

/// Returns the functions of a file, each with what its arguments require.
pub fn functions(file: &File) -> Vec<(String, Requirement)> {
    let functions = file.items.iter().filter_map(|item| match item {
        Item::Fn(function) => Some(&function.sig),
        _ => None,
    });
    let requirement = |args: &syn::punctuated::Punctuated<FnArg, _>| {
        let of_arg = |arg: &FnArg| match arg {
            FnArg::Typed(arg) => of_type(&arg.ty),
            FnArg::Receiver(_) => Requirement::Anybody,
        };
        args.iter().map(of_arg).max().unwrap_or(Requirement::Anybody)
    };
    functions.map(|signature| (signature.ident.to_string(), requirement(&signature.inputs))).collect()
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
            let types = inner.args.iter().filter_map(|arg| match arg {
                GenericArgument::Type(ty) => Some(of_type(ty)),
                _ => None,
            });
            types.max().unwrap_or(Requirement::Anybody)
        }
        _ => Requirement::Anybody,
    }
}
