//! Tests of the template that aren't generated: killed servers, two servers on one database, outages, new columns, and
//! accounts in another application.
//!
//! They are part of the template's test binary, because they use its application and its server.

mod crash;
mod first_starts;
mod installed;
mod new_columns;
#[cfg(feature = "postgres")]
mod outage;
mod two_servers;

use std::hash::{BuildHasher, Hasher, RandomState};

use my_app::{app::state, database};
use sigra::{Client, Password, testing::VALID_PASSWORD};
use tokio::runtime::Runtime;

use crate::support::settings;

/// Registers users with [`VALID_PASSWORD`], hashed with the parameters of the servers.
fn register(database_url: &str, emails: &[String]) {
    let register = async {
        let pool = database::open(database_url).await.unwrap_or_else(|error| panic!("{error}"));
        let settings = settings(&[]).expect("valid settings");
        let accounts = state(settings, pool.clone()).expect("valid settings").accounts;
        for email in emails {
            let password = Password::new(VALID_PASSWORD);
            accounts.register_user(email, &password, &Client::default()).await.expect("a new user");
        }
        pool.close().await;
    };
    Runtime::new().expect("a runtime").block_on(register);
}

/// Returns a number from the environment. `./test --long` sets larger ones.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is `{value}`")))
}

/// Returns a random number below a limit.
fn random(limit: u64) -> u64 {
    RandomState::new().build_hasher().finish() % limit
}
