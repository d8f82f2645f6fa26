//! The handle of sessions.

use crate::{
    model::user::AuthUser,
    sigra::{Sigra, handle},
};

handle! {
    /// The sessions of users. From [`Sigra::sessions`].
    Sessions,
    /// The sessions of a user: list them, revoke them.
    sessions
}
