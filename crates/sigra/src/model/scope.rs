//! The scope: the user and the session of a request, and what the user has presented.

use std::{any::Any, fmt, sync::Arc};

use time::OffsetDateTime;

#[cfg(feature = "device-bound")]
use crate::model::binding::Binding;
use crate::model::{
    log_in::LoginMethod,
    session::{SessionRow, Standing},
    user::AuthUser,
};

/// A logged-in user and their session.
///
/// As an argument of a handler, it requires a login: a visitor is redirected to the login page and back, a program gets
/// a 401. As `Option<Scope<User>>`, it is `None` for visitors.
///
/// ```
/// # use sigra::doctest::User;
/// use sigra::Scope;
///
/// async fn dashboard(scope: Scope<User>) -> String {
///     format!("Hello {}", scope.user().email)
/// }
///
/// async fn home(scope: Option<Scope<User>>) -> &'static str {
///     if scope.is_some() { "Welcome back" } else { "Welcome" }
/// }
/// ```
pub struct Scope<U: AuthUser>(Arc<Inner<U>>);

#[derive(Clone)]
struct Inner<U> {
    user: U,
    session: SessionRow,
}

impl<U: AuthUser> Scope<U> {
    pub(crate) fn new(user: U, session: SessionRow) -> Self {
        Self(Arc::new(Inner { user, session }))
    }

    /// Notes when the session was used.
    pub(crate) fn note_use(&mut self, now: OffsetDateTime) {
        Arc::make_mut(&mut self.0).session.last_used_at = now;
    }

    /// Notes when the browser presented the bound cookie.
    #[cfg(feature = "device-bound")]
    pub(crate) fn confirm_binding(&mut self, now: OffsetDateTime) {
        if let Some(binding) = &mut Arc::make_mut(&mut self.0).session.binding {
            binding.confirmed_at = Some(now);
        }
    }

    /// Returns the scope without its type, for the extensions of a request.
    pub(crate) fn into_any(self) -> Arc<dyn Any + Send + Sync> {
        self.0
    }

    pub(crate) fn from_any(scope: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        scope.downcast().ok().map(Self)
    }

    /// Returns the user, as the database has them at this request.
    #[must_use]
    pub fn user(&self) -> &U {
        &self.0.user
    }

    /// Returns the session.
    #[must_use]
    pub fn session(&self) -> &SessionRow {
        &self.0.session
    }

    /// Returns the device that the session is bound to. `None` if it isn't bound.
    ///
    /// Unless bindings are only [reported](crate::config::BindingMode::Report), the device has proved its key in the
    /// last [10 minutes](crate::config::DeviceBound::ttl), or was bound less than a minute ago, or less than five
    /// minutes if it never presented its bound cookie.
    #[cfg(feature = "device-bound")]
    #[must_use]
    pub fn binding(&self) -> Option<&Binding> {
        self.0.session.binding.as_ref()
    }
}

impl<U: AuthUser> Clone for Scope<U> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Shows the session's id, and nothing of the user.
impl<U: AuthUser> fmt::Debug for Scope<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("session", &self.0.session.id).finish_non_exhaustive()
    }
}

/// The session of a token with its user, whatever its clearance, and how the token relates to it.
#[derive(Clone, Debug)]
pub struct Found<U: AuthUser> {
    /// The session and the user.
    pub scope: Scope<U>,
    /// How the token relates to the session.
    pub standing: Standing,
}

/// A user who authenticated within [`sudo_ttl`](crate::Config::sudo_ttl), with their second factor if they have one.
///
/// OWASP ASVS 7.5.1 requires that before a sensitive change. Other users are redirected to the sudo page. As
/// `Option<Sudo<User>>`, it is `None` for them and for visitors, without a redirect and without a message.
///
/// ```
/// # use sigra::doctest::User;
/// use sigra::{Scope, Sudo};
///
/// async fn delete_account(sudo: Sudo<User>) -> String {
///     format!("Deleted {}", sudo.user().id)
/// }
///
/// async fn settings(_: Scope<User>, sudo: Option<Sudo<User>>) -> &'static str {
///     if sudo.is_some() { "Delete your account" } else { "Confirm it's you to delete your account" }
/// }
/// ```
///
/// It proves this only as an argument of a handler. If you construct one, nothing checks when the user authenticated.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "it is an extractor: handlers take it apart")]
pub struct Sudo<U: AuthUser>(pub Scope<U>);

