#![doc = include_str!("../docs/api_tokens.md")]

pub(crate) mod look_up;
pub(crate) mod manage;
mod shown_once;

pub use self::manage::ApiTokens;
pub use crate::{
    base::api_token_problem::ApiTokenProblem,
    model::{
        api_token::ApiToken,
        new_api_token::{ApiTokenSecret, CreatedApiToken, Expiry, NewApiToken},
    },
};
