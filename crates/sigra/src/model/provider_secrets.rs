//! How long a flow at a provider can take, and what its secrets and tokens are encrypted for.

use std::time::Duration;

use uuid::Uuid;

/// How long a flow is valid: from the button to the callback, and while an identity waits for a browser's next step.
pub(crate) const FLOW_TTL: Duration = Duration::from_secs(10 * 60);

/// Binds a provider's tokens to the row of the identity, so that they can't be decrypted in another.
pub(crate) fn tokens_context(identity: Uuid) -> String {
    format!("provider tokens {identity}")
}
