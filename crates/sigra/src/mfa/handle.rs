//! The handle for second factors.

use crate::{
    model::user::AuthUser,
    sigra::{Sigra, handle},
};

handle! {
    /// Sets up, presents and removes second factors. Returned by [`Sigra::mfa`].
    Mfa,
    /// Returns the handle for [second factors](crate::mfa): set them up, present them, remove them.
    mfa
}
