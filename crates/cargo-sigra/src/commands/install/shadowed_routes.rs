//! The host's routes that accounts would take over, in words.

use super::error::InstallError;
use crate::{
    host::{routes::Route, serve::Survey, shadowed},
    plan::{Plan, names::capitalized},
};

/// Routes of the host that accounts would take over.
pub struct ShadowedRoutes {
    /// What accounts serve in their place.
    pub served: String,
    /// How to keep the routes.
    fix: &'static str,
    /// Each with its place in the source.
    pub routes: Vec<String>,
}

/// Returns the host's routes that accounts would take over.
pub fn shadowed_routes(survey: &Survey, plan: &Plan) -> Vec<ShadowedRoutes> {
    let prefix = format!("/{}/", plan.users.plural);
    let found = shadowed::find(survey.sources(), &survey.serving(), &prefix, plan.choices.oauth_server);
    let with_places = |routes: &[Route]| {
        let place = |route: &Route| format!("{}:{}", survey.relative(&route.source.path), route.line);
        routes.iter().map(|route| format!("`{}` ({})", route.path, place(route))).collect()
    };
    let all = [
        ShadowedRoutes {
            served: format!("`{prefix}`"),
            fix: "give accounts another name, `--user Member --table members`",
            routes: with_places(&found.below),
        },
        ShadowedRoutes {
            served: "their OAuth server".to_owned(),
            fix: "leave the OAuth server out, `--no-oauth-server`",
            routes: with_places(&found.of_oauth_server),
        },
    ];
    all.into_iter().filter(|shadowed| !shadowed.routes.is_empty()).collect()
}

pub fn refuse_shadowed(shadowed: &[ShadowedRoutes]) -> Result<(), InstallError> {
    let routes = shadowed.iter().map(|all| format!("{} in place of {}", all.served, all.routes.join(", ")));
    let fixes = shadowed.iter().map(|all| all.fix).collect::<Vec<_>>().join(", ");
    match routes.collect::<Vec<_>>().join(", and ") {
        routes if routes.is_empty() => Ok(()),
        routes => Err(InstallError::Routes { routes, fix: capitalized(&fixes) }),
    }
}
