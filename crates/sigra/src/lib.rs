//! placeholder
#![forbid(unsafe_code)]

pub mod client;
mod clock;
pub mod config;
mod error;
pub mod live;
mod origin;
pub mod password;
mod problem;
pub mod scope;
mod secret;
pub mod session;
mod sigra;
pub mod store;
pub mod token;
mod user;

pub use self::{
    client::Client,
    clock::Clock,
    config::{Config, ConfigError},
    error::Error,
    password::{Password, Verification},
    problem::{Audience, Problem},
    scope::{Scope, Sudo},
    secret::{MIN_SECRET_LEN, SecretKeyBase, SecretKeyBaseError},
    session::{Flash, Session},
    sigra::{Revoked, Sigra},
    store::{SessionId, SessionRow},
    token::{SessionToken, TokenHash},
    user::{HashedPassword, User},
};
