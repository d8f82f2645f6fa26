//! A place where something is served, and what the host has to write there.

use std::{fmt, path::PathBuf};

use super::place::{Place, Wait, WithAccounts, statement};

/// The server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Axum,
    AxumServer,
    Hyper,
    Lambda,
    Shuttle,
    Loco,
    Other,
}

/// Why the change is left to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    Macro(String),
    Sync,
    Branch,
    Conditional,
    Unix,
    Listener,
    NoRouter,
    Wrapped,
    /// `axum::serve` is mentioned, but not called with two arguments.
    Value,
    Shared,
    /// Called this many times, with different routers.
    Called(String, usize),
    GivenRouter(String),
    Several(usize),
}

/// The function that contains the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub inputs: usize,
    pub is_method: bool,
    pub takes_router: bool,
}

#[derive(Clone, Debug)]
pub struct Site {
    pub path: PathBuf,
    pub line: usize,
    pub shape: Shape,
    pub place: Option<Place>,
    pub doubt: Option<Doubt>,
    pub function: Option<Function>,
    pub can_fail: bool,
    /// The indices of the crates that the file belongs to.
    pub crates: Vec<usize>,
}

impl Site {
    /// Returns the place, if accounts can be added automatically.
    pub fn certain(&self) -> Option<&Place> {
        self.place.as_ref().filter(|_| self.shape == Shape::Axum && self.doubt.is_none())
    }

    /// Returns why it wasn't changed, to print after its path and line.
    pub fn reason(&self) -> String {
        let by_shape = match self.shape {
            Shape::Axum => None,
            Shape::AxumServer => Some("serves with axum_server"),
            Shape::Hyper => Some("serves each connection with hyper"),
            Shape::Lambda => Some("runs on AWS Lambda"),
            Shape::Shuttle => Some("passes its router to Shuttle"),
            Shape::Loco => Some("passes its router to Loco"),
            Shape::Other => Some("serves with a server that is not axum's"),
        };
        match (by_shape, &self.doubt) {
            (Some(shape), Some(Doubt::Several(count))) => format!("{shape}, and is one of {count} servers"),
            (Some(shape), _) => shape.to_owned(),
            (None, Some(doubt)) => doubt.to_string(),
            (None, None) => "serves a router".to_owned(),
        }
    }

    /// Returns what to write there.
    pub fn lines(&self, source: &str, with_accounts: &WithAccounts) -> String {
        let plain = |wait: &Wait| statement(with_accounts, wait, self.can_fail);
        match (self.shape, &self.place, &self.doubt) {
            (Shape::Loco, ..) => format!(
                "async fn after_routes(router: axum::Router, _: &loco_rs::app::AppContext) -> loco_rs::Result<axum::Router> {{\n    \
                 {}(router).await.map_err(loco_rs::Error::msg)\n}}",
                with_accounts.path
            ),
            (Shape::Hyper, ..) => format!(
                "// Once, before accepting connections:\n{}\n\
                 // For each request, with the address that `accept` returned:\n\
                 request.extensions_mut().insert(axum::extract::ConnectInfo(address));",
                plain(&Wait::Await)
            ),
            (_, Some(place), Some(Doubt::Wrapped)) => format!(
                "{}\naxum::serve(listener, axum::ServiceExt::<axum::extract::Request>::into_make_service_with_connect_info::<std::net::SocketAddr>(app))",
                place.lines(source, with_accounts)
            ),
            (_, Some(place), _) => place.lines(source, with_accounts),
            (_, None, Some(Doubt::Sync)) => format!(
                "// In the async function that calls it:\n{}\n// Here:\n{SERVE}",
                statement(with_accounts, &Wait::Await, false)
            ),
            (Shape::Lambda, ..) => format!("{}\nlambda_http::run(app).await", plain(&Wait::Await)),
            (Shape::Shuttle, ..) => format!("{}\nOk(app.into())", plain(&Wait::Await)),
            (_, None, Some(Doubt::Unix | Doubt::Listener)) => {
                format!("{}\naxum::serve(listener, app)", plain(&Wait::Await))
            }
            (_, None, _) => format!("{}\n{SERVE}", plain(&Wait::Await)),
        }
    }

    /// Returns a note about consequences.
    pub fn remark(&self) -> Option<&'static str> {
        match (self.shape, &self.doubt) {
            (_, Some(Doubt::Unix)) | (Shape::Lambda | Shape::Shuttle | Shape::Loco, _) => Some(
                "The IP addresses of clients are unknown there, so all clients share the rate limits of one IP address.",
            ),
            (_, Some(Doubt::Listener)) => Some(
                "If it is a TCP listener, serve `app.into_make_service_with_connect_info::<std::net::SocketAddr>()`: rate limits \
                 need the IP addresses of clients.",
            ),
            (_, Some(Doubt::NoRouter)) => {
                Some("Accounts can only be added to a `Router`, before it is wrapped in something else.")
            }
            (Shape::Other, _) => Some(
                "Rate limits need the IP addresses of clients: serve `app.into_make_service_with_connect_info::<std::net::SocketAddr>()` \
                 if the server supports it.",
            ),
            _ => None,
        }
    }
}

const SERVE: &str = "axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>())";

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macro(name) => write!(f, "serves inside `{name}!`"),
            Self::Sync => f.write_str("serves in a function that isn't async"),
            Self::Branch => f.write_str("serves in the middle of an expression"),
            Self::Conditional => f.write_str("serves under a `cfg`"),
            Self::Unix => f.write_str("serves on a Unix socket"),
            Self::Listener => f.write_str("serves on a listener that may not be a `TcpListener`"),
            Self::NoRouter => f.write_str("serves a value that may not be a `Router`"),
            Self::Wrapped => f.write_str("serves a `Router` inside another service"),
            Self::Value => f.write_str("passes `axum::serve` as a value"),
            Self::Shared => f.write_str("belongs to more than one crate"),
            Self::Called(name, times) => write!(f, "serves in `{name}`, which is called {times} times"),
            Self::GivenRouter(name) => write!(f, "serves the router that `{name}` is called with from elsewhere"),
            Self::Several(count) => write!(f, "is one of {count} servers"),
        }
    }
}
