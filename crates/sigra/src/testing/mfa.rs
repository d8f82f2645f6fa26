//! Second factors without forms, for the fixtures of [`TestHost`](super::TestHost).

use std::collections::BTreeSet;

use http::HeaderMap;
use time::OffsetDateTime;

use crate::{
    base::{error::Error, token::BrowserToken},
    browser::{browser_tokens::TrustTokens, cookies::SetCookies, request_cookies::IndexedCookies},
    mfa::{backup_codes::BackupCodes, totp::TotpSecret},
    model::{
        client::Client,
        log_in::{LoginMethod, RememberMe},
        second_factor::FactorKind,
        session::NewSession,
        user::AuthUser,
    },
    sigra::Sigra,
    store::{self, BrowserKind, NewBrowser, Seen},
    testing::client::TestClient,
};

/// Returns whether an app shows `000000`, or a code twice, within the next hour. A test that enters `000000` as a wrong
/// code, or a code from before, would fail with it: once in some hundred thousand times.
fn shows_a_code_by_chance(secret: &TotpSecret, now: OffsetDateTime) -> bool {
    let mut shown = BTreeSet::from(["000000".to_owned()]);
    !(-1..120).all(|step| shown.insert(secret.code_at(now + time::Duration::seconds(30 * step))))
}

impl<U: AuthUser> Sigra<U> {
    /// Sets up an authenticator app none of whose codes was used yet.
    pub(super) async fn set_up_totp(&self, user: &U::Id) -> Result<BackupCodes, Error> {
        let mut secret = TotpSecret::generate()?;
        while shows_a_code_by_chance(&secret, self.now()) {
            secret = TotpSecret::generate()?;
        }
        let encrypted = self.mfa().encrypt_totp(&secret, user)?;
        let mut tx = self.begin().await?;
        store::totp::insert::<U>(&mut tx, user, &encrypted, 0, self.now()).await?;
        let codes = self.mfa().insert_backup_codes(&mut tx, user).await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// Returns the code that the user's authenticator app shows, if they have one.
    pub(super) async fn present_totp_code(&self, user: &U::Id) -> Result<Option<String>, Error> {
        let mut conn = self.pool().acquire().await?;
        let totp = store::totp::find::<U>(&mut conn, user).await?;
        let secret = totp.and_then(|totp| self.mfa().decrypt_totp(&totp.secret, user));
        Ok(secret.map(|secret| secret.code_at(self.now())))
    }

    /// Opens a session in a browser, with the second factor presented at this time or not at all.
    pub(super) async fn open_browser(
        &self,
        browser: &TestClient,
        user: &U,
        mfa_verified_at: Option<OffsetDateTime>,
    ) -> Result<(), Error> {
        let client = browser.client();
        let new = NewSession {
            method: Some(LoginMethod::Password),
            mfa_verified_at,
            mfa_verified_by: mfa_verified_at.map(|_| FactorKind::Totp),
            ..NewSession::of(user, RememberMe::No, &client, self.now())
        };
        let (token, _) = self.open_session(new).await?;
        let mut headers = HeaderMap::new();
        self.parts.cookies.set_key(
            &mut SetCookies { headers: &mut headers, request: &IndexedCookies::default() },
            token.cookie_session_id(),
            &token,
        );
        browser.store_headers(headers);
        Ok(())
    }

    /// Trusts a browser.
    pub(super) async fn trust(&self, browser: &TestClient, user: &U::Id, client: &Client) -> Result<(), Error> {
        let token = BrowserToken::generate()?;
        let mut conn = self.pool().acquire().await?;
        let (kind, seen) = (BrowserKind::Trusted, Seen { mfa_verified_at: None, now: self.now() });
        let verified_by = Some(FactorKind::Totp);
        let new = NewBrowser { kind, token: token.hash(), client, seen, verified_by, session: None };
        store::browsers::insert::<U>(&mut conn, user, &new).await?;
        let (mut tokens, mut headers) = (TrustTokens::default(), HeaderMap::new());
        tokens.put(token, None);
        self.parts
            .cookies
            .set_mfa_trust(&mut SetCookies { headers: &mut headers, request: &IndexedCookies::default() }, &tokens);
        browser.store_headers(headers);
        Ok(())
    }
}
