//! Proofs of the library and of the template, which the owner of an application doesn't get: servers that are killed,
//! several on one database, databases that go away, and accounts beside the routes of another application.
//!
//! They are a part of the template's test program, which has the application and the server that they use.

mod crash;
mod first_starts;
mod installed;
#[cfg(feature = "postgres")]
mod outage;
mod two_servers;

use std::hash::{BuildHasher, Hasher, RandomState};

use my_app::{app::state, database};
use sigra::{Client, Password, testing::VALID_PASSWORD};
use tokio::runtime::Runtime;

use crate::support::settings;

/// Registers users with [`VALID_PASSWORD`], at the cost that the servers ask of a password.
fn register(database_url: &str, emails: &[String]) {
    let register = async {
        let pool = database::open(database_url).await.unwrap_or_else(|error| panic!("{error}"));
        let settings = settings(&[]).expect("good settings");
        let accounts = state(settings, pool.clone()).expect("good settings").accounts;
        for email in emails {
            let password = Password::new(VALID_PASSWORD);
            accounts.register_user(email, &password, &Client::default()).await.expect("a new user");
        }
        pool.close().await;
    };
    Runtime::new().expect("a runtime").block_on(register);
}

/// A number of the environment: the slow proofs ask for more.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is `{value}`")))
}

/// A random number below a limit.
fn random(limit: u64) -> u64 {
    RandomState::new().build_hasher().finish() % limit
}
