//! Handing a new token to the next page, which shows it once.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::{
    api_tokens::manage::ApiTokens,
    base::error::Error,
    browser::{cookie_session::CookieSession, sealed_entry::SealedEntries},
    model::{new_api_token::CreatedApiToken, scope::Scope, user::AuthUser},
};

/// The entry of the cookie session.
const ENTRY: &str = "new_api_token";

/// How long the next page can take.
const KEPT: Duration = Duration::from_mins(1);

impl<U: AuthUser> ApiTokens<'_, U> {
    /// Hands a new token to the next page of this browser, encrypted in the cookie session, for a minute. Redirect to
    /// that page then. If the form responded with the token itself, reloading its page would create another one.
    ///
    /// # Errors
    ///
    /// [`Error::Encryption`], [`Error::Random`].
    pub fn show_on_next_page(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        created: &CreatedApiToken,
    ) -> Result<(), Error> {
        self.entry(scope).put(session, ENTRY, created.secret.as_str().as_bytes())
    }

    /// Returns the token that [`show_on_next_page`](Self::show_on_next_page) handed to this page, and forgets it: after
    /// a reload, there is none.
    #[must_use]
    pub fn take_shown(self, session: &CookieSession, scope: &Scope<U>) -> Option<Zeroizing<String>> {
        let secret = self.entry(scope).take(session, ENTRY)?;
        std::str::from_utf8(&secret).ok().map(|secret| Zeroizing::new(secret.to_owned()))
    }
}

impl<'a, U: AuthUser> ApiTokens<'a, U> {
    /// Binds the token to the user and their session.
    fn entry(self, scope: &Scope<U>) -> SealedEntries<'a> {
        let context = format!("new api token {} {}", scope.user().id(), scope.session().id);
        SealedEntries::of(&self.sigra.parts.encryption_keys, context).max_age(KEPT, self.sigra.now())
    }
}
