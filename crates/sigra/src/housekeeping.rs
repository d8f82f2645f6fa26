//! Purges what has expired, and encrypts anew what an older secret has encrypted.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use crate::{
    base::{clock::earlier, error::Error, task::jittered, telemetry},
    browser::browser_tokens::KNOWN_BROWSER_TTL,
    limits::FORGOTTEN,
    model::{
        second_factor::CEREMONY_TTL,
        user::{AuthUser, Connection},
        window::Expired,
    },
    sigra::{Parts, Sigra, handle, transact},
    store,
};

/// Expired rows are deleted in batches of this size.
const PURGE_BATCH: i64 = 50;

handle! {
    /// Deletes what has expired, and rotates keys. From [`Sigra::housekeeping`].
    Housekeeping,
    /// Deletes what has expired, and encrypts secrets with the newest key.
    housekeeping
}

impl<U: AuthUser> Housekeeping<'_, U> {
    /// Deletes expired rows, and gives their number. It works in small batches and rests between them, four
    /// times as long as each took, so that nobody else waits; any number of processes may do it at once.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn purge_expired(self) -> Result<u64, Error> {
        let config = &self.sigra.parts.config;
        let email = [config.confirm_ttl, config.reset_ttl, config.log_in_link_ttl, config.change_email_ttl];
        let email = email.into_iter().max().unwrap_or_default();
        let sessions = self.purge(config.sessions.ttl, store::sessions::purge::<U::Database>).await;
        let mailed = self.purge(email, store::email_tokens::purge::<U::Database>).await;
        let recovery = self.purge(config.recovery_ttl, store::email_tokens::purge_recovery_tokens::<U::Database>).await;
        let pending = self.purge(config.sessions.challenge_ttl, store::sessions::purge_pending::<U::Database>).await;
        let trusted = self.purge(config.cookies.mfa_trust_ttl, store::browsers::purge_trusted::<U::Database>).await;
        let known = self.purge(KNOWN_BROWSER_TTL, store::browsers::purge_known::<U::Database>).await;
        let events = match config.audit_retention {
            Some(retention) => self.purge(retention, store::audit_log::purge::<U::Database>).await,
            None => Ok(0),
        };
        let ceremonies = self.purge(CEREMONY_TTL, store::passkeys::purge_ceremonies::<U::Database>).await;
        let attempts = self.purge(FORGOTTEN, store::attempts::purge::<U::Database>).await;
        // What fails in one table is no reason to keep the rows of another.
        let tokens = [sessions, mailed, recovery, pending, trusted, known].into_iter().sum::<Result<u64, Error>>()?;
        events?;
        ceremonies?;
        attempts?;
        Ok(tokens)
    }

    /// Encrypts secrets anew that an older `SECRET_KEY_BASE` has encrypted, and gives their number. It runs in the
    /// background beside [`purge_expired_tokens`](crate::Housekeeping::purge_expired). When it finds none, the older one is
    /// no longer needed for them.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn reencrypt_secrets(self) -> Result<u64, Error> {
        use crate::store;
        const BATCH: i64 = 50;
        let (mut reencrypted, mut last) = (0, None);
        loop {
            let mut conn = self.sigra.pool().acquire().await?;
            let newest = self.sigra.parts.encryption_keys.newest_id();
            let outdated = store::totp::find_secrets::<U>(&mut conn, newest, last.as_ref(), BATCH).await?;
            drop(conn);
            let was_all = outdated.len() < BATCH.unsigned_abs() as usize;
            let mut read = Vec::with_capacity(outdated.len());
            for row in outdated {
                match row {
                    Ok(row) => read.push(row),
                    Err(error) => tracing::error!(target: "sigra", %error, "a secret can't be read, and is left out"),
                }
            }
            // Those that can't be read or decrypted stay, and are not to keep others from their turn.
            for (user, old) in &read {
                let Some(secret) = self.sigra.mfa().decrypt_totp(old, user) else { continue };
                let new = self.sigra.mfa().encrypt_totp(&secret, user)?;
                transact!(self.sigra, conn => Ok(store::totp::replace_secret::<U>(conn, user, old, &new).await?))?;
                reencrypted += 1;
            }
            match read.pop() {
                Some((user, _)) if !was_all => last = Some(user),
                _ => return Ok(reencrypted),
            }
        }
    }

    async fn purge(
        self,
        age: Duration,
        delete: impl AsyncFn(&mut Connection<U>, Expired) -> sqlx::Result<u64>,
    ) -> Result<u64, Error> {
        let expired = Expired { before: earlier(self.sigra.now(), age), limit: PURGE_BATCH };
        let mut purged = 0;
        loop {
            let begun = Instant::now();
            let batch = transact!(self.sigra, conn => Ok(delete(conn, expired).await?))?;
            purged += batch;
            if batch < PURGE_BATCH.unsigned_abs() {
                return Ok(purged);
            }
            tokio::time::sleep(begun.elapsed() * 4).await;
        }
    }
}

/// Purges now and then, for as long as there is somebody who may need it. The intervals differ, so that
/// many processes don't do it all at once.
async fn purge<U: AuthUser>(sigra: Weak<Parts<U>>, interval: Duration) {
    loop {
        tokio::time::sleep(jittered(interval)).await;
        let Some(sigra) = sigra.upgrade() else { return };
        let sigra = Sigra { parts: sigra };
        match sigra.housekeeping().purge_expired().await {
            Ok(purged) => tracing::info!(target: "sigra", event = telemetry::TOKENS_PURGED, purged),
            Err(error) => tracing::warn!(target: "sigra", %error, "expired tokens are not purged"),
        }
        if let Err(error) = sigra.housekeeping().reencrypt_secrets().await {
            tracing::warn!(target: "sigra", %error, "secrets are not encrypted anew");
        }
    }
}

impl<U: AuthUser> Sigra<U> {
    /// Begins to purge in the background, at the first request that could have found something to purge.
    pub(crate) fn ensure_purged(&self) {
        if let Some(interval) = self.parts.config.purge_interval {
            self.parts.purge.ensure_running(|| purge(Arc::downgrade(&self.parts), interval));
        }
    }
}
