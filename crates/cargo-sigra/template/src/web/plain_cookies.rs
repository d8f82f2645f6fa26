//! Cookies that prove nothing, so they aren't signed: a browser can send any value. Scripts can't read them.

use axum::{
    http::{HeaderMap, HeaderName, header},
    response::AppendHeaders,
};

use crate::config::{AppEnv, Settings};

pub struct PlainCookie {
    pub name: &'static str,
    /// The browser sends it only to pages below.
    pub path: &'static str,
    /// In seconds.
    pub max_age: u32,
}

impl PlainCookie {
    /// Returns the value that the browser sent.
    pub fn read<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name).map(|(_, value)| value)
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
        let secure = if settings.app_env == AppEnv::Prod { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Path={path}; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
        AppendHeaders([(header::SET_COOKIE, cookie)])
    }
}
