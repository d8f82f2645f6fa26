//! `cargo sigra routes`: lists the routes that it finds in the application's source.

mod gate;
mod handlers;
mod requirement;
mod route;

use std::path::{Path, PathBuf};

use syn::Type;

use self::{
    gate::{Gate, Gates},
    requirement::Requirement,
    route::Route,
};
use crate::{
    cli::arguments::Routes,
    host::{
        code::tree::{Source, Tree, Unparsed},
        package::{Host, HostError},
        routes,
        serve::Survey,
    },
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
    #[error("can't find `{0}`, where the routes are: it must be a module of this package")]
    NoRouter(PathBuf),
    #[error("can't parse `{path}`: {error}. Check that it compiles")]
    NotRust { path: PathBuf, error: syn::Error },
    #[error("found no `Router::new().route(…)` in `{0}`")]
    NoRoutes(PathBuf),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Json(#[from] JsonError),
}

pub fn run(args: &Routes) -> Result<(), RoutesError> {
    let manifest = Manifest::read(Path::new("."))?;
    let host = Host::find()?;
    let router = router(&manifest);
    let (mut sources, mut unparsed) = (Vec::new(), Vec::new());
    for target in &host.targets {
        let tree = Tree::of(&target.root, "");
        sources.extend(tree.sources);
        unparsed.extend(tree.unparsed);
    }
    let is_router = |path: &Path| path.ends_with(&router);
    if let Some(Unparsed { path, error }) = unparsed.into_iter().find(|file| is_router(&file.path)) {
        return Err(RoutesError::NotRust { path, error });
    }
    let Some(path) = sources.iter().map(|source| &source.path).find(|path| is_router(path)) else {
        return Err(RoutesError::NoRouter(router));
    };
    let gates = Gates::of(&manifest.users);
    let mut listed = listed(&routes::of_file(sources.iter(), path), &sources, &gates, Requirement::Anybody);
    if listed.is_empty() {
        return Err(RoutesError::NoRoutes(router));
    }
    if let Some(module) = &manifest.module {
        match Survey::of(&host, module, None, true) {
            Ok(survey) => {
                let own = routes::all(survey.sources(), &survey.serving());
                listed.extend(self::listed(&own, &sources, &gates, Requirement::Own));
            }
            Err(error) => terminal::warn(format!("only the routes of accounts are listed, not your own: {error}")),
        }
    }
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    if args.json {
        return Ok(json::print(&listed)?);
    }
    print(&listed, &rename::users_in_name(&manifest.users, "user"));
    Ok(())
}

/// Returns the file with the routes of accounts, relative to the package.
fn router(manifest: &Manifest) -> PathBuf {
    let web = match &manifest.module {
        Some(module) => Path::new(&manifest.folder).join(module).join("web"),
        None => Path::new("src").join("web"),
    };
    if manifest.choices.api_only { web.join("api/router.rs") } else { web.join("router.rs") }
}

/// Returns the routes as they are listed. `unrestricted` is the requirement of those whose handlers and
/// layers require nothing that this program knows.
fn listed(found: &[routes::Route], sources: &[Source], gates: &Gates, unrestricted: Requirement) -> Vec<Route> {
    let has_routes_inside = |path: &str| {
        let is_inside = |other: &routes::Route| other.path.len() > path.len() || other.methods.is_some();
        found.iter().any(|other| other.path.starts_with(path) && is_inside(other))
    };
    let mut listed = Vec::new();
    for route in found {
        let around = gates.in_layers(&route.layers);
        let required = around.iter().map(|gate| match gate {
            Gate::Requires(requirement) => *requirement,
            Gate::LimitsIpAddress => Requirement::Anybody,
        });
        let by_layers = required.max().unwrap_or(Requirement::Anybody);
        let row = |method: String, arguments: Option<Vec<&Type>>, handler: String| {
            let by_handler = arguments.as_ref().map(|types| handlers::requirement(types.iter().copied()));
            let requirement = match by_handler.map(|requirement| requirement.max(by_layers)) {
                Some(Requirement::Anybody) => unrestricted,
                Some(requirement) => requirement,
                None if by_layers == Requirement::Anybody => Requirement::Own,
                None => by_layers,
            };
            Route {
                requirement,
                permissions: handlers::permissions(&arguments.unwrap_or_default(), sources.iter()),
                is_limited: around.contains(&Gate::LimitsIpAddress) && !matches!(&*method, "GET" | "HEAD"),
                method,
                path: route.path.clone(),
                handler,
            }
        };
        let handlers = route.methods.map(handlers::of_methods).unwrap_or_default();
        if handlers.is_empty() && !has_routes_inside(&route.path) {
            listed.push(row("ANY".to_owned(), None, "…".to_owned()));
        }
        for (method, handler) in handlers {
            let arguments = handlers::arguments(handler, route.source, sources.iter());
            listed.push(row(method, arguments, handlers::name_of(handler)));
        }
    }
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    listed
}

fn in_words(route: &Route, user: &str) -> String {
    let requirement = match route.requirement {
        Requirement::Own => "your code decides".to_owned(),
        Requirement::Anybody => "anyone".to_owned(),
        Requirement::Visitor => "visitors only".to_owned(),
        Requirement::Pending => format!("a {user} with a pending second factor"),
        Requirement::Enrollment => format!("a {user} who logged in recently, enrolled or not"),
        Requirement::User => format!("a {user}"),
        Requirement::Sudo => format!("a {user} who logged in recently"),
        Requirement::Token => token(route),
        Requirement::UserOrToken => format!("a {user}, or {}", token(route)),
    };
    if route.is_limited { requirement + ", limited" } else { requirement }
}

fn token(route: &Route) -> String {
    match route.permissions.as_slice() {
        [] => "a token".to_owned(),
        permissions => format!("a token with {}", permissions.join(" and ")),
    }
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
    use std::io;

    use super::*;
    use crate::{host::code::tree::tests::tree, plan::users::UserNames, system::text_file::TextFile, template::read};

    fn of_template() -> Vec<Route> {
        let files = read::embedded();
        let text = |path: &Path| files.iter().find(|file| Path::new(&file.path) == path).map(|file| &file.text);
        let read = |path: &Path| {
            text(path).map(|text| TextFile::decode(text)).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        routes_of(Tree::read(Path::new("src/lib.rs"), "", &read), "src/web/router.rs")
    }

    fn routes_of(tree: Tree, router: &str) -> Vec<Route> {
        let found = routes::of_file(tree.sources.iter(), Path::new(router));
        listed(&found, &tree.sources, &Gates::of(&UserNames::default()), Requirement::Anybody)
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
            ("GET", "/users/settings/mfa", Requirement::Enrollment, false),
            ("DELETE", "/users/settings/mfa/totp", Requirement::Sudo, true),
            ("PUT", "/users/settings/passkeys/{id}", Requirement::User, true),
            ("GET", "/users/reset-password/{token}", Requirement::Anybody, false),
            ("PUT", "/users/reset-password/{token}", Requirement::Anybody, true),
            ("GET", "/dev/mailbox", Requirement::Anybody, false),
            ("GET", "/api/me", Requirement::Token, false),
            ("DELETE", "/users/settings/tokens/{id}", Requirement::Sudo, true),
        ] {
            let found: Vec<_> = routes.iter().filter(|route| route.method == method && route.path == path).collect();
            assert_eq!(found.len(), 1, "{method} {path} in {routes:?}");
            assert_eq!((found[0].requirement, found[0].is_limited), (requirement, is_limited), "{method} {path}");
        }
    }

    #[test]
    fn the_permissions_of_routes_for_programs_are_listed() {
        let router = r#"
            pub fn app(state: AppState) -> Router {
                Router::new()
                    .route("/all", get(all))
                    .route("/both", get(both))
                    .route("/either", get(either))
                    .route("/maybe", get(maybe))
                    .route("/unknown", get(async |bearer: sigra::Bearer<User, elsewhere::Unknown>| ""))
            }

            async fn all(bearer: Bearer<User>) {}
            async fn both(State(x): State<X>, bearer: Bearer<User, (ReadProjects, permissions::WriteProjects)>) {}
            async fn either(caller: Caller<User, ReadProjects>) {}
            async fn maybe(bearer: Option<Bearer<User, ReadProjects>>) {}
        "#;
        let permissions = r#"
            impl Permission for ReadProjects { const NAME: &'static str = "projects:read"; }
            impl sigra::Permission for WriteProjects { const NAME: &'static str = "projects:write"; }
            impl Other for ReadProjects { const NAME: &'static str = "other"; }
        "#;
        let routes = routes_of(
            tree(&[
                ("src/lib.rs", "mod web { pub mod router; } mod permissions;"),
                ("src/web/router.rs", router),
                ("src/permissions.rs", permissions),
            ]),
            "src/web/router.rs",
        );
        let shown: Vec<_> = routes.iter().map(|route| (&*route.path, in_words(route, "user"))).collect();
        assert_eq!(
            shown.iter().map(|(path, words)| (*path, words.as_str())).collect::<Vec<_>>(),
            [
                ("/all", "a token"),
                ("/both", "a token with projects:read and projects:write"),
                ("/either", "a user, or a token with projects:read"),
                ("/maybe", "anyone"),
                ("/unknown", "a token with Unknown"),
            ]
        );
    }

    #[test]
    fn routes_of_other_modules_are_found_with_their_requirements() {
        let router = r#"
            use crate::shop::{self, things};

            pub fn app(state: AppState) -> Router {
                let api = Router::new().route("/things", get(things::index).post(things::create));
                let secret = Router::new()
                    .route("/vault", get(vault))
                    .route_layer(from_fn(user_auth::require_sudo_mode))
                    .route("/lobby", get(lobby));
                let shop = shop::routes(&state)
                    .route_layer(from_fn(user_auth::require_authenticated_user))
                    .route_layer(from_fn(user_auth::limit_ip_address));
                Router::new().nest("/api", api).merge(secret).merge(shop).route("/plain", any(|| async {}))
                    .route("/mine", get(async |scope: Scope<User>| "")).merge(elsewhere::routes())
            }

            async fn vault() {}
            async fn lobby() {}
        "#;
        let shop = r#"
            pub mod things;

            pub fn routes(state: &AppState) -> Router<AppState> {
                let orders = crate::orders::routes();
                Router::new().nest("/shop", Router::new().route("/cart", post(cart)).merge(orders))
            }

            async fn cart() {}
        "#;
        let orders = "pub fn routes() -> Router { Router::new().route(\"/orders\", get(orders::all)) }";
        let routes = routes_of(
            tree(&[
                ("src/lib.rs", "mod web { pub mod router; } mod shop; mod orders;"),
                ("src/web/router.rs", router),
                ("src/shop.rs", shop),
                ("src/shop/things.rs", "pub async fn index() {} pub async fn create(scope: Scope<User>) {}"),
                ("src/orders.rs", orders),
            ]),
            "src/web/router.rs",
        );
        let shown: Vec<_> = routes.iter().map(|r| (&*r.method, &*r.path, r.requirement, r.is_limited)).collect();
        assert_eq!(
            shown,
            [
                ("GET", "/api/things", Requirement::Anybody, false),
                ("POST", "/api/things", Requirement::User, false),
                ("GET", "/lobby", Requirement::Anybody, false),
                ("GET", "/mine", Requirement::User, false),
                ("ANY", "/plain", Requirement::Anybody, false),
                ("POST", "/shop/cart", Requirement::User, true),
                ("GET", "/shop/orders", Requirement::User, false),
                ("GET", "/vault", Requirement::Sudo, false),
            ]
        );
    }
}
