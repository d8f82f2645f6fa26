//! A router in a source file, and the same source with accounts added.

use std::ops::Range;

use syn::Expr;

/// How the router with accounts becomes a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Like the host does it.
    Kept,
    /// A service that knows the IP addresses of clients, which rate limits need.
    ConnectInfo,
    Nothing,
}

/// The function that adds accounts, as the host's code calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithAccounts {
    /// Its path, such as `crate::auth::with_accounts`.
    pub path: String,
    /// Whether the host's lints refuse a panic.
    pub panic_is_linted: bool,
}

impl WithAccounts {
    /// Returns the line before a call that panics, if the host's lints need one.
    fn attribute(&self, can_fail: bool) -> Option<&'static str> {
        (self.panic_is_linted && !can_fail)
            .then_some("#[allow(clippy::panic, reason = \"the application can't run without accounts\")]")
    }
}

/// How to wait for the accounts to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    Await,
    /// With the runtime in this variable.
    BlockOn(String),
}

#[derive(Clone, Debug)]
pub struct Place {
    /// The statement that accounts are added before.
    pub statement: Range<usize>,
    pub router: Range<usize>,
    /// The router, including the call that makes a service of it.
    pub service: Range<usize>,
    /// The variable for the router with accounts.
    pub name: String,
    pub make: Make,
    pub wait: Wait,
    pub can_fail: bool,
}

const MAKE: &str = ".into_make_service_with_connect_info::<std::net::SocketAddr>()";

impl Place {
    /// Returns the source with accounts around the router.
    pub fn around(&self, source: &str, with_accounts: &WithAccounts) -> String {
        let statement = self.changed(source, with_accounts);
        format!("{}{statement}{}", &source[..self.statement.start], &source[self.statement.end..])
    }

    /// Returns only the changed statement, without indentation.
    pub fn lines(&self, source: &str, with_accounts: &WithAccounts) -> String {
        let indent = self.indent(source).unwrap_or_default().to_owned();
        let changed = self.changed(source, with_accounts);
        changed.lines().map(|line| line.strip_prefix(&indent).unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }

    fn changed(&self, source: &str, with_accounts: &WithAccounts) -> String {
        let gap = self.indent(source).map_or(" ".to_owned(), |indent| format!("\n{indent}"));
        let made = match self.make {
            Make::Kept => &source[self.router.end..self.service.end],
            Make::ConnectInfo => MAKE,
            Make::Nothing => "",
        };
        let attribute = with_accounts.attribute(self.can_fail).map(|line| format!("{line}{gap}")).unwrap_or_default();
        format!(
            "{attribute}{}{gap}{}{}{made}{}",
            binding(&self.name, with_accounts, &source[self.router.clone()], &self.wait, self.can_fail),
            &source[self.statement.start..self.service.start],
            self.name,
            &source[self.service.end..self.statement.end]
        )
    }

    /// Returns the indentation of the statement, if it begins its line.
    fn indent<'a>(&self, source: &'a str) -> Option<&'a str> {
        let line = source[..self.statement.start].rfind('\n').map_or(0, |at| at + 1);
        let before = &source[line..self.statement.start];
        before.chars().all(char::is_whitespace).then_some(before)
    }
}

/// Returns the statement for a router in the variable `app`, with the attribute that it needs.
pub fn statement(with_accounts: &WithAccounts, wait: &Wait, can_fail: bool) -> String {
    let attribute = with_accounts.attribute(can_fail).map(|line| format!("{line}\n")).unwrap_or_default();
    format!("{attribute}{}", binding("app", with_accounts, "app", wait, can_fail))
}

/// Returns a statement such as `let app = crate::auth::with_accounts(app).await?;`.
fn binding(name: &str, with_accounts: &WithAccounts, router: &str, wait: &Wait, can_fail: bool) -> String {
    let failed = if can_fail { "?" } else { ".unwrap_or_else(|error| panic!(\"accounts can't start: {error}\"))" };
    let path = &with_accounts.path;
    match wait {
        Wait::Await => format!("let {name} = {path}({router}).await{failed};"),
        Wait::BlockOn(runtime) => format!("let {name} = {runtime}.block_on({path}({router})){failed};"),
    }
}

/// Returns the variable for the router with accounts: the router's own, which is moved anyway, or one that the function
/// doesn't use yet.
pub fn name_for(router: &Expr, text: &str, function: &str) -> String {
    if matches!(router, Expr::Path(path) if path.path.get_ident().is_some()) {
        return text.to_owned();
    }
    let is_known = |name: &str| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        function
            .match_indices(name)
            .any(|(at, _)| !function[..at].ends_with(word) && !function[at + name.len()..].starts_with(word))
    };
    let plain = ["app", "router", "app_with_accounts"].into_iter().find(|name| !is_known(name)).map(str::to_owned);
    plain.unwrap_or_else(|| {
        let numbered = (2..).map(|number| format!("app_with_accounts_{number}"));
        numbered.into_iter().find(|name| !is_known(name)).unwrap_or_default()
    })
}
