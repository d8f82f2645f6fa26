//! The names of what the library tells [`tracing`]. They are part of its interface.
//!
//! Events have the target `sigra` and a field `event` with one of these names. No event and no span holds a
//! token, a hash, a cookie, a password or an email address.
//!
//! | event | level | fields | when |
//! |---|---|---|---|
//! | [`LOGIN_SUCCESS`] | info | `user_id`, `session_id`, `remembered`, and `method` (`password`, `link`, `passkey`, or what the host says) or, after a challenge, `second_factor` (`totp`, `backup_code`, `passkey`) | a user logged in |
//! | [`LOGIN_FAILURE`] | info | `user_id` (none for an unknown address) | a password was wrong |
//! | [`MFA_CHALLENGED`] | info | `user_id`, `session_id`, `method`, `remembered` | a user showed their first factor, and was asked for the second |
//! | [`MFA_FAILURE`] | info | `user_id` | a second factor was wrong |
//! | [`REAUTHENTICATION_SUCCESS`] | info | `user_id`, `session_id`, and `second_factor` if it was by one | a user proved who they are once more |
//! | [`LOGOUT`] | info | `session_id` | a user logged out |
//! | [`SESSION_RENEWED`] | info | `session_id` | a session got a new token after a change of privilege |
//! | [`SESSION_REISSUED`] | info | `session_id` | a session got a new token because of the old one's age |
//! | [`SESSION_REVOKED`] | info | `user_id`, and `session_id` or `sessions` (their number) | a device, or several, were logged out |
//! | [`SESSION_EXPIRED`] | info | `session_id` | a session was too old, idle for too long, or its user not active |
//! | [`TOKEN_REJECTED`] | info | | a token came that stands for nothing |
//! | [`TOKEN_REUSED`] | warn | `user_id`, `session_id` | a token came, to log out or in again, that had been replaced long before: somebody has a copy. Its session was ended |
//! | [`COOKIE_REJECTED`] | info | | a cookie came that is not ours, or cookies of two users |
//! | [`REQUEST_REFUSED`] | info | `reason` (`cross_origin`, `authentication_required`, `second_factor_required`, `second_factor_enrolment_required`, `sudo_required`), `method`, and as far as they are known `route`, `user_id`, `session_id`, `origin`, `sec_fetch_site`, `referer` (without its path) | a request was refused, or led to the page where its sender can show what is missing |
//! | [`RATE_LIMITED`] | info | `limit` (`account`, `address` or `live`), with `live` also `session_id` | something was tried too often, or there are too many live connections |
//! | [`MAIL_SENT`] | info | `subject` | the mail server took a mail |
//! | [`MAIL_DELAYED`] | warn | `subject`, `error` | the mail server failed, and is tried again |
//! | [`MAIL_FAILED`] | error | `subject` (if there is one), `error` | a mail was given up |
//! | [`LIVE_ENDED`] | info | `session_id` | a session's live connections were ended |
//! | [`TOKENS_PURGED`] | info | `purged` (their number) | expired rows were deleted in the background |
//! | [`CACHE_BYPASSED`] | warn on PostgreSQL, info on SQLite | `reason` | scopes are not kept, the database is asked at every request |
//! | [`CACHE_RESUMED`] | info | | scopes are kept from now on |
//!
//! Spans, at level debug: `sigra.fetch_current_scope`, `sigra.verify_password`, `sigra.log_in`,
//! `sigra.log_out`.

/// A user logged in.
pub const LOGIN_SUCCESS: &str = "auth.login.success";
/// A password was wrong, or there is no such user.
pub const LOGIN_FAILURE: &str = "auth.login.failure";
/// A user showed their first factor, and was asked for the second.
pub const MFA_CHALLENGED: &str = "auth.mfa.challenged";
/// A second factor was wrong.
pub const MFA_FAILURE: &str = "auth.mfa.failure";
/// A user proved who they are once more.
pub const REAUTHENTICATION_SUCCESS: &str = "auth.reauthentication.success";
/// A user logged out.
pub const LOGOUT: &str = "auth.logout";
/// A session got a new token after a change of privilege.
pub const SESSION_RENEWED: &str = "auth.session.renewed";
/// A session got a new token because of the old one's age.
pub const SESSION_REISSUED: &str = "auth.session.reissued";
/// Sessions were deleted from elsewhere than their own browser.
pub const SESSION_REVOKED: &str = "auth.session.revoked";
/// A session was too old, idle for too long, or its user no longer active.
pub const SESSION_EXPIRED: &str = "auth.session.expired";
/// A token came that stands for nothing.
pub const TOKEN_REJECTED: &str = "auth.token.rejected";
/// A token came, to log out or in again, that had been replaced long before. Either who sent it, or who goes on with its
/// successor, has a copy: the session was ended (RFC 9700 section 4.14).
pub const TOKEN_REUSED: &str = "auth.token.reused";
/// A cookie came whose signature is not ours, or good cookies of two users.
pub const COOKIE_REJECTED: &str = "auth.cookie.rejected";
/// A request was refused: it came from another origin, or its sender has not shown what the route asks for.
pub const REQUEST_REFUSED: &str = "auth.request.refused";
/// Something was tried too often.
pub const RATE_LIMITED: &str = "auth.rate_limited";
/// The mail server took a mail.
pub const MAIL_SENT: &str = "mail.sent";
/// The mail server failed, and is tried again.
pub const MAIL_DELAYED: &str = "mail.delayed";
/// A mail was given up.
pub const MAIL_FAILED: &str = "mail.failed";
/// A session's live connections were ended.
pub const LIVE_ENDED: &str = "auth.live.ended";
/// Expired rows were deleted in the background.
pub const TOKENS_PURGED: &str = "auth.tokens.purged";
/// Scopes are not kept in memory: it is not certain that a revocation would be noticed.
pub const CACHE_BYPASSED: &str = "auth.cache.bypassed";
/// Scopes are kept in memory from now on.
pub const CACHE_RESUMED: &str = "auth.cache.resumed";
