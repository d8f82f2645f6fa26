//! Known browsers: those that a user has logged in with. They have their own count of failed logins.

use time::OffsetDateTime;

use crate::{
    base::{error::Error, token::BrowserToken},
    browser::{browser_tokens::KNOWN_BROWSER_TTL, cookie_session::CookieSession},
    model::{
        transaction::Transaction,
        user::{AuthUser, Connection},
        window::Window,
    },
    sigra::{Sigra, handle},
    store::{self, Browser, BrowserKind, NewBrowser, Seen},
};

impl<U: AuthUser> Sigra<U> {
    /// Like [`remember_in`](crate::KnownBrowsers::remember_in), and records when the user presented a second factor in
    /// it.
    pub(crate) async fn remember_browser_with(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        user: &U::Id,
        mfa_verified_at: Option<OffsetDateTime>,
    ) -> Result<(), Error> {
        let seen = Seen { mfa_verified_at, now: self.now() };
        let kept = session.clone();
        let tokens = session.known_tokens().hashes();
        if !tokens.is_empty()
            && let Some(known) =
                store::browsers::touch::<U>(tx, (BrowserKind::Known, user), &tokens, self.known_within(), seen).await?
        {
            session.note_browser(user, Some(known));
            tx.after_commit(move || kept.keep_known_tokens());
            return Ok(());
        }
        let token = BrowserToken::generate()?;
        let (kind, hash, client) = (BrowserKind::Known, token.hash(), session.client());
        let new = NewBrowser { kind, token: hash, client: &client, seen, verified_by: None, session: None };
        store::browsers::insert::<U>(tx, user, &new).await?;
        session.note_browser(user, None);
        tx.after_commit(move || kept.keep_new_known_token(token));
        Ok(())
    }

    /// Returns the browser if it is known to be the user's. Takes the same work if there is no user.
    pub(crate) async fn known_browser(
        &self,
        session: &CookieSession,
        user: Option<&U::Id>,
    ) -> Result<Option<Browser<U::Id>>, Error> {
        if session.known_tokens().hashes().is_empty() {
            return Ok(None);
        }
        self.find_known_browser(&mut *self.pool().acquire().await?, session, user).await
    }

    pub(crate) async fn find_known_browser(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: Option<&U::Id>,
    ) -> Result<Option<Browser<U::Id>>, Error> {
        let tokens = session.known_tokens().hashes();
        if tokens.is_empty() {
            return Ok(None);
        }
        let known = store::browsers::find::<U>(conn, BrowserKind::Known, &tokens, self.known_within()).await?;
        Ok(known.into_iter().find(|known| Some(&known.user) == user))
    }

    fn known_within(&self) -> Window {
        Window::of(KNOWN_BROWSER_TTL, self.now())
    }
}

handle! {
    /// Remembers and forgets known browsers. Returned by [`Sigra::known_browsers`].
    KnownBrowsers,
    /// Returns the handle for [known browsers](crate::limits#known-browsers), which users have logged in with.
    known_browsers
}

impl<U: AuthUser> KnownBrowsers<'_, U> {
    /// Makes this browser a known browser of the user, in the host's own transaction: after a password reset, for
    /// example, which [forgets all of them](crate::session::Sessions::end_all_access_in). A login already does this.
    /// The browser gets its token after the commit.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::Random`].
    pub async fn remember_in(
        self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        user: &U::Id,
    ) -> Result<(), Error> {
        self.sigra.remember_browser_with(tx, session, user, None).await
    }

    /// Forgets all known browsers of a user, in the host's own transaction, and returns how many there were: when you
    /// log a user out everywhere, for example. The user's row is locked, so a concurrent login happens entirely before
    /// or after it. [`delete_all_in`](crate::session::Sessions::end_all_access_in) already does this.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_all_in(self, conn: &mut Connection<U>, user: &U::Id) -> Result<u64, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        Ok(store::browsers::delete::<U>(conn, BrowserKind::Known, user, None).await?)
    }
}