impl<U: AuthUser> Sudo<U> {
    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> &U {
        self.0.user()
    }

    /// Returns the user and their session.
    #[must_use]
    pub fn scope(&self) -> &Scope<U> {
        &self.0
    }
}

/// Like [`Sudo`], but the session must also be bound to a device, and the request must have a valid bound cookie, in
/// every [mode](crate::config::BindingMode), and also in the first minute after the session was bound. Other requests
/// get 403: the user must use a browser that supports [device-bound sessions](crate::device_bound).
///
/// ```
/// # use sigra::doctest::User;
/// use sigra::scope::BoundSudo;
///
/// async fn pay_out(sudo: BoundSudo<User>) -> String {
///     format!("Paid out by {}", sudo.user().id)
/// }
/// ```
///
/// Like [`Sudo`], it proves this only as an argument of a handler.
#[cfg(feature = "device-bound")]
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "it is an extractor: handlers take it apart")]
pub struct BoundSudo<U: AuthUser>(pub Scope<U>);

#[cfg(feature = "device-bound")]
impl<U: AuthUser> BoundSudo<U> {
    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> &U {
        self.0.user()
    }

    /// Returns the user and their session.
    #[must_use]
    pub fn scope(&self) -> &Scope<U> {
        &self.0
    }
}

/// What a session allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clearance {
    /// The user is logged in.
    Full,
    /// The user must present their second factor, and can do nothing else.
    ChallengePending,
    /// The user must set up a second factor, and can do nothing else.
    EnrollmentRequired,
}

impl Clearance {
    pub fn of<U: AuthUser>(user: &U, session: &SessionRow) -> Self {
        if session.mfa_pending {
            Self::ChallengePending
        } else if session.mfa_verified_at.is_none() && user.requires_second_factor() {
            Self::EnrollmentRequired
        } else {
            Self::Full
        }
    }
}

impl<U: AuthUser> Scope<U> {
    pub(crate) fn clearance(&self) -> Clearance {
        Clearance::of(self.user(), self.session())
    }
}

/// A user whose second factor is pending. Use it only for the pages of the challenge.
///
/// ```
/// # use sigra::doctest::User;
/// use sigra::mfa::MfaChallenge;
///
/// async fn new(challenge: MfaChallenge<User>) -> String {
///     format!("Enter the code of your authenticator app, {}.", challenge.user().email)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct MfaChallenge<U: AuthUser>(pub(crate) Scope<U>);

impl<U: AuthUser> MfaChallenge<U> {
    /// Returns the user, who has presented only their first factor.
    #[must_use]
    pub fn user(&self) -> &U {
        self.0.user()
    }

    /// Returns the first factor that they presented. `None` if the session was created without a browser.
    #[must_use]
    pub fn method(&self) -> Option<LoginMethod> {
        self.0.session().authenticated_by
    }
}

/// A user who authenticated recently, and can set up a second factor.
///
/// They are logged in, or [must have a second factor](AuthUser::requires_second_factor) and can do nothing else until
/// they have set one up.
///
/// ```
/// # use sigra::doctest::User;
/// use axum::{extract::State, response::Html};
/// use sigra::{CookieSession, Sigra, mfa::MfaEnrollment};
///
/// async fn new(
///     State(sigra): State<Sigra<User>>,
///     session: CookieSession,
///     enrollment: MfaEnrollment<User>,
/// ) -> sigra::Result<Html<String>> {
///     let user = enrollment.scope().user();
///     let totp = sigra.mfa().begin_totp(&session, user, &user.email)?;
///     Ok(Html(format!("{} or type {}", totp.qr_code(), *totp.manual_key())))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct MfaEnrollment<U: AuthUser>(pub(crate) Scope<U>);

impl<U: AuthUser> MfaEnrollment<U> {
    /// Returns the user and their session.
    #[must_use]
    pub fn scope(&self) -> &Scope<U> {
        &self.0
    }

    /// Returns whether the user can do nothing else until they have set up a second factor.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.0.clearance() == Clearance::EnrollmentRequired
    }
}
