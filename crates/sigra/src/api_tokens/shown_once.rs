//! Handing a new token to the next page, which shows it once.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    api_tokens::manage::ApiTokens,
    base::error::Error,
    browser::cookie_session::CookieSession,
    model::{new_api_token::CreatedApiToken, scope::Scope, user::AuthUser},
};

/// The entry of the cookie session.
const ENTRY: &str = "new_api_token";

/// How long the next page can take, in seconds.
const KEPT: i64 = 60;

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
        let made_at = self.sigra.now().unix_timestamp().to_be_bytes();
        let kept = Zeroizing::new([made_at.as_slice(), created.secret.as_str().as_bytes()].concat());
        let sealed = self.sigra.parts.encryption_keys.encrypt(&kept, &context(scope))?;
        session.put(ENTRY, &URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Returns the token that [`show_on_next_page`](Self::show_on_next_page) handed to this page, and forgets it: after a
    /// reload, there is none.
    #[must_use]
    pub fn take_shown(self, session: &CookieSession, scope: &Scope<U>) -> Option<Zeroizing<String>> {
        let sealed = URL_SAFE_NO_PAD.decode(session.take::<String>(ENTRY)?).ok()?;
        let kept = self.sigra.parts.encryption_keys.decrypt(&sealed, &context(scope))?;
        let (made_at, secret) = kept.split_first_chunk()?;
        let age = self.sigra.now().unix_timestamp().checked_sub(i64::from_be_bytes(*made_at))?;
        let secret = std::str::from_utf8(secret).ok().filter(|_| (0..KEPT).contains(&age))?;
        Some(Zeroizing::new(secret.to_owned()))
    }
}

/// Binds the token to the user and their session.
fn context<U: AuthUser>(scope: &Scope<U>) -> String {
    format!("new api token {} {}", scope.user().id(), scope.session().id)
}
