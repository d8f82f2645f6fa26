//! The names of the events that the library logs with [`tracing`]. They are part of its public API.
//!
//! Events have the target `sigra`, and a field `event` with one of these names. No event or span has a token, a hash, a
//! cookie, a password or an email address.
//!
//! | event | level | fields | when |
//! |---|---|---|---|
//! | [`LOGIN_SUCCESS`] | info | `user_id`, `session_id`, `remembered`, and `method` (`password`, `link`, `passkey`, `provider`, or what the host says; with `provider`, also its name as `provider`) or, after a challenge, `second_factor` (`totp`, `backup_code`, `passkey`) | a user logged in |
//! | [`LOGIN_FAILURE`] | info | `user_id` (none for an unknown address) | a password was wrong |
//! | [`MFA_CHALLENGED`] | info | `user_id`, `session_id`, `method` and `provider` as above, `remembered` | the first factor was right, and the second is pending |
//! | [`MFA_FAILURE`] | info | `user_id` | a second factor was wrong |
//! | [`REAUTHENTICATION_SUCCESS`] | info | `user_id`, `session_id`, and `second_factor` if it was by one | a user reauthenticated |
//! | [`OAUTH_FAILURE`] | info | `provider`, `reason` (such as `access_denied`, `unknown_flow`, `nonce`) | a login at a provider failed |
//! | [`LOGOUT`] | info | `session_id` | a user logged out |
//! | [`SESSION_RENEWED`] | info | `session_id` | a session got a new token after a change of privilege |
//! | [`SESSION_REISSUED`] | info | `session_id` | a session got a new token because of the old one's age |
//! | [`SESSION_REVOKED`] | info | `user_id`, and `session_id` or `sessions` (their number) | one session was ended by its id, or several sessions were |
//! | [`SESSION_EXPIRED`] | info | `session_id` | a session was too old, idle for too long, or its user not active |
//! | [`TOKEN_REJECTED`] | info | | a presented token has no row |
//! | [`TOKEN_REUSED`] | warn | `user_id`, `session_id` or `grant_id` | a token that was replaced long before was presented to log out, to log in again or to refresh, or an authorization code came twice, so somebody has a copy. The session or the program's access was ended |
//! | [`PROGRAM_AUTHORIZED`] | info | `user_id`, `grant_id`, `client_id` | a program got its first tokens from the OAuth server |
//! | [`PROGRAM_REVOKED`] | info | `user_id`, `grant_id` | a user, or the program itself, ended its access |
//! | [`PROGRAM_REFUSED`] | info | `reason` (such as `wrong_secret`, `unknown_client`, `wrong_verifier`, or the error of the response), `client_id` if the client is known | an endpoint of the OAuth server refused a program. Not while the program waits for its user |
//! | [`PROGRAM_REGISTERED`] | info | `client_id` | a program registered itself as a client of the OAuth server |
//! | [`COOKIE_REJECTED`] | info | | a cookie has an invalid signature, or there are valid cookies of two users |
//! | [`REQUEST_REFUSED`] | info | `reason` (`cross_origin`, `authentication_required`, `second_factor_required`, `second_factor_enrollment_required`, `sudo_required`, `binding_required`, `uri_too_long`, and of bearer tokens `invalid_token`, `invalid_request`, `insufficient_scope`), `method`, and as far as they are known `route`, `user_id`, `session_id`, `token_id`, `origin`, `sec_fetch_site`, `referer` (without its path) | a request was refused, or redirected to the page where the user can present what is missing |
//! | [`RATE_LIMITED`] | info | `limit` (`account`, `address` or `live`), with `live` also `session_id` | there were too many attempts, or there are too many live connections |
//! | [`BINDING_REGISTERED`] | info | `user_id`, `session_id` | a session was bound to a device |
//! | [`BINDING_REFUSED`] | info | `session_id`, `purpose` (`registration`, `refresh`), `reason` (`no_proof`, `malformed`, `audience`, `challenge`, `used`, `signature`, `bound_already`, `host`) | a browser could not bind a session, or could not prove its key |
//! | [`BINDING_MISSING`] | info | `user_id`, `session_id`, `mode` (`report`, `enforce`), `reason` (`absent`, `invalid`, `expired`, `unbound`), and `skipped` if the browser says why (`unreachable`, `server_error`, `quota_exceeded`, `other`) or needn't renew it (`excluded`) | a request of a bound session came without its bound cookie, or one of a user who must be bound came in an unbound session |
//! | [`USED_WITHOUT_KEY`] | warn | `user_id`, `session_id` | the token of a bound session was used without the key, and its browser gave no reason: somebody may have a copy. It is logged once for each session |
//! | [`MAIL_SENT`] | info | `subject` | the mail server accepted an email |
//! | [`MAIL_DELAYED`] | warn, and error after the quick retries | `subject`, `error` | the mail server failed, and sending is retried |
//! | [`MAIL_FAILED`] | error | `subject` (if there is one), `error` | an email was not sent, and won't be retried |
//! | [`LIVE_ENDED`] | info | `session_id` | a session's live connections were ended |
//! | [`TOKENS_PURGED`] | info | `purged` (their number) | expired rows were deleted in the background |
//! | [`CACHE_BYPASSED`] | warn on PostgreSQL, info on SQLite | `reason` | scopes are not cached, and every request queries the database |
//! | [`CACHE_RESUMED`] | info | | scopes are cached from now on |
//!
//! Spans, at level debug: `sigra.fetch_current_scope` (unless the scope is cached), `sigra.verify_password`,
//! `sigra.log_in`, `sigra.log_out`.

