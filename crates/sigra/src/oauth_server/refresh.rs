//! Refresh tokens, which rotate.
//!
//! A grant has one refresh token. Each use replaces it by a successor that is derived from it, a key of the server and
//! a salt in the row, so a token that comes again within the grace returns the same successor: there is no second
//! child. All tokens of a grant begin with the same bytes, so any older one is recognized without a list, and ends the
//! family (RFC 9700 section 4.14).

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::{
        clock::later,
        error::Error,
        problem::code,
        telemetry,
        token::{RefreshToken, random_bytes},
    },
    model::{
        audit::{self, Audit, own_event},
        bearer,
        client::Client,
        oauth_client::OauthClient,
        permission::Permissions,
        transaction::Transaction,
        user::{AuthUser, Connection},
        window::latest,
    },
    oauth_server::{
        handle::OauthServer,
        issue::{SALT, Tokens},
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
    },
    sigra::transact,
    store::{self, GrantRow, Rotation},
};

const INVALID: Refusal =
    Refusal::invalid_grant("the refresh token is unknown, expired, was replaced, or belongs to another client")
        .because("unknown_token");

const LOST_RESOURCE: Refusal =
    Refusal::invalid_grant("the client can no longer have tokens for the resource that the user allowed")
        .because("wrong_resource");

/// How a refresh token relates to its grant.
enum Standing {
    Current,
    /// It was replaced, and the response may have been lost.
    Predecessor,
    /// It was replaced long ago, or by a token that was replaced too.
    Older,
}

