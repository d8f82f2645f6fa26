//! The URL of the database.

// <sqlite>
use std::borrow::Cow;
// </sqlite>

use url::Url;
// <sqlite>
use url::form_urlencoded;
// </sqlite>

/// The database of development.
// <template>
#[cfg(feature = "postgres")]
pub const DEFAULT_URL: &str = "postgres://localhost/my_app_dev";
#[cfg(not(feature = "postgres"))]
pub const DEFAULT_URL: &str = "sqlite://my_app_dev.db";
// </template>
// <!template>
// <postgres>
// pub const DEFAULT_URL: &str = "postgres://localhost/my_app_dev";
// </postgres>
// <sqlite>
// pub const DEFAULT_URL: &str = "sqlite://my_app_dev.db";
// </sqlite>
// </!template>

// <sqlite>
/// Accepts the path of an SQLite file, such as `app.db`, as a URL.
// <template>
#[cfg(not(feature = "postgres"))]
// </template>
pub fn from_path(url: &str) -> Cow<'_, str> {
    if !url.contains(':') || url == ":memory:" { format!("sqlite://{url}").into() } else { url.into() }
}

// <template>
/// PostgreSQL has no file paths.
#[cfg(feature = "postgres")]
pub fn from_path(url: &str) -> Cow<'_, str> {
    url.into()
}
// </template>

/// Returns whether SQLite would keep the data in memory, or in a temporary file.
pub fn is_in_memory(url: &str) -> bool {
    let url = from_path(url);
    let Some(rest) = url.strip_prefix("sqlite:") else { return false };
    let (file, params) = rest.split_once('?').unwrap_or((rest, ""));
    let is_of_memory = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
        matches!((&*name, &*value), ("mode", "memory") | ("vfs", "memdb"))
    };
    let file = file.trim_start_matches("//");
    file.is_empty() || file.contains(":memory:") || form_urlencoded::parse(params.as_bytes()).any(is_of_memory)
}
// </sqlite>

/// Returns a URL without passwords, which may be before the host or in the parameters.
pub fn without_secrets(url: &str) -> String {
    if !url.contains(['@', '?']) {
        return url.to_owned();
    }
    let Ok(mut shown) = Url::parse(url) else { return "***".to_owned() };
    if shown.password().is_some() && shown.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    if shown.query().is_some() {
        shown.set_query(Some("***"));
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    // <sqlite>
    use super::is_in_memory;
    // </sqlite>
    use super::without_secrets;

    // <sqlite>
    #[test]
    fn databases_in_memory_are_recognized() {
        let in_memory = ["sqlite::memory:", "sqlite://:memory:", "sqlite://a.db?mode=memory", "sqlite:file::memory:"];
        for url in in_memory.into_iter().chain(["sqlite:", "sqlite://", "sqlite://a?cache=shared&mode=memory"]) {
            assert!(is_in_memory(url), "{url}");
        }
        for url in ["sqlite://memory.db", "sqlite:///a.db?mode=rwc", "postgres://localhost/memory"] {
            assert!(!is_in_memory(url), "{url}");
        }
    }
    // </sqlite>

    #[test]
    fn a_url_is_shown_without_secrets() {
        for (url, shown) in [
            ("sqlite://my_app_dev.db", "sqlite://my_app_dev.db"),
            ("postgres://ada@localhost/my_app", "postgres://ada@localhost/my_app"),
            ("postgres://ada:secret@localhost/my_app", "postgres://ada:***@localhost/my_app"),
            ("postgres://localhost/my_app?password=secret", "postgres://localhost/my_app?***"),
            ("postgres://ada:secret@local host/my_app", "***"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
