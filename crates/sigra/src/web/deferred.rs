//! Looks up the user of a request only when a handler asks.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::response::Response;
use http::{Extensions, request::Parts};
use tokio::sync::OnceCell;

use crate::{
    base::origin::ForeignRequest,
    browser::cookie_session::CookieSession,
    model::{scope::Scope, user::AuthUser},
    sessions::look_up::Authenticated,
    sigra::Sigra,
    web::{
        authenticate::{authenticate, cached},
        current::Current,
        rejection::{MissingLayer, SessionRejection},
        response::{doubt_if_failed, finish_after_lookup, set_cache_headers},
    },
};

/// Returns the result of the lookup, for a required argument.
pub(crate) async fn current<U: AuthUser>(
    parts: &mut Parts,
    argument: &'static str,
) -> Result<Current<U>, SessionRejection> {
    match Current::of(&parts.extensions) {
        Some(current) => Ok(current),
        None => deferred::<U>(parts, argument)?.ask(parts).await,
    }
}

/// Returns the result of the lookup, for an optional argument.
pub(crate) async fn current_if_any<U: AuthUser>(
    parts: &mut Parts,
    argument: &'static str,
) -> Result<Option<Current<U>>, SessionRejection> {
    match Current::of(&parts.extensions) {
        Some(current) => Ok(Some(current)),
        None => deferred::<U>(parts, argument)?.ask_if_any(parts).await,
    }
}

/// Returns the `Sigra` and the cookie session of a request, for an argument that doesn't ask who is logged in.
#[cfg(feature = "api-tokens")]
pub(crate) fn unasked<U: AuthUser>(
    parts: &Parts,
    argument: &'static str,
) -> Result<(Sigra<U>, CookieSession), MissingLayer> {
    match Current::unasked(&parts.extensions) {
        Some(known) => Ok(known),
        None => deferred::<U>(parts, argument).map(|Deferred(inner)| (inner.sigra.clone(), inner.session.clone())),
    }
}

fn deferred<U: AuthUser>(parts: &Parts, argument: &'static str) -> Result<Deferred<U>, MissingLayer> {
    parts.extensions.get::<Deferred<U>>().cloned().ok_or(MissingLayer(argument))
}

/// A lookup of the request's user that happens when a handler asks for it, at most once.
pub(crate) struct Deferred<U: AuthUser>(Arc<Inner<U>>);

struct Inner<U: AuthUser> {
    sigra: Sigra<U>,
    session: CookieSession,
    is_safe: bool,
    foreign: Option<ForeignRequest>,
    is_asked: AtomicBool,
    authenticated: OnceCell<Authenticated<U>>,
}

impl<U: AuthUser> Clone for Deferred<U> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<U: AuthUser> Deferred<U> {
    pub fn new(sigra: Sigra<U>, session: CookieSession, foreign: Option<ForeignRequest>, is_safe: bool) -> Self {
        let (is_asked, authenticated) = (AtomicBool::new(false), OnceCell::new());
        Self(Arc::new(Inner { sigra, session, is_safe, foreign, is_asked, authenticated }))
    }

    /// Returns whether an outer layer has inserted one.
    pub fn is_there(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }

    /// Inserts what the extractors use. Leaves the session out: an extractor puts it into the extensions.
    pub fn provide(&self, extensions: &mut Extensions) {
        extensions.insert(self.clone());
        extensions.insert(AnyDeferred(Arc::new(self.clone())));
    }

    /// Looks up the user, for a required argument.
    pub async fn ask(&self, parts: &mut Parts) -> Result<Current<U>, SessionRejection> {
        let scope = self.find(&parts.extensions).await?;
        Current::provide(&mut parts.extensions, &self.0.session, scope.clone());
        Ok(Current { sigra: self.0.sigra.clone(), found: scope })
    }

    /// Looks up the user, for an optional argument. Returns `None` if the request comes from another origin and has no
    /// session token, because anybody could have sent it.
    pub async fn ask_if_any(&self, parts: &mut Parts) -> Result<Option<Current<U>>, SessionRejection> {
        if self.0.foreign.is_some() && !self.0.session.has_token() {
            self.0.is_asked.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        self.ask(parts).await.map(Some)
    }

    async fn find(&self, extensions: &Extensions) -> Result<Option<Scope<U>>, SessionRejection> {
        let Inner { sigra, session, is_safe, is_asked, authenticated, .. } = &*self.0;
        is_asked.store(true, Ordering::Relaxed);
        self.refuse_foreign(extensions)?;
        let found = authenticated.get_or_try_init(async || match cached(sigra, session) {
            Some(scope) => Ok(Authenticated::known(scope)),
            None => authenticate(sigra, session, *is_safe).await,
        });
        // Boxed, because it would make the future of every handler with such an argument larger.
        let authenticated = Box::pin(found).await.map_err(|error| SessionRejection::Failed(Arc::new(error)))?;
        Ok(authenticated.scope.clone())
    }

    fn refuse_foreign(&self, extensions: &Extensions) -> Result<(), SessionRejection> {
        let Some(foreign) = &self.0.foreign else { return Ok(()) };
        foreign.log_refused(extensions);
        Err(SessionRejection::CrossOrigin)
    }

    /// Returns the handler's response. Finishes the response if an extractor took the session.
    pub async fn respond(
        self,
        response: impl Future<Output = Result<Response, Infallible>>,
    ) -> Result<Response, Infallible> {
        let mut response = response.await?;
        let Inner { sigra, session, is_asked, authenticated, .. } = &*self.0;
        if !is_asked.load(Ordering::Relaxed) {
            if session.is_private() {
                doubt_if_failed(&response, &*sigra.parts);
                set_cache_headers(response.headers_mut(), true);
            }
            return Ok(response);
        }
        if let Some(authenticated) = authenticated.get() {
            finish_after_lookup(sigra, session, authenticated.clone(), &mut response).await;
            return Ok(response);
        }
        doubt_if_failed(&response, &*sigra.parts);
        set_cache_headers(response.headers_mut(), session.is_private());
        Ok(response)
    }
}

/// A [`Deferred`] for extractors that don't know the type of user.
#[derive(Clone)]
pub(crate) struct AnyDeferred(Arc<dyn Ask>);

impl AnyDeferred {
    /// Returns the cookie session after its user was looked up.
    pub async fn session(&self, extensions: &Extensions) -> Result<CookieSession, SessionRejection> {
        self.0.session(extensions).await
    }

    pub fn refuse_foreign(&self, extensions: &Extensions) -> Result<(), SessionRejection> {
        self.0.refuse_foreign(extensions)
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = Result<CookieSession, SessionRejection>> + Send + 'a>>;

trait Ask: Send + Sync {
    fn session<'a>(&'a self, extensions: &'a Extensions) -> Asked<'a>;

    fn refuse_foreign(&self, extensions: &Extensions) -> Result<(), SessionRejection>;
}

impl<U: AuthUser> Ask for Deferred<U> {
    fn session<'a>(&'a self, extensions: &'a Extensions) -> Asked<'a> {
        Box::pin(async move {
            let scope = self.find(extensions).await?;
            if let Some(scope) = scope {
                self.0.session.note_authenticated(scope.session().id);
            }
            Ok(self.0.session.clone())
        })
    }

    fn refuse_foreign(&self, extensions: &Extensions) -> Result<(), SessionRejection> {
        Self::refuse_foreign(self, extensions)
    }
}
