//! How long the rows of the OAuth server are kept.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an authorization code is valid (RFC 6749 section 4.1.2 allows ten minutes).
pub(crate) const CODE_TTL: Duration = MINUTE;

/// How long a used authorization code is kept, to notice that somebody has a copy.
pub(crate) const USED_CODE_TTL: Duration = DAY;

/// How long a device code is valid.
pub(crate) const DEVICE_CODE_TTL: Duration = MINUTE.saturating_mul(10);

/// How long a program has access, unless the settings say otherwise.
pub(crate) const GRANT_TTL: Duration = DAY.saturating_mul(90);

/// How long a registered client is kept that nobody uses.
pub(crate) const UNUSED_CLIENT_TTL: Duration = DAY.saturating_mul(90);
