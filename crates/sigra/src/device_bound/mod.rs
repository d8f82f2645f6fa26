#![doc = include_str!("../docs/device_bound.md")]

pub(crate) mod handle;
mod proof;
pub(crate) mod response;
mod routes;

pub use self::{
    handle::{DeviceBinding, Watch},
    response::{BindingResponse, BoundSession, SessionChallenge},
};
pub use crate::model::{binding::Binding, device_bound::UsedWithoutKey};
