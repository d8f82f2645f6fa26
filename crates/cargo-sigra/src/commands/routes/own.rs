//! Finds the routes of an application that accounts were installed into, beside those of accounts.

use super::{handlers, requirement::Requirement, route::Route, router};
use crate::host::{
    package::{Host, HostError},
    serve::{ServeError, Survey},
    shadowed,
};

/// Why the application's own routes can't be listed.
#[derive(Debug, thiserror::Error)]
pub enum OwnRoutesError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Returns the routes that the source shows. Routes that a macro or another package declares aren't among them.
pub fn routes(module: &str) -> Result<Vec<Route>, OwnRoutesError> {
    let host = Host::find()?;
    let survey = Survey::of(&host, module, None, true)?;
    let found = shadowed::all(survey.sources(), &survey.serving());
    let has_routes_inside =
        |path: &str| found.iter().any(|other| other.path.len() > path.len() && other.path.starts_with(path));
    let mut routes = Vec::new();
    for route in &found {
        let handlers = route.methods.map(router::handlers_of).unwrap_or_default();
        if handlers.is_empty() && !has_routes_inside(&route.path) {
            routes.push(own(&route.path, "ANY", "…", Requirement::Own));
        }
        for (method, handler) in handlers {
            let requirement = requirement(&survey, &handler);
            routes.push(own(&route.path, &method, &handler, requirement));
        }
    }
    Ok(routes)
}

fn own(path: &str, method: &str, handler: &str, requirement: Requirement) -> Route {
    let (path, method, handler) = (path.to_owned(), method.to_owned(), handler.to_owned());
    Route { method, path, requirement, is_limited: false, handler }
}

/// Returns what the arguments of a handler require. Layers around it, which aren't searched, may require more.
fn requirement(survey: &Survey, handler: &str) -> Requirement {
    let (module, name) = handler.rsplit_once("::").unwrap_or(("", handler));
    let module = module.rsplit("::").next().unwrap_or_default();
    let is_in_module = |path: &[String]| path.last().is_some_and(|last| last == module);
    let sources = survey.sources().filter(|source| module.is_empty() || is_in_module(&source.module));
    let of_source = |file| handlers::functions(file).into_iter().find(|(known, _)| known == name);
    let found = sources.filter_map(|source| of_source(&source.file)).map(|(_, requirement)| requirement).max();
    found.filter(|requirement| *requirement != Requirement::Anybody).unwrap_or(Requirement::Own)
}
