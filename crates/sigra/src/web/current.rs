//! The user and the session of a request, as found by the layer.

use http::Extensions;

use crate::{
    browser::cookie_session::CookieSession,
    model::{
        scope::{Clearance, Scope},
        user::AuthUser,
    },
    sigra::Sigra,
};

/// What the layer found, for the extractors.
pub(crate) struct Current<U: AuthUser> {
    pub sigra: Sigra<U>,
    /// The scope of the session, whatever its clearance.
    pub found: Option<Scope<U>>,
}

impl<U: AuthUser> Clone for Current<U> {
    fn clone(&self) -> Self {
        Self { sigra: self.sigra.clone(), found: self.found.clone() }
    }
}

impl<U: AuthUser> Current<U> {
    /// Inserts what the extractors need.
    pub fn provide(extensions: &mut Extensions, sigra: &Sigra<U>, session: &CookieSession, found: Option<Scope<U>>) {
        if let Some(scope) = &found {
            session.let_in_under(scope.session().id);
        }
        extensions.insert(session.clone());
        extensions.insert(Self { sigra: sigra.clone(), found });
    }

    /// Returns whether an outer layer has already looked up the scope.
    pub fn is_known(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }

    /// Returns the scope of a user who is fully logged in, with a second factor if one is required.
    pub fn scope(&self) -> Option<&Scope<U>> {
        self.with_clearance(Clearance::Full)
    }

    pub fn with_clearance(&self, clearance: Clearance) -> Option<&Scope<U>> {
        self.found.as_ref().filter(|scope| scope.clearance() == clearance)
    }

    pub fn is_recent(&self, scope: &Scope<U>) -> bool {
        scope.session().authenticated_within(self.sigra.parts.config.sudo_ttl, self.sigra.now())
    }
}
