//! A place where something is served, and what its owner has to write there.

use std::{fmt, path::PathBuf};

use super::place::{Place, Wait, binding};

/// What serves.
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

/// Why it is left to its owner.
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
    /// `axum::serve` is named, and not called with two arguments.
    Value,
    Shared,
    /// So often, by others that each have a router.
    Called(String, usize),
    GivenRouter(String),
    Several(usize),
}

/// What it is in.
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
    /// That the file belongs to.
    pub crates: Vec<usize>,
}

impl Site {
    /// The place where accounts can go without anybody's help.
    pub fn certain(&self) -> Option<&Place> {
        self.place.as_ref().filter(|_| self.shape == Shape::Axum && self.doubt.is_none())
    }

    /// Why it was not changed, after the name of its place.
    pub fn reason(&self) -> String {
        let by_shape = match self.shape {
            Shape::Axum => None,
            Shape::AxumServer => Some("serves with axum_server"),
            Shape::Hyper => Some("serves each connection with hyper"),
            Shape::Lambda => Some("runs on AWS Lambda"),
            Shape::Shuttle => Some("gives its router to Shuttle"),
            Shape::Loco => Some("gives its router to Loco"),
            Shape::Other => Some("serves with a server that is not axum's"),
        };
        match (by_shape, &self.doubt) {
            (Some(shape), Some(Doubt::Several(count))) => format!("{shape}, and is one of {count} servers"),
            (Some(shape), _) => shape.to_owned(),
            (None, Some(doubt)) => doubt.to_string(),
            (None, None) => "serves a router".to_owned(),
        }
    }

    /// What to write there.
    pub fn lines(&self, source: &str, with_accounts: &str) -> String {
        let plain = |wait: &Wait| binding("app", with_accounts, "app", wait, self.can_fail);
        match (self.shape, &self.place, &self.doubt) {
            (Shape::Loco, ..) => format!(
                "async fn after_routes(router: axum::Router, _: &loco_rs::app::AppContext) -> loco_rs::Result<axum::Router> {{\n    \
                 {with_accounts}(router).await.map_err(loco_rs::Error::msg)\n}}"
            ),
            (Shape::Hyper, ..) => format!(
                "// Once, before connections are accepted:\n{}\n\
                 // For each request, with the address that `accept` has given:\n\
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
                binding("app", with_accounts, "app", &Wait::Await, false)
            ),
            (Shape::Lambda, ..) => format!("{}\nlambda_http::run(app).await", plain(&Wait::Await)),
            (Shape::Shuttle, ..) => format!("{}\nOk(app.into())", plain(&Wait::Await)),
            (_, None, Some(Doubt::Unix | Doubt::Listener)) => {
                format!("{}\naxum::serve(listener, app)", plain(&Wait::Await))
            }
            (_, None, _) => format!("{}\n{SERVE}", plain(&Wait::Await)),
        }
    }

    /// What else its owner should know.
    pub fn remark(&self) -> Option<&'static str> {
        match (self.shape, &self.doubt) {
            (_, Some(Doubt::Unix)) | (Shape::Lambda | Shape::Shuttle | Shape::Loco, _) => {
                Some("The client's address is not known there: all clients share the limits that are counted by it.")
            }
            (_, Some(Doubt::Listener)) => Some(
                "If it is a TCP listener, serve `app.into_make_service_with_connect_info::<std::net::SocketAddr>()`: limits are \
                 counted by the client's address.",
            ),
            (_, Some(Doubt::NoRouter)) => Some("Accounts go around a `Router`: where it is one still."),
            (Shape::Other, _) => Some(
                "Limits are counted by the client's address: serve `app.into_make_service_with_connect_info::<std::net::SocketAddr>()` \
                 if the server can.",
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
            Self::Sync => f.write_str("serves in a function that is not async"),
            Self::Branch => f.write_str("serves in the middle of an expression"),
            Self::Conditional => f.write_str("serves under a `cfg`"),
            Self::Unix => f.write_str("serves on a Unix socket"),
            Self::Listener => f.write_str("serves on a listener that may not be a `TcpListener`"),
            Self::NoRouter => f.write_str("serves what may not be a `Router`"),
            Self::Wrapped => f.write_str("serves a `Router` inside another service"),
            Self::Value => f.write_str("passes `axum::serve` on"),
            Self::Shared => f.write_str("belongs to more than one crate"),
            Self::Called(name, times) => write!(f, "serves in `{name}`, which is called {times} times"),
            Self::GivenRouter(name) => write!(f, "serves the router that `{name}` is called with from elsewhere"),
            Self::Several(count) => write!(f, "is one of {count} servers"),
        }
    }
}