impl<U: AuthUser> OauthServer<'_, U> {
    /// Issues an access token and the next refresh token (RFC 6749 section 6).
    pub(super) async fn refresh(
        self,
        client: &OauthClient,
        parameters: &Parameters,
        program: &Client,
    ) -> Result<Tokens, EndpointError> {
        let token = parameters.require("refresh_token", "refresh_token is missing")?;
        let token = RefreshToken::parse(token, self.prefix()).ok_or(INVALID)?;
        let scope = parameters.get("scope").map(str::parse).transpose();
        let scope: Option<Permissions> =
            scope.map_err(|_| Refusal::invalid_scope("the scope isn't a list of names"))?;
        let resource =
            parameters.get("resource").map(|resource| self.resource_for(client, Some(resource))).transpose()?;
        let may = self.permissions_for(client, None)?;
        let attempt = Attempt { client, scope, may, resource };
        // Nobody needs an account to send tokens, and on SQLite, a transaction keeps other writers waiting.
        let mut conn = self.sigra.pool().acquire().await?;
        let known = store::oauth_grants::find_by_series::<U>(&mut conn, token.series()).await?;
        drop(conn);
        if known.ok_or(INVALID)?.client != client.id {
            return Err(INVALID.because("wrong_client").into());
        }
        Ok(transact!(self.sigra, if true, tx => self.refresh_in(tx, &token, &attempt, program).await)??)
    }

    async fn refresh_in(
        self,
        tx: &mut Transaction<U>,
        token: &RefreshToken,
        attempt: &Attempt<'_>,
        program: &Client,
    ) -> Result<Result<Tokens, Refusal>, Error> {
        let series = token.series();
        let Some(user) = store::oauth_grants::lock_owner::<U>(tx, series).await? else { return Ok(Err(INVALID)) };
        // Only now, because the row may have changed while its user was locked.
        let grant = store::oauth_grants::find_by_series::<U>(tx, series).await?;
        let Some(grant) = grant.filter(|grant| grant.client == attempt.client.id) else { return Ok(Err(INVALID)) };
        let now = self.sigra.now();
        if grant.changed_at() > latest(now) {
            tracing::warn!(target: "sigra", grant_id = %grant.id, "a program's access from the future was refused: check the clocks of your servers");
            return Ok(Err(INVALID));
        }
        let standing = self.standing(&grant, token, now)?;
        if matches!(standing, Standing::Older) {
            self.end_family(tx, grant.id, &grant.user, program).await?;
            return Ok(Err(INVALID.because("reused_token")));
        }
        if !user.is_active() {
            self.end_of_inactive(tx, grant, program).await?;
            return Ok(Err(INVALID.because("inactive")));
        }
        if now >= self.ends_at(&grant)? {
            self.end(tx, grant.id).await?;
            return Ok(Err(INVALID.because("expired_access")));
        }
        if !bearer::has_factor(&user, grant.mfa_verified) {
            return Ok(Err(INVALID.because(code::SECOND_FACTOR_ENROLLMENT_REQUIRED)));
        }
        // The host may have limited the client since, or removed the resource.
        if self.resource_for(attempt.client, Some(&grant.resource)).is_err() {
            return Ok(Err(LOST_RESOURCE));
        }
        let permissions = match attempt.permissions(&grant) {
            Ok(permissions) => permissions,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let next = match standing {
            Standing::Current => self.rotate(tx, &grant, token, now).await?,
            _ => self.successors(token, &grant.salt).into_iter().find(|next| next.hash() == grant.refresh_token),
        };
        // Its key was removed from the settings within the grace.
        let Some(next) = next else { return Ok(Err(INVALID)) };
        self.issue(tx, &grant, &permissions, &next).await.map(Ok)
    }

    fn standing(self, grant: &GrantRow<U::Id>, token: &RefreshToken, now: OffsetDateTime) -> Result<Standing, Error> {
        let hash = token.hash();
        if grant.refresh_token == hash {
            return Ok(Standing::Current);
        }
        let grace = self.settings()?.refresh_grace;
        let is_in_grace = grant.superseded_at.is_some_and(|at| now < later(at, grace));
        match grant.previous_token == Some(hash) && is_in_grace {
            true => Ok(Standing::Predecessor),
            false => Ok(Standing::Older),
        }
    }

    async fn rotate(
        self,
        conn: &mut Connection<U>,
        grant: &GrantRow<U::Id>,
        token: &RefreshToken,
        now: OffsetDateTime,
    ) -> Result<Option<RefreshToken>, Error> {
        let salt = random_bytes::<SALT>()?;
        let Some(next) = self.successors(token, &salt).into_iter().next() else { return Ok(None) };
        let rotation = Rotation { from: token.hash(), to: next.hash(), salt: &salt, now };
        Ok(store::oauth_grants::rotate::<U>(conn, grant.id, rotation).await?.then_some(next))
    }

    /// Returns the successors of a refresh token: that of the newest key first.
    fn successors(self, token: &RefreshToken, salt: &[u8]) -> Vec<RefreshToken> {
        let macs = self.sigra.parts.oauth_keys.macs(&[token.as_bytes(), salt]);
        macs.iter().map(|mac| token.successor(mac)).collect()
    }

    /// Ends the access of a program of a user who is no longer active, as one of its access tokens does.
    async fn end_of_inactive(
        self,
        tx: &mut Transaction<U>,
        grant: GrantRow<U::Id>,
        program: &Client,
    ) -> Result<(), Error> {
        if self.end(tx, grant.id).await? {
            let metadata = serde_json::json!({ "name": grant.client_name, "reason": "inactive" });
            let audit = Audit::new(audit::PROGRAM_REVOKED).of(grant.user).from(program).with(metadata);
            self.sigra.audit().record_in(tx, &audit).await?;
        }
        Ok(())
    }

    /// Deletes a grant. Returns whether it existed.
    async fn end(self, tx: &mut Transaction<U>, grant: Uuid) -> Result<bool, Error> {
        let existed = store::oauth_grants::delete::<U>(tx, grant).await?;
        let sigra = self.sigra.clone();
        tx.after_commit(move || sigra.parts.cache.forget(&grant));
        Ok(existed)
    }

    /// Ends a family of refresh tokens, if it hasn't ended yet, because a token or a code of it came again.
    pub(super) async fn end_family(
        self,
        tx: &mut Transaction<U>,
        grant: Uuid,
        user: &U::Id,
        program: &Client,
    ) -> Result<(), Error> {
        if !store::oauth_grants::delete::<U>(tx, grant).await? {
            return Ok(());
        }
        self.sigra.audit().record_in(tx, &own_event(audit::PROGRAM_TOKEN_REUSED, user, program)).await?;
        let (sigra, user) = (self.sigra.clone(), user.clone());
        tx.after_commit(move || {
            sigra.parts.cache.forget(&grant);
            tracing::warn!(target: "sigra", event = telemetry::TOKEN_REUSED, user_id = %user, grant_id = %grant);
        });
        Ok(())
    }
}

/// What a client asks for with a refresh token.
struct Attempt<'a> {
    client: &'a OauthClient,
    scope: Option<Permissions>,
    /// What the client can still have.
    may: Permissions,
    resource: Option<String>,
}

impl Attempt<'_> {
    /// Returns the permissions of the access token: those of the grant that the client can still have, or fewer.
    fn permissions<Id>(&self, grant: &GrantRow<Id>) -> Result<String, Refusal> {
        if self.resource.as_ref().is_some_and(|resource| *resource != grant.resource) {
            return Err(Refusal::invalid_target());
        }
        let given = grant.permissions.split(' ').filter(|name| self.may.contains(name));
        let all = Permissions::of(given).unwrap_or_default();
        let asked = self.scope.as_ref().unwrap_or(&all);
        match !asked.is_empty() && asked.is_subset_of(&all) {
            true => Ok(asked.to_string()),
            false => Err(Refusal::invalid_scope("the user didn't give the client these permissions")),
        }
    }
}
