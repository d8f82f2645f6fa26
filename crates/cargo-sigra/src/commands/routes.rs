//! `cargo sigra routes`: lists the routes that it finds in the application's source.

mod handlers;
mod own;
mod requirement;
mod route;
mod router;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use self::{handlers::Handlers, requirement::Requirement, route::Route, router::Gate};
use crate::{
    cli::arguments::Routes,
    manifest::{Manifest, ManifestError},
    system::{
        json::{self, JsonError},
        terminal::{self, STRONG, styled},
    },
    template::rename,
};

/// Why the routes can't be listed.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    #[error("can't read the routes in `{path}`: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("can't parse `{path}`: {error}. Check that it compiles")]
    NotRust { path: PathBuf, error: syn::Error },
    #[error("found no `Router::new().route(…)` in `{0}`")]
    NoRoutes(PathBuf),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Json(#[from] JsonError),
}

pub fn run(args: &Routes) -> Result<(), RoutesError> {
    let manifest = Manifest::read(Path::new("."))?;
    let web = match &manifest.module {
        Some(module) => Path::new(&manifest.folder).join(module).join("web"),
        None => Path::new("src").join("web"),
    };
    let (routed, own) =
        if manifest.choices.api_only { (web.join("api"), web.join("api")) } else { (web.clone(), web.join("pages")) };
    let path = routed.join("router.rs");
    let source = fs::read_to_string(&path).map_err(|error| RoutesError::Unreadable { path: path.clone(), error })?;
    let read = |folder: &Path, module: &str| fs::read_to_string(folder.join(format!("{module}.rs"))).ok();
    let handlers = Handlers::new(|module| read(&own, module).or_else(|| read(&web, module)));
    let rename = |name: &str| rename::users_in_name(&manifest.users, name);
    let mut routes =
        routes_of(&source, &handlers, rename).map_err(|error| RoutesError::NotRust { path: path.clone(), error })?;
    if routes.is_empty() {
        return Err(RoutesError::NoRoutes(path));
    }
    if let Some(module) = &manifest.module {
        match own::routes(module) {
            Ok(own) => routes.extend(own),
            Err(error) => terminal::warn(format!("only the routes of accounts are listed, not your own: {error}")),
        }
        routes.sort_by(|a, b| a.path.cmp(&b.path));
    }
    if args.json {
        return Ok(json::print(&routes)?);
    }
    print(&routes, &rename::users_in_name(&manifest.users, "user"));
    Ok(())
}

fn routes_of(source: &str, handlers: &Handlers, rename: impl Fn(&str) -> String) -> syn::Result<Vec<Route>> {
    let found = router::read(&syn::parse_file(source)?, &Gate::named(rename));
    let mut routes: Vec<Route> = found
        .into_iter()
        .map(|found| Route {
            requirement: requirement(&found.gates).max(handlers.requirement(&found.handler)),
            is_limited: found.gates.contains(&Gate::LimitIpAddress) && !matches!(&*found.method, "GET" | "HEAD"),
            method: found.method,
            path: found.path,
            handler: found.handler,
        })
        .collect();
    routes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(routes)
}

fn requirement(gates: &[Gate]) -> Requirement {
    let of_gate = |gate: &Gate| match gate {
        Gate::RequireSudo => Requirement::Sudo,
        Gate::RequireUser => Requirement::User,
        Gate::AllowEnrolment => Requirement::Enrolment,
        Gate::VisitorsOnly => Requirement::Visitor,
        Gate::LimitIpAddress => Requirement::Anybody,
    };
    gates.iter().map(of_gate).max().unwrap_or(Requirement::Anybody)
}

fn in_words(route: &Route, user: &str) -> String {
    let requirement = match route.requirement {
        Requirement::Own => "your code decides".to_owned(),
        Requirement::Anybody => "anyone".to_owned(),
        Requirement::Visitor => "visitors only".to_owned(),
        Requirement::Pending => format!("a {user} with a pending second factor"),
        Requirement::Enrolment => format!("a {user} who logged in recently, enrolled or not"),
        Requirement::User => format!("a {user}"),
        Requirement::Sudo => format!("a {user} who logged in recently"),
    };
    if route.is_limited { requirement + ", limited" } else { requirement }
}

