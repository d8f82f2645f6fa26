//! Cookies that prove nothing, so they aren't signed: a browser can send any value. Scripts can't read them.

use axum::{
    http::{HeaderMap, HeaderName, header},
    response::AppendHeaders,
};

use crate::config::{AppEnv, Settings};

pub struct UnsignedCookie {
    /// Without the prefix that it has in production.
    pub name: &'static str,
    /// The browser sends it only to pages below.
    pub path: &'static str,
    /// In seconds.
    pub max_age: u32,
}

impl UnsignedCookie {
    /// Returns the value that the browser sent.
    pub fn read<'a>(&self, headers: &'a HeaderMap, app_env: AppEnv) -> Option<&'a str> {
        let prefix = self.prefix(app_env);
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| name.strip_prefix(prefix) == Some(self.name)).map(|(_, value)| value)
    }

    /// Returns the header that sets it.
    pub fn set(&self, value: &str, settings: &Settings) -> AppendHeaders<[(HeaderName, String); 1]> {
        self.with_max_age(value, self.max_age, settings)
    }

    // <languages>
    /// Returns the header that deletes it.
    pub fn delete(&self, settings: &Settings) -> AppendHeaders<[(HeaderName, String); 1]> {
        self.with_max_age("", 0, settings)
    }
    // </languages>

    fn with_max_age(&self, value: &str, max_age: u32, settings: &Settings) -> AppendHeaders<[(HeaderName, String); 1]> {
        let Self { name, path, .. } = self;
        let prefix = self.prefix(settings.app_env);
        let secure = if settings.app_env == AppEnv::Prod { "; Secure" } else { "" };
        let cookie = format!("{prefix}{name}={value}; Path={path}; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
        AppendHeaders([(header::SET_COOKIE, cookie)])
    }

    /// Browsers accept a cookie with a prefix only over HTTPS. With `__Host-`, only this exact host can set it, for all
    /// of its paths (RFC 6265bis section 4.1.3).
    fn prefix(&self, app_env: AppEnv) -> &'static str {
        match (app_env, self.path) {
            (AppEnv::Prod, "/") => "__Host-",
            (AppEnv::Prod, _) => "__Secure-",
            (AppEnv::Dev | AppEnv::Test, _) => "",
        }
    }
}
