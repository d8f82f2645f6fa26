//! Looking up bearer tokens.

use std::net::IpAddr;

use serde_json::json;
use time::OffsetDateTime;

use crate::{
    base::{
        bearer_secret::{BearerKey, PresentedBearer},
        clock::earlier,
        error::Error,
        fingerprint::Fingerprint,
        telemetry,
    },
    model::{
        audit::{self, Audit},
        bearer::{Bearer, BearerRow, BearerToken, FoundBearer, TOUCH_INTERVAL},
        client::Client,
        database::Time,
        user::AuthUser,
    },
    sigra::{Sigra, transact},
    store,
};

impl<U: AuthUser> Sigra<U> {
    /// Returns who a bearer token belongs to, and what it allows. `None` if it is revoked or expired, has a wrong
    /// checksum or another application's prefix, or if its user is inactive. `ip` is the IP address that the list of
    /// tokens shows as the last one.
    ///
    /// Handlers take a [`Bearer`] or a [`Caller`](crate::Caller) as an argument instead. Call this where there is no
    /// request of axum. They also refuse a program's token for another resource, which this doesn't:
    /// compare the resource in [`Bearer::token`].
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn fetch_bearer(&self, token: &str, ip: Option<IpAddr>) -> Result<Option<Bearer<U>>, Error> {
        let Some(presented) = PresentedBearer::parse(token, &self.parts.config.bearer_tokens.prefix) else {
            return Ok(None);
        };
        let cache = &self.parts.cache;
        let fingerprint = cache.fingerprints().map(|key| presented.fingerprint(key));
        let now_ms = self.parts.config.clock.now_ms();
        if let Some(bearer) = fingerprint.and_then(|fingerprint| cache.get_bearer(fingerprint, now_ms)) {
            return Ok(Some(bearer));
        }
        // Boxed, because it would make the future of every handler with such an argument larger.
        Box::pin(self.find_bearer(presented.key(), fingerprint, ip)).await
    }

    async fn find_bearer(
        &self,
        key: BearerKey,
        fingerprint: Option<Fingerprint>,
        ip: Option<IpAddr>,
    ) -> Result<Option<Bearer<U>>, Error> {
        self.ensure_purged();
        let cache = &self.parts.cache;
        cache.ensure_running();
        let stamp = cache.stamp();
        let Some(found) = self.parts.bearers.find(key).await? else {
            tracing::info!(target: "sigra", event = telemetry::TOKEN_REJECTED);
            return Ok(None);
        };
        let mut found = found.with_registered(&self.parts.config.bearer_tokens.permissions);
        let now = self.now();
        if !found.user.is_active() {
            self.revoke_of_inactive(&found).await;
            return Ok(None);
        }
        if !found.is_valid(now) || !self.knows_client_of(&found) {
            tracing::info!(target: "sigra", event = telemetry::TOKEN_REJECTED);
            return Ok(None);
        }
        self.touch_bearer(&mut found.row, now, ip).await;
        let bearer = Bearer::new(found);
        if let Some(fingerprint) = fingerprint {
            cache.insert_bearer(fingerprint, bearer.clone(), stamp);
        }
        Ok(Some(bearer))
    }

    /// Returns whether the client of a token is still one of the host's, if a client has the token.
    fn knows_client_of(&self, found: &FoundBearer<U>) -> bool {
        match &found.row.token {
            BearerToken::Personal { .. } => true,
            #[cfg(feature = "oauth-server")]
            BearerToken::Client { client, .. } => {
                self.parts.config.oauth_server.as_ref().is_some_and(|server| server.knows(client))
            }
        }
    }

    /// Deletes the token of a user who is no longer active, as a session of theirs is. It doesn't work again when the
    /// user is active again. Best effort: the token is refused anyway.
    async fn revoke_of_inactive(&self, found: &FoundBearer<U>) {
        let (sigra, user, id, token) = (self.clone(), found.user.id(), found.row.id, found.row.token.clone());
        let revoked = async move {
            transact!(sigra, conn => {
                let event = match &token {
                    BearerToken::Personal { id, name } => {
                        let deleted = store::api_tokens::delete::<U>(conn, &user, *id).await?;
                        let metadata = json!({ "token": id, "name": name, "reason": "inactive" });
                        deleted.map(|_| Audit::new(audit::API_TOKEN_REVOKED).with(metadata))
                    }
                    #[cfg(feature = "oauth-server")]
                    BearerToken::Client { grant, .. } => {
                        let deleted = store::oauth_grants::delete_of_user::<U>(conn, &user, *grant).await?;
                        let metadata = |name| json!({ "name": name, "reason": "inactive" });
                        deleted.map(|name| Audit::new(audit::PROGRAM_REVOKED).with(metadata(name)))
                    }
                };
                if let Some(event) = event {
                    sigra.audit().record_in(conn, &event.of(user.clone()).from(&Client::default())).await?;
                }
                Ok(())
            })?;
            sigra.parts.cache.forget(&id);
            Ok(())
        };
        self.keep_up("could not delete the token of an inactive user", revoked).await;
    }

    /// Records the use of a token. Best effort: a failure is logged and must not fail the request.
    async fn touch_bearer(&self, row: &mut BearerRow, now: OffsetDateTime, ip: Option<IpAddr>) {
        if !row.is_due_for_touch(now) {
            return;
        }
        let (sigra, id, token) = (self.clone(), row.id, row.token.clone());
        let touched = async move {
            let (ip, not_since) = (ip.map(|ip| ip.to_string()), Time(earlier(now, TOUCH_INTERVAL)));
            transact!(sigra, conn => {
                match token {
                    BearerToken::Personal { .. } => {
                        store::api_tokens::touch::<U>(conn, id, Time(now), ip.as_deref(), not_since).await?;
                    }
                    #[cfg(feature = "oauth-server")]
                    BearerToken::Client { .. } => {
                        store::oauth_grants::touch::<U>(conn, id, Time(now), ip.as_deref(), not_since).await?;
                    }
                }
                Ok(())
            })
        };
        if self.keep_up("could not update last_used_at of a token", touched).await.is_some() {
            row.last_used_at = Some(now);
        }
    }
}
