//! The user and the session of a request, as found by the layer.

use std::{any::Any, sync::Arc};

use http::Extensions;

use crate::{
    browser::cookie_session::CookieSession,
    model::{
        scope::{Clearance, Scope},
        user::AuthUser,
    },
    sigra::{Parts, Sigra},
};

/// What a layer found. Its type is the same for all types of user, so that one value in the extensions is enough.
#[derive(Clone)]
struct Found {
    session: CookieSession,
    /// A [`Scope`] of the layer's type of user.
    scope: Option<Arc<dyn Any + Send + Sync>>,
    /// What an outer layer for another type of user found.
    outer: Option<Arc<Found>>,
}

impl Found {
    /// Returns what the layer for this type of user found.
    fn of<U: AuthUser>(&self) -> Option<&Self> {
        let parts: &dyn Any = &**self.session.parts();
        if parts.is::<Parts<U>>() { Some(self) } else { self.outer.as_ref()?.of::<U>() }
    }
}

/// What the layer found, for the extractors.
pub(crate) struct Current<U: AuthUser> {
    pub sigra: Sigra<U>,
    /// The scope of the session, whatever its clearance.
    pub found: Option<Scope<U>>,
}

impl<U: AuthUser> Current<U> {
    /// Inserts what the extractors need.
    pub fn provide(extensions: &mut Extensions, session: &CookieSession, found: Option<Scope<U>>) {
        if let Some(scope) = &found {
            session.note_authenticated(scope.session().id);
        }
        let outer = extensions.get::<Found>().cloned().map(Arc::new);
        extensions.insert(Found { session: session.clone(), scope: found.map(Scope::into_any), outer });
    }

    /// Returns whether an outer layer has already looked up the scope.
    pub fn is_known(extensions: &Extensions) -> bool {
        extensions.get::<Found>().is_some_and(|found| found.of::<U>().is_some())
    }

    /// Returns what a layer for this type of user has found.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let found = extensions.get::<Found>()?.of::<U>()?;
        let parts: Arc<dyn Any + Send + Sync> = found.session.parts().clone();
        Some(Self {
            sigra: Sigra { parts: parts.downcast().ok()? },
            found: found.scope.clone().and_then(Scope::from_any),
        })
    }

    /// Returns what a layer has without its user: the `Sigra` and the cookie session.
    #[cfg(feature = "api-tokens")]
    pub fn unasked(extensions: &Extensions) -> Option<(Sigra<U>, CookieSession)> {
        let session = &extensions.get::<Found>()?.of::<U>()?.session;
        let parts: Arc<dyn Any + Send + Sync> = session.parts().clone();
        Some((Sigra { parts: parts.downcast().ok()? }, session.clone()))
    }

    /// Returns the scope that a layer has found, of a user who is fully logged in. Most handlers need nothing else.
    pub fn full_scope(extensions: &Extensions) -> Option<Scope<U>> {
        let found = extensions.get::<Found>()?.of::<U>()?;
        let scope = Scope::from_any(found.scope.clone()?)?;
        (scope.clearance() == Clearance::Full).then_some(scope)
    }

    /// Returns the scope of a user who is fully logged in, with a second factor if one is required.
    pub fn scope(&self) -> Option<&Scope<U>> {
        self.with_clearance(Clearance::Full)
    }

    pub fn with_clearance(&self, clearance: Clearance) -> Option<&Scope<U>> {
        self.found.as_ref().filter(|scope| scope.clearance() == clearance)
    }

    pub fn is_recent(&self, scope: &Scope<U>) -> bool {
        scope.session().authenticated_within(self.sigra.parts.config.sessions.sudo_ttl, self.sigra.now())
    }
}

/// Returns the cookie session of a request that a layer has looked up.
pub(crate) fn session_of(extensions: &Extensions) -> Option<&CookieSession> {
    extensions.get::<Found>().map(|found| &found.session)
}
