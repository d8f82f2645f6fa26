//! Purges expired rows, and encrypts again what an older secret encrypted.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::{clock::earlier, error::Error, task::jittered, telemetry},
    browser::browser_tokens::KNOWN_BROWSER_TTL,
    limits::FORGOTTEN,
    model::{
        api_token::EXPIRED_KEPT,
        database::BoxFuture,
        oauth_lifetimes::{DEVICE_CODE_TTL, GRANT_TTL, UNUSED_CLIENT_TTL, USED_CODE_TTL},
        provider_secrets::{FLOW_TTL, tokens_context},
        second_factor::CEREMONY_TTL,
        user::{AuthUser, Connection},
        window::Expired,
    },
    sigra::{Parts, Sigra, handle, transact},
    store,
};

/// How many expired rows one batch deletes. On SQLite, this takes less than a millisecond, which a request may have to
/// wait if there is one core.
const PURGE_BATCH: i64 = 10;

/// How many secrets one batch encrypts again.
const SECRETS_BATCH: i64 = 50;

/// How many secrets [`reencrypt_secrets`](Housekeeping::reencrypt_secrets) found that an older secret key base
/// encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reencrypted {
    /// How many are now encrypted with the newest one.
    pub secrets: u64,
    /// How many can't be read, and were left as they are. The log has an error for each. Add the secret key base that
    /// encrypted them to the [older ones](crate::Config::older_secrets).
    pub unreadable: u64,
}

impl Reencrypted {
    fn count(&mut self, was_readable: bool) {
        *(if was_readable { &mut self.secrets } else { &mut self.unreadable }) += 1;
    }
}

/// Deletes a batch of expired rows, and returns how many there were.
type Purge<U> = for<'c> fn(&'c mut Connection<U>, Expired) -> BoxFuture<'c, u64>;

/// Lists after which time rows expire, and the function of `store` that deletes them.
macro_rules! tables {
    ($($age:expr => $table:ident::$delete:ident),* $(,)?) => {
        [$(($age, |conn, expired| Box::pin(store::$table::$delete::<U::Database>(conn, expired)))),*]
    };
}

handle! {
    /// Purges expired rows, and encrypts secrets with the newest key. Returned by [`Sigra::housekeeping`].
    Housekeeping,
    /// Returns the handle that purges expired rows and encrypts secrets with the newest key.
    housekeeping
}

