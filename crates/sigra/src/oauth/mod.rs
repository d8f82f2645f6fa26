#![doc = include_str!("../docs/oauth.md")]

mod apple;
mod cached;
mod error;
mod http;
mod id_token;
mod provider;
mod providers;

pub use self::{
    error::OauthError,
    provider::{Profile, Provider},
    providers::{AuthorizationRequest, AuthorizationResponse, Providers},
};
pub use crate::model::identity::{ProviderIdentity, ProviderTokens};