fn print(routes: &[Route], user: &str) {
    let widest = |of: &dyn Fn(&Route) -> usize| routes.iter().map(of).max().unwrap_or_default();
    let paths = widest(&|route| route.path.len());
    let requirements = widest(&|route| in_words(route, user).len());
    for route in routes {
        anstream::println!(
            "{} {:paths$}  {:requirements$}  {}",
            styled(STRONG, format!("{:>6}", route.method)),
            route.path,
            in_words(route, user),
            route.handler
        );
    }
    anstream::println!("\n\"limited\": rate limited for each IP address.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::read;

    fn of_template() -> Vec<Route> {
        let text = |path: &str| read::embedded().into_iter().find(|file| file.path == path).map(|file| file.text);
        let beside = |folder: &str, module: &str| text(&format!("{folder}/{module}.rs"));
        let handlers = Handlers::new(|module| beside("src/web/pages", module).or_else(|| beside("src/web", module)));
        routes_of(&text("src/web/router.rs").expect("a router"), &handlers, str::to_owned).expect("routes")
    }

    #[test]
    fn the_requirements_of_the_templates_routes_are_found() {
        let routes = of_template();
        for (method, path, requirement, is_limited) in [
            ("GET", "/", Requirement::Anybody, false),
            ("GET", "/healthz", Requirement::Anybody, false),
            ("GET", "/live", Requirement::User, false),
            ("GET", "/users/log-in", Requirement::Visitor, false),
            ("POST", "/users/log-in", Requirement::Anybody, true),
            ("DELETE", "/users/log-out", Requirement::Anybody, true),
            ("GET", "/users/sessions", Requirement::User, false),
            ("DELETE", "/users/sessions/{id}", Requirement::User, true),
            ("GET", "/users/settings", Requirement::User, false),
            ("PUT", "/users/settings/password", Requirement::Sudo, true),
            ("GET", "/users/mfa-challenge", Requirement::Pending, false),
            ("POST", "/users/mfa-challenge", Requirement::Pending, true),
            ("GET", "/users/settings/mfa", Requirement::Enrolment, false),
            ("DELETE", "/users/settings/mfa/totp", Requirement::Sudo, true),
            ("PUT", "/users/settings/passkeys/{id}", Requirement::User, true),
            ("GET", "/users/reset-password/{token}", Requirement::Anybody, false),
            ("PUT", "/users/reset-password/{token}", Requirement::Anybody, true),
            ("GET", "/dev/mailbox", Requirement::Anybody, false),
        ] {
            let found: Vec<_> = routes.iter().filter(|route| route.method == method && route.path == path).collect();
            assert_eq!(found.len(), 1, "{method} {path} in {routes:?}");
            assert_eq!((found[0].requirement, found[0].is_limited), (requirement, is_limited), "{method} {path}");
        }
    }

    #[test]
    fn routes_that_the_host_added_are_found() {
        let source = r#"
            pub fn app(state: AppState) -> Router {
                let api = Router::new().route("/things", get(things::index).post(things::create));
                let secret = Router::new()
                    .route("/vault", get(vault))
                    .route_layer(from_fn(user_auth::require_sudo_mode))
                    .route("/lobby", get(lobby));
                Router::new().nest("/api", api).merge(secret).route("/plain", axum::routing::any(plain))
            }
        "#;
        let handlers = Handlers::new(|module| {
            (module == "things").then(|| "pub async fn create(scope: Scope<User>) {}".to_owned())
        });
        let routes = routes_of(source, &handlers, str::to_owned).expect("routes");
        let shown: Vec<_> = routes.iter().map(|r| (&*r.method, &*r.path, r.requirement)).collect();
        assert_eq!(
            shown,
            [
                ("GET", "/api/things", Requirement::Anybody),
                ("POST", "/api/things", Requirement::User),
                ("GET", "/lobby", Requirement::Anybody),
                ("ANY", "/plain", Requirement::Anybody),
                ("GET", "/vault", Requirement::Sudo),
            ]
        );
    }
}
