//! The handle for sessions.

use crate::{
    model::user::AuthUser,
    sigra::{Sigra, handle},
};

handle! {
    /// Lists and revokes the sessions of users. Returned by [`Sigra::sessions`].
    Sessions,
    /// Returns the handle for the sessions of users: list them, revoke them.
    sessions
}
