//! What the owner of the application decides about accounts.

use std::time::Duration;

// <oauth>
use sigra::oauth::Providers;
// </oauth>

/// The demo user of development. Its password is public.
pub(super) const DEMO_EMAIL: &str = "demo@example.com";
pub(super) const DEMO_PASSWORD: &str = "correct horse battery staple";

/// The decisions of the application's owner.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether visitors can register.
    pub registration_open: bool,
    /// Whether logging in requires a confirmed email address.
    pub require_confirmation: bool,
    /// Whether a visitor learns that an email address is taken. If not, its owner gets an email instead.
    pub reveal_taken_addresses: bool,
    /// Whether users get an email about a login from a new browser.
    pub notify_new_devices: bool,
    // <device_bound>
    /// Whether users get an email when a copy of their session's cookies is used.
    pub notify_stolen_sessions: bool,
    // </device_bound>
    /// Whether other users can choose the demo user's password: only in development.
    pub allow_demo_password: bool,
    /// Where users can reply to emails. `None`: no email asks for a reply.
    pub mail_reply_to: Option<String>,
    /// When to delete an account that was never confirmed or logged in to, after its registration. `None`: never.
    pub unconfirmed_ttl: Option<Duration>,
    /// How long users can get a deleted account back by logging in. `None`: it is deleted immediately.
    pub deletion_grace: Option<Duration>,
    // <passkeys>
    /// The domain that passkeys belong to. `None` turns passkeys off.
    pub passkey_domain: Option<String>,
    // </passkeys>
    // <oauth>
    /// The providers that users can log in with.
    pub providers: Providers,
    // </oauth>
}
