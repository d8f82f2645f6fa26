//! Issuing tokens to a program that a user gave access.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    base::{
        bearer_secret::{BearerKind, BearerSecret},
        clock::later,
        error::Error,
        telemetry,
        token::{RefreshToken, random_bytes},
    },
    model::{
        audit::{self, own_event},
        client::Client,
        oauth_client::OauthClient,
        oauth_grant::{NewGrant, OnNewGrant, system_of},
        session::SessionRow,
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    oauth_server::{handle::OauthServer, response::json},
    store::{self, GrantRow, NewAccessToken},
};

/// The length of the salt of a refresh token, in bytes.
pub(super) const SALT: usize = 16;

/// What a user gave a program.
pub(super) struct Given<'a, U> {
    pub user: &'a U,
    /// The session in which they did.
    pub session: &'a SessionRow,
    pub client: &'a OauthClient,
    pub permissions: &'a str,
    pub resource: &'a str,
    /// The user agent of the browser next to the program, if there is one.
    pub browser: Option<&'a str>,
    pub was_asked: bool,
}

impl<U: AuthUser> Given<'_, U> {
    /// Returns the row of the grant, with its first refresh token.
    fn row(&self, refresh: &RefreshToken, program: &Client, now: OffsetDateTime) -> Result<GrantRow<U::Id>, Error> {
        // A program seldom says what it runs on, and a browser always does.
        let own = program.user_agent.as_deref().filter(|own| system_of(own).is_some());
        let user_agent = own.or(self.browser).or(program.user_agent.as_deref()).map(str::to_owned);
        Ok(GrantRow {
            id: Uuid::now_v7(),
            user: self.user.id(),
            client: self.client.id.clone(),
            client_name: self.client.name.clone(),
            permissions: self.permissions.to_owned(),
            resource: self.resource.to_owned(),
            mfa_verified: self.session.mfa_verified_at.is_some(),
            refresh_token: refresh.hash(),
            salt: random_bytes::<SALT>()?.to_vec(),
            previous_token: None,
            superseded_at: None,
            ip: program.ip.map(|ip| ip.to_string()),
            user_agent,
            last_used_at: now,
            inserted_at: now,
        })
    }
}

/// The tokens of a response.
pub(super) struct Tokens {
    pub access: BearerSecret,
    pub refresh: Zeroizing<String>,
    pub expires_in: i64,
    pub permissions: String,
}

#[derive(Serialize)]
struct Body<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: &'a str,
    scope: &'a str,
}

impl Tokens {
    /// Returns the response (RFC 6749 section 5.1).
    pub fn to_response(&self) -> Response {
        let body = Body {
            access_token: self.access.as_str(),
            token_type: "Bearer",
            expires_in: self.expires_in,
            refresh_token: &self.refresh,
            scope: &self.permissions,
        };
        json(StatusCode::OK, &body)
    }
}

impl<U: AuthUser> OauthServer<'_, U> {
    /// Writes what a user gave a program, with its first tokens, and does what the host wants to do about it. The
    /// user's row must be locked. Returns the row's ID too.
    pub(super) async fn give(
        self,
        tx: &mut Transaction<U>,
        given: Given<'_, U>,
        program: &Client,
        also: &mut Option<OnNewGrant<U>>,
    ) -> Result<(Uuid, Tokens), Error> {
        let (now, user, refresh) = (self.sigra.now(), given.user.id(), RefreshToken::generate()?);
        let replaced = match self.check_room(tx, &user).await {
            Err(Error::TooManyPrograms { .. }) if given.client.skips_consent => {
                self.make_room(tx, &user, given.client, program).await?
            }
            checked => checked.map(|()| None)?,
        };
        let grant = given.row(&refresh, program, now)?;
        store::oauth_grants::insert::<U>(tx, &grant, refresh.series()).await?;
        let named = serde_json::json!({ "client": grant.client, "name": grant.client_name });
        let audit = own_event(audit::PROGRAM_AUTHORIZED, &grant.user, program).with(named);
        self.sigra.audit().record_in(tx, &audit).await?;
        let tokens = self.issue(tx, &grant, &grant.permissions, &refresh).await?;
        let (user, ends_at, was_asked) = (given.user.clone(), self.ends_at(&grant)?, given.was_asked);
        let new = NewGrant { user, grant: self.grant(grant), ends_at, was_asked };
        if let Some(also) = also.take() {
            also(tx, &new).await?;
        }
        let (sigra, id) = (self.sigra.clone(), new.grant.id);
        tx.after_commit(move || {
            if let Some(replaced) = replaced {
                sigra.parts.cache.forget(&replaced);
            }
            tracing::info!(
                target: "sigra", event = telemetry::PROGRAM_AUTHORIZED, user_id = %new.user.id(), grant_id = %id,
                client_id = new.grant.client_id,
            );
        });
        Ok((id, tokens))
    }

    /// Writes an access token of a grant.
    pub(super) async fn issue(
        self,
        conn: &mut Connection<U>,
        grant: &GrantRow<U::Id>,
        permissions: &str,
        refresh: &RefreshToken,
    ) -> Result<Tokens, Error> {
        let (prefix, now) = (self.prefix(), self.sigra.now());
        let access = BearerSecret::generate(prefix, BearerKind::Client)?;
        let expires_at = later(now, self.settings()?.access_token_ttl).min(self.ends_at(grant)?);
        let new = NewAccessToken { token: access.hash(), permissions, expires_at, now };
        store::oauth_grants::insert_token::<U>(conn, grant.id, &new).await?;
        Ok(Tokens {
            access,
            refresh: refresh.encode(prefix),
            expires_in: (expires_at - now).whole_seconds(),
            permissions: permissions.to_owned(),
        })
    }

    /// Returns what all tokens of the application begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.sigra.parts.config.bearer_tokens.prefix
    }

    /// Returns when a program's access ends, however often it is used.
    pub(super) fn ends_at(self, grant: &GrantRow<U::Id>) -> Result<OffsetDateTime, Error> {
        Ok(later(grant.inserted_at, self.settings()?.grant_ttl))
    }
}
