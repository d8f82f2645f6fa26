//! What every server of the comparison is told through its environment, and how those in Rust serve.
//!
//! The servers in other languages read the same variables. The peers in Rust include this file: they can't
//! depend on this crate, for theirs is another sqlx.

use std::{env, error::Error, net::Ipv4Addr};

use axum::{Router, serve::ListenerExt};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// A hash of the shape that every library keeps for a user. Nobody knows its password: the servers log users
/// in by number, for what is measured comes after.
pub const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$8YyAwfqaLBa2LwpV0fZ2a6MUWh0HXGHx0AgFbLkQmRk";

pub struct Settings {
    /// The path of an SQLite file that does not exist yet, or the URL of an empty PostgreSQL database.
    pub database: String,
    /// How many users there are: `user1@example.com` and so on.
    pub users: u32,
    /// How many sessions there are besides those that are logged in for the load.
    pub sessions: u32,
    /// The most connections to the database.
    pub pool: u32,
    port: u16,
}

impl Settings {
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            database: env::var("DATABASE").unwrap_or_default(),
            users: number("USERS")?.try_into()?,
            sessions: number("SESSIONS")?.try_into()?,
            pool: number("POOL")?.try_into()?,
            port: number("PORT")?.try_into()?,
        })
    }

    /// Serves until the process is ended.
    pub async fn serve(&self, app: Router) -> Result<()> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        // An error here only costs time.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        Ok(axum::serve(listener, app).await?)
    }
}

/// The address of a user.
pub fn email(number: u32) -> String {
    format!("user{number}@example.com")
}

fn number(variable: &str) -> Result<u64> {
    let text = env::var(variable).map_err(|error| format!("{variable}: {error}"))?;
    Ok(text.parse().map_err(|error| format!("{variable} is `{text}`: {error}"))?)
}
