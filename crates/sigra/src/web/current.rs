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

/// What the layers of a request found: one for each type of user.
#[derive(Clone)]
struct Found {
    /// That of the innermost layer.
    session: CookieSession,
    latest: Lookup,
    others: Vec<Lookup>,
}

/// A [`Current`] of any type of user.
#[derive(Clone)]
struct Lookup {
    sigra: Arc<dyn Any + Send + Sync>,
    scope: Option<Arc<dyn Any + Send + Sync>>,
}

impl Found {
    fn of<U: AuthUser>(&self) -> Option<&Lookup> {
        std::iter::once(&self.latest).chain(&self.others).find(|lookup| lookup.sigra.is::<Parts<U>>())
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
    pub fn provide(extensions: &mut Extensions, sigra: &Sigra<U>, session: &CookieSession, found: Option<Scope<U>>) {
        if let Some(scope) = &found {
            session.let_in_under(scope.session().id);
        }
        let (session, scope) = (session.clone(), found.map(Scope::into_any));
        let latest = Lookup { sigra: sigra.parts.clone(), scope };
        match extensions.get_mut::<Found>() {
            None => drop(extensions.insert(Found { session, latest, others: Vec::new() })),
            Some(found) => {
                found.session = session;
                found.others.push(std::mem::replace(&mut found.latest, latest));
            }
        }
    }

    /// Returns whether an outer layer has already looked up the scope.
    pub fn is_known(extensions: &Extensions) -> bool {
        extensions.get::<Found>().is_some_and(|found| found.of::<U>().is_some())
    }

    /// Returns what a layer for this type of user has found.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let lookup = extensions.get::<Found>()?.of::<U>()?;
        let parts = lookup.sigra.clone().downcast().ok()?;
        Some(Self { sigra: Sigra { parts }, found: lookup.scope.clone().and_then(Scope::from_any) })
    }

    /// Returns the scope that a layer has found, of a user who is fully logged in. Most handlers need nothing else.
    pub fn full_scope(extensions: &Extensions) -> Option<Scope<U>> {
        let lookup = extensions.get::<Found>()?.of::<U>()?;
        let scope = Scope::from_any(lookup.scope.clone()?)?;
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
        scope.session().authenticated_within(self.sigra.parts.config.sudo_ttl, self.sigra.now())
    }
}

/// Returns the cookie session of a request that a layer has looked up.
pub(crate) fn session_of(extensions: &Extensions) -> Option<&CookieSession> {
    extensions.get::<Found>().map(|found| &found.session)
}
