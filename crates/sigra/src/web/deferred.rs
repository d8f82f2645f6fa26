//! Who sends a request, found out when a handler asks, and not before.

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
    browser::{cookie_session::CookieSession, cookies::PresentedTokens},
    model::{scope::Scope, user::AuthUser},
    sessions::look_up::Authenticated,
    sigra::Sigra,
    web::{
        answer::{doubt_if_failed, keep_private, look_after},
        authenticate::{authenticate, cached},
        current::Current,
        rejection::{MissingLayer, SessionRejection},
    },
};

/// Who sends a request, for an argument that the handler is not called without.
pub(crate) async fn current<U: AuthUser>(
    parts: &mut Parts,
    argument: &'static str,
) -> Result<Current<U>, SessionRejection> {
    if let Some(current) = parts.extensions.get::<Current<U>>() {
        return Ok(current.clone());
    }
    deferred::<U>(parts, argument)?.ask(parts).await
}

/// The same for an argument that may be nobody.
pub(crate) async fn current_if_any<U: AuthUser>(
    parts: &mut Parts,
    argument: &'static str,
) -> Result<Option<Current<U>>, SessionRejection> {
    if let Some(current) = parts.extensions.get::<Current<U>>() {
        return Ok(Some(current.clone()));
    }
    deferred::<U>(parts, argument)?.ask_if_any(parts).await
}

fn deferred<U: AuthUser>(parts: &Parts, argument: &'static str) -> Result<Deferred<U>, MissingLayer> {
    parts.extensions.get::<Deferred<U>>().cloned().ok_or(MissingLayer(argument))
}

/// The sender of a request that nobody has asked for yet: they are found out when a handler does, and not before.
pub(crate) struct Deferred<U: AuthUser>(Arc<Inner<U>>);

struct Inner<U: AuthUser> {
    sigra: Sigra<U>,
    session: CookieSession,
    tokens: PresentedTokens,
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
    pub fn new(
        sigra: Sigra<U>,
        session: CookieSession,
        tokens: PresentedTokens,
        foreign: Option<ForeignRequest>,
        is_safe: bool,
    ) -> Self {
        let (is_asked, authenticated) = (AtomicBool::new(false), OnceCell::new());
        Self(Arc::new(Inner { sigra, session, tokens, is_safe, foreign, is_asked, authenticated }))
    }

    /// Whether an outer layer has put one.
    pub fn is_there(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }

    /// Puts what the extractors ask. Not the session: whoever finds it must have asked.
    pub fn provide(&self, extensions: &mut Extensions) {
        extensions.insert(self.clone());
        extensions.insert(AnyDeferred(Arc::new(self.clone())));
    }

    /// Who it is, for the extractor of a handler that requires to know.
    pub async fn ask(&self, parts: &mut Parts) -> Result<Current<U>, SessionRejection> {
        let scope = self.find(&parts.extensions).await?;
        Current::provide(&mut parts.extensions, &self.0.sigra, &self.0.session, scope.clone());
        Ok(Current { sigra: self.0.sigra.clone(), found: scope })
    }

    /// The same for a handler that is also called for nobody: `None` if the request comes from another origin and brings
    /// no session, which anybody could have sent.
    pub async fn ask_if_any(&self, parts: &mut Parts) -> Result<Option<Current<U>>, SessionRejection> {
        if self.0.foreign.is_some() && self.0.tokens.is_absent() {
            self.0.is_asked.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        self.ask(parts).await.map(Some)
    }

    async fn find(&self, extensions: &Extensions) -> Result<Option<Scope<U>>, SessionRejection> {
        let Inner { sigra, session, tokens, is_safe, is_asked, authenticated, .. } = &*self.0;
        is_asked.store(true, Ordering::Relaxed);
        self.refuse_foreign(extensions)?;
        let found = authenticated.get_or_try_init(async || match cached(sigra, tokens) {
            Some(scope) => Ok(Authenticated::known(scope)),
            None => authenticate(sigra, session, tokens, *is_safe).await,
        });
        let authenticated = found.await.map_err(|error| SessionRejection::Failed(Arc::new(error)))?;
        Ok(authenticated.scope.clone())
    }

    fn refuse_foreign(&self, extensions: &Extensions) -> Result<(), SessionRejection> {
        let Some(foreign) = &self.0.foreign else { return Ok(()) };
        foreign.tell_refused(extensions);
        Err(SessionRejection::CrossOrigin)
    }

    /// Answers as the handler does, and looks after the session if somebody has asked for it.
    pub async fn respond(
        self,
        answer: impl Future<Output = Result<Response, Infallible>>,
    ) -> Result<Response, Infallible> {
        let mut response = answer.await?;
        let Inner { sigra, session, is_asked, authenticated, .. } = &*self.0;
        if !is_asked.load(Ordering::Relaxed) {
            return Ok(response);
        }
        if let Some(authenticated) = authenticated.get() {
            return Ok(look_after(sigra, session, authenticated.clone(), response).await);
        }
        doubt_if_failed(&response, sigra);
        keep_private(response.headers_mut(), false);
        Ok(response)
    }
}

/// The same, for extractors that know no type of user.
#[derive(Clone)]
pub(crate) struct AnyDeferred(Arc<dyn Ask>);

impl AnyDeferred {
    /// The session, once it is known whose it is.
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
                self.0.session.let_in_under(scope.session().id);
            }
            Ok(self.0.session.clone())
        })
    }

    fn refuse_foreign(&self, extensions: &Extensions) -> Result<(), SessionRejection> {
        Self::refuse_foreign(self, extensions)
    }
}
