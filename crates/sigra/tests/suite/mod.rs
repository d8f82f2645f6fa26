//! Every test is written once and runs on every database. Their differences are in the module `database` of the
//! crate's root.

mod api_tokens;
mod audit;
pub mod authenticator;
mod beside;
mod bigint_ids;
mod cache;
mod cookie_session;
mod device_bound;
mod email_tokens;
mod extractors;
mod forged_cookies;
mod hanging_up;
pub mod host;
mod idempotency;
mod isolation;
mod late_responses;
mod limits;
mod live;
mod many_cookies;
mod members;
mod mfa_host;
mod model;
mod oauth;
mod oauth_host;
mod outbox;
pub mod passkeys;
mod proxies_and_origin;
mod races;
mod recovery;
mod reencryption;
mod second_factor;
mod sessions;
mod telemetry;
mod unreadable_rows;
mod wrong_clocks;