/// A user logged in.
pub const LOGIN_SUCCESS: &str = "auth.login.success";
/// A password was wrong, or there is no such user.
pub const LOGIN_FAILURE: &str = "auth.login.failure";
/// The first factor was right, and the second is pending.
pub const MFA_CHALLENGED: &str = "auth.mfa.challenged";
/// A second factor was wrong.
pub const MFA_FAILURE: &str = "auth.mfa.failure";
/// A user reauthenticated.
pub const REAUTHENTICATION_SUCCESS: &str = "auth.reauthentication.success";
/// A login at a provider failed.
pub const OAUTH_FAILURE: &str = "auth.oauth.failure";
/// A user logged out.
pub const LOGOUT: &str = "auth.logout";
/// A session got a new token after a change of privilege.
pub const SESSION_RENEWED: &str = "auth.session.renewed";
/// A session got a new token because of the old one's age.
pub const SESSION_REISSUED: &str = "auth.session.reissued";
/// One session was ended by its id, or several sessions were.
pub const SESSION_REVOKED: &str = "auth.session.revoked";
/// A session was too old, idle for too long, or its user no longer active.
pub const SESSION_EXPIRED: &str = "auth.session.expired";
/// A presented token has no row.
pub const TOKEN_REJECTED: &str = "auth.token.rejected";
/// A token that was replaced long before was presented to log out or to log in again. Either its sender or the client
/// that uses its successor has a copy, so the session was ended (RFC 9700 section 4.14).
pub const TOKEN_REUSED: &str = "auth.token.reused";
/// A program got its first tokens from the OAuth server.
pub const PROGRAM_AUTHORIZED: &str = "auth.program.authorized";
/// A user, or the program itself, ended its access.
pub const PROGRAM_REVOKED: &str = "auth.program.revoked";
/// An endpoint of the OAuth server refused a program.
pub const PROGRAM_REFUSED: &str = "auth.program.refused";
/// A program registered itself as a client of the OAuth server.
pub const PROGRAM_REGISTERED: &str = "auth.program.registered";
/// A cookie has an invalid signature, or there are valid cookies of two users.
pub const COOKIE_REJECTED: &str = "auth.cookie.rejected";
/// A request was refused, because it came from another origin or didn't present what the route requires.
pub const REQUEST_REFUSED: &str = "auth.request.refused";
/// There were too many attempts.
pub const RATE_LIMITED: &str = "auth.rate_limited";
/// A session was bound to a device.
pub const BINDING_REGISTERED: &str = "auth.binding.registered";
/// A browser could not bind a session, or could not prove its key.
pub const BINDING_REFUSED: &str = "auth.binding.refused";
/// A request of a bound session came without its bound cookie.
pub const BINDING_MISSING: &str = "auth.binding.missing";
/// The token of a bound session was used without the key, so somebody may have a copy.
pub const USED_WITHOUT_KEY: &str = "auth.binding.used_without_key";
/// The mail server accepted an email.
pub const MAIL_SENT: &str = "mail.sent";
/// The mail server failed, and sending is retried.
pub const MAIL_DELAYED: &str = "mail.delayed";
/// An email was not sent, and won't be retried.
pub const MAIL_FAILED: &str = "mail.failed";
/// A session's live connections were ended.
pub const LIVE_ENDED: &str = "auth.live.ended";
/// Expired rows were deleted in the background.
pub const TOKENS_PURGED: &str = "auth.tokens.purged";
/// Scopes are not cached, because a revocation might not be noticed.
pub const CACHE_BYPASSED: &str = "auth.cache.bypassed";
/// Scopes are cached from now on.
pub const CACHE_RESUMED: &str = "auth.cache.resumed";
