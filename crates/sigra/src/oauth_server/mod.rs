#![doc = include_str!("../docs/oauth_server.md")]

mod authorize;
mod codes;
mod device;
mod endpoint;
mod grants;
mod handle;
mod introspect;
mod issue;
mod metadata;
mod parameters;
mod refresh;
mod refusal;
mod register;
mod response;
mod revoke;
mod token;

pub use self::{
    authorize::{AuthorizationError, AuthorizationRequest},
    device::DeviceRequest,
    handle::OauthServer,
};
pub use crate::model::{
    authorization_server::AuthorizationServer,
    oauth_client::OauthClient,
    oauth_grant::{Grant, NewGrant},
    user_code::UserCode,
};
