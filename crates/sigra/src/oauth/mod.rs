#![doc = include_str!("../docs/oauth.md")]

mod apple;
mod cached;
mod error;
mod flow;
mod http;
mod id_token;
mod identities;
mod pending;
mod presets;
mod provider;
mod providers;

#[cfg(feature = "testing")]
pub use self::providers::{AuthorizationRequest, AuthorizationResponse};
pub use self::{
    error::OauthError,
    flow::{Callback, FlowError, FlowOutcome, FlowPurpose, OauthFlows},
    identities::{AddressOwner, Decision, Identities, Identity, KnownIdentity, Linked},
    pending::PendingIdentity,
    provider::{Profile, Provider},
    providers::Providers,
};
pub use crate::model::identity::{ProviderIdentity, ProviderTokens};