impl<U: AuthUser> Housekeeping<'_, U> {
    /// Returns the time at which to delete what has expired: by the clock of this process or by that of the database,
    /// whichever is earlier. If one of them is ahead, nothing is deleted too early.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// async fn delete_old_drafts(sigra: &sigra::Sigra<User>) -> sigra::Result<()> {
    ///     let before = sigra.housekeeping().now().await? - std::time::Duration::from_secs(30 * 24 * 60 * 60);
    ///     sqlx::query("DELETE FROM drafts WHERE edited_at < $1").bind(before).execute(sigra.pool()).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn now(self) -> Result<OffsetDateTime, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        self.sigra.earliest_now(&mut conn).await
    }

    /// Deletes expired rows, and returns how many of them were rows of `users_tokens`. It works in batches of 10 and
    /// rests four times as long as each batch took, so that it blocks nobody. Any number of processes can run it at
    /// once.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn purge_expired(self) -> Result<u64, Error> {
        let now = self.now().await?;
        let (tokens, others) = (self.purge_all(now, self.tokens()).await, self.purge_all(now, self.others()).await);
        others.and(tokens)
    }

    /// Returns after which time each kind of row of `users_tokens` expires, and what deletes expired ones.
    fn tokens(self) -> [(Duration, Purge<U>); 6] {
        let config = &self.sigra.parts.config;
        let mailed = [config.links.confirm, config.links.reset, config.links.login, config.links.change_email];
        tables![
            config.sessions.ttl => sessions::purge,
            mailed.into_iter().max().unwrap_or_default() => email_tokens::purge,
            config.links.recovery => email_tokens::purge_recovery_tokens,
            config.sessions.challenge_ttl => sessions::purge_pending,
            config.second_factors.trust_ttl => browsers::purge_trusted,
            KNOWN_BROWSER_TTL => browsers::purge_known,
        ]
    }

    /// Returns the same for all other tables.
    fn others(self) -> [(Duration, Purge<U>); 10] {
        tables![
            // Without the setting, they are kept forever.
            self.sigra.parts.config.audit_retention.unwrap_or(Duration::MAX) => audit_log::purge,
            CEREMONY_TTL => passkeys::purge_ceremonies,
            FLOW_TTL => oauth_flows::purge,
            EXPIRED_KEPT => api_tokens::purge,
            Duration::ZERO => oauth_grants::purge_tokens,
            USED_CODE_TTL => oauth_codes::purge,
            DEVICE_CODE_TTL => oauth_device_codes::purge,
            self.grant_ttl() => oauth_grants::purge,
            UNUSED_CLIENT_TTL => oauth_clients::purge,
            FORGOTTEN => attempts::purge,
        ]
    }

    #[cfg(feature = "oauth-server")]
    fn grant_ttl(self) -> Duration {
        self.sigra.parts.config.oauth_server.as_ref().map_or(GRANT_TTL, |server| server.grant_ttl)
    }

    #[cfg(not(feature = "oauth-server"))]
    fn grant_ttl(self) -> Duration {
        GRANT_TTL
    }

    /// Deletes the expired rows of several tables, and returns how many there were. A failure in one table doesn't keep
    /// the expired rows of others. The first one is returned.
    async fn purge_all(
        self,
        now: OffsetDateTime,
        tables: impl IntoIterator<Item = (Duration, Purge<U>), IntoIter: Send>,
    ) -> Result<u64, Error> {
        let mut all = Ok(0);
        for (age, delete) in tables.into_iter().filter(|(age, _)| *age < Duration::MAX) {
            let purged = self.purge(now, age, delete).await;
            all = all.and_then(|all| purged.map(|purged| all + purged));
        }
        all
    }

    /// Encrypts again the secrets that an older secret key base encrypted, and returns how many there were. It runs in
    /// the background, with [`purge_expired`](crate::Housekeeping::purge_expired). When it encrypts none, no secret
    /// that it can read needs an [older one](crate::Config::older_secrets) any more.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn reencrypt_secrets(self) -> Result<Reencrypted, Error> {
        let mut done = Reencrypted::default();
        self.reencrypt_table("users_totp", store::totp::find_secrets::<U>, reencrypt_app::<U>, &mut done).await?;
        let find = store::identities::find_sealed::<U>;
        self.reencrypt_table("user_identities", find, reencrypt_tokens::<U>, &mut done).await?;
        Ok(done)
    }

    /// Encrypts the secrets of one table again, batch by batch. `find` returns those that follow an ID, without the
    /// first few, and `reencrypt` whether it could decrypt one.
    async fn reencrypt_table<Id>(
        self,
        table: &str,
        find: impl AsyncFn(
            &mut Connection<U>,
            &[u8],
            Option<&Id>,
            i64,
            i64,
        ) -> sqlx::Result<Vec<sqlx::Result<(Id, Vec<u8>)>>>,
        reencrypt: impl AsyncFn(&Sigra<U>, &Id, &[u8]) -> Result<bool, Error>,
        done: &mut Reencrypted,
    ) -> Result<(), Error> {
        let (mut last, mut skip) = (None, 0);
        loop {
            let mut conn = self.sigra.pool().acquire().await?;
            let newest = self.sigra.parts.encryption_keys.newest_id();
            let batch = find(&mut *conn, newest, last.as_ref(), skip, SECRETS_BATCH).await?;
            drop(conn);
            let is_last = batch.len() < SECRETS_BATCH.unsigned_abs() as usize;
            for row in batch {
                match row {
                    Ok((id, old)) => {
                        done.count(reencrypt(self.sigra, &id, &old).await?);
                        (last, skip) = (Some(id), 0);
                    }
                    // It has no ID to go on after, so the next batch skips it by its place.
                    Err(error) => {
                        tracing::error!(target: "sigra", %error, "a row of {table} can't be read: restore or delete it");
                        done.count(false);
                        skip += 1;
                    }
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn purge(self, now: OffsetDateTime, age: Duration, delete: Purge<U>) -> Result<u64, Error> {
        let expired = Expired { before: earlier(now, age), limit: PURGE_BATCH };
        let mut purged = 0;
        loop {
            let begun = Instant::now();
            let batch = transact!(self.sigra, conn => Ok(delete(conn, expired).await?))?;
            purged += batch;
            if batch < PURGE_BATCH.unsigned_abs() {
                return Ok(purged);
            }
            // SQLite would let a thousand pages add up, and then copy them in one go, for which a request has to wait
            // if there is one core.
            store::checkpoint::<U::Database>(&mut *self.sigra.pool().acquire().await?).await?;
            tokio::time::sleep(begun.elapsed() * 4).await;
        }
    }
}

/// Encrypts the secret of an authenticator app again. Returns whether it could be decrypted.
async fn reencrypt_app<U: AuthUser>(sigra: &Sigra<U>, user: &U::Id, old: &[u8]) -> Result<bool, Error> {
    let Some(secret) = sigra.mfa().decrypt_totp(old, user) else { return Ok(false) };
    let new = sigra.mfa().encrypt_totp(&secret, user)?;
    transact!(sigra, conn => Ok(store::totp::replace_secret::<U>(conn, user, old, &new).await?))?;
    Ok(true)
}

/// Encrypts a provider's tokens again. Returns whether they could be decrypted.
async fn reencrypt_tokens<U: AuthUser>(sigra: &Sigra<U>, id: &Uuid, old: &[u8]) -> Result<bool, Error> {
    let (keys, context) = (&sigra.parts.encryption_keys, tokens_context(*id));
    let Some(tokens) = keys.decrypt(old, &context) else {
        tracing::error!(
            target: "sigra", %id,
            "a provider's tokens can't be decrypted: add the previous secret key base with Config::older_secrets",
        );
        return Ok(false);
    };
    let new = keys.encrypt(&tokens, &context)?;
    transact!(sigra, conn => Ok(store::identities::replace_tokens::<U>(conn, *id, old, &new).await?))?;
    Ok(true)
}

/// Purges at intervals, as long as the `Sigra` exists. The intervals vary, so that many processes don't purge at once.
async fn purge<U: AuthUser>(sigra: Weak<Parts<U>>, interval: Duration) {
    loop {
        tokio::time::sleep(jittered(interval)).await;
        let Some(sigra) = sigra.upgrade() else { return };
        let sigra = Sigra { parts: sigra };
        match sigra.housekeeping().purge_expired().await {
            Ok(purged) => tracing::info!(target: "sigra", event = telemetry::TOKENS_PURGED, purged),
            Err(error) => tracing::warn!(target: "sigra", %error, "could not purge expired tokens"),
        }
        match sigra.housekeeping().reencrypt_secrets().await {
            Ok(Reencrypted { unreadable: 0, .. }) => {}
            Ok(Reencrypted { unreadable, .. }) => {
                tracing::error!(target: "sigra", unreadable, "secrets of authenticator apps or tokens of providers can't be read: see the errors before");
            }
            Err(error) => tracing::warn!(target: "sigra", %error, "could not encrypt secrets with the newest key"),
        }
    }
}

impl<U: AuthUser> Sigra<U> {
    /// Starts purging in the background, at the first request that could have left something to purge.
    pub(crate) fn ensure_purged(&self) {
        if let Some(interval) = self.parts.config.purge_interval {
            self.parts.purge.ensure_running(|| purge(Arc::downgrade(&self.parts), interval));
        }
    }
}
