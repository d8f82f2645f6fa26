//! Who sends a request, as the layer has found out.

use http::{Extensions, request::Parts};

use crate::{
    model::{
        scope::{Clearance, Scope},
        user::AuthUser,
    },
    sigra::Sigra,
    web::{
        deferred::Deferred,
        rejection::{MissingLayer, ScopeRejection, SessionRejection},
    },
};

/// What the layer found out, for the extractors.
pub(crate) struct Current<U: AuthUser> {
    pub sigra: Sigra<U>,
    /// Whose session it is, however far it goes.
    pub found: Option<Scope<U>>,
}

impl<U: AuthUser> Clone for Current<U> {
    fn clone(&self) -> Self {
        Self { sigra: self.sigra.clone(), found: self.found.clone() }
    }
}

impl<U: AuthUser> Current<U> {
    /// Who it is, for an argument that the handler is not called without.
    pub(crate) async fn of(parts: &mut Parts, argument: &'static str) -> Result<Self, SessionRejection> {
        if let Some(current) = parts.extensions.get::<Self>() {
            return Ok(current.clone());
        }
        Self::deferred(parts, argument)?.ask(parts).await
    }

    /// The same for an argument that may be nobody.
    pub(crate) async fn if_any(parts: &mut Parts, argument: &'static str) -> Result<Option<Self>, SessionRejection> {
        if let Some(current) = parts.extensions.get::<Self>() {
            return Ok(Some(current.clone()));
        }
        Self::deferred(parts, argument)?.ask_if_any(parts).await
    }

    fn deferred(parts: &Parts, argument: &'static str) -> Result<Deferred<U>, MissingLayer> {
        parts.extensions.get::<Deferred<U>>().cloned().ok_or(MissingLayer(argument))
    }

    /// Whether an outer layer has found out.
    pub fn is_known(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }

    /// Who is logged in, with all factors that are asked of them.
    pub fn scope(&self) -> Option<&Scope<U>> {
        self.with_clearance(Clearance::Full)
    }

    pub fn with_clearance(&self, clearance: Clearance) -> Option<&Scope<U>> {
        self.found.as_ref().filter(|scope| scope.clearance() == clearance)
    }

    /// The same, or why a handler that asks for it is not called.
    pub fn require(&self, parts: &Parts) -> Result<Scope<U>, ScopeRejection> {
        self.scope().cloned().ok_or_else(|| ScopeRejection::of(self, parts))
    }

    pub fn is_recent(&self, scope: &Scope<U>) -> bool {
        scope.session().authenticated_within(self.sigra.parts.config.sudo_ttl, self.sigra.now())
    }
}
