//! The handle of second factors.

use crate::{
    model::user::AuthUser,
    sigra::{Sigra, handle},
};

handle! {
    /// Second factors. From [`Sigra::mfa`].
    Mfa,
    /// [Second factors](crate::mfa): enrol, challenge, disable.
    mfa
}
