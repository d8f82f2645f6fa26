//! The programs that users gave access: listing and ending them.

use uuid::Uuid;

use crate::{
    base::{error::Error, telemetry},
    model::{
        audit::{self, own_event},
        client::Client,
        database::Time,
        oauth_client::OauthClient,
        oauth_grant::Grant,
        user::{AuthUser, Connection},
        window::Window,
    },
    oauth_server::handle::OauthServer,
    sigra::transact,
    store::{self, GrantRow},
};

impl<U: AuthUser> OauthServer<'_, U> {
    /// Returns all programs that a user gave access, the most recently used first. There are at most
    /// [100](crate::oauth_server::AuthorizationServer::programs_per_user).
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn grants(self, user: &U::Id) -> Result<Vec<Grant>, Error> {
        let Ok(settings) = self.settings() else { return Ok(Vec::new()) };
        let given = Window::of(settings.grant_ttl, self.sigra.now());
        let mut conn = self.sigra.pool().acquire().await?;
        let rows = store::oauth_grants::list::<U>(&mut conn, user, given).await?;
        Ok(rows.into_iter().map(|row| self.grant(row)).collect())
    }

    pub(super) fn grant(self, row: GrantRow<U::Id>) -> Grant {
        Grant {
            id: row.id,
            client_id: row.client,
            client_name: row.client_name,
            permissions: self.sigra.parts.config.bearer_tokens.permissions.known_in(&row.permissions),
            resource: self.limit_of(row.resource),
            ip: row.ip.and_then(|ip| ip.parse().ok()),
            user_agent: row.user_agent,
            last_used_at: row.last_used_at,
            inserted_at: row.inserted_at,
        }
    }

    /// Fails if a user has given access to the maximum number of programs. The user's row must be locked.
    pub(super) async fn check_room(self, conn: &mut Connection<U>, user: &U::Id) -> Result<(), Error> {
        let settings = self.settings()?;
        let given = Window::of(settings.grant_ttl, self.sigra.now());
        let has = store::oauth_grants::count::<U>(conn, user, Time(given.after)).await?;
        let max = settings.programs_per_user;
        let has_room = usize::try_from(has).is_ok_and(|has| has < max);
        if has_room { Ok(()) } else { Err(Error::TooManyPrograms { max }) }
    }

    /// Ends the client's least recently used grant, to make room for a new one. Returns its ID.
    pub(super) async fn make_room(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        client: &OauthClient,
        program: &Client,
    ) -> Result<Option<Uuid>, Error> {
        let ended = store::oauth_grants::delete_least_recently_used::<U>(&mut *conn, user, &client.id).await?;
        if ended.is_some() {
            let metadata = serde_json::json!({ "name": client.name, "reason": "too_many" });
            self.sigra
                .audit()
                .record_in(conn, &own_event(audit::PROGRAM_REVOKED, user, program).with(metadata))
                .await?;
        }
        Ok(ended)
    }

    /// Ends the access of one of a user's programs, as from their list of devices. Its tokens are invalid at once.
    /// Returns whether it was theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn revoke_grant(self, user: &U::Id, id: Uuid, client: &Client) -> Result<bool, Error> {
        let was_theirs = transact!(self.sigra, conn => {
            store::users::lock::<U>(&mut *conn, user).await?;
            let Some(name) = store::oauth_grants::delete_of_user::<U>(&mut *conn, user, id).await? else {
                return Ok(false);
            };
            let audit = own_event(audit::PROGRAM_REVOKED, user, client).with(serde_json::json!({ "name": name }));
            self.sigra.audit().record_in(conn, &audit).await?;
            Ok(true)
        })?;
        if was_theirs {
            self.sigra.parts.cache.forget(&id);
            tracing::info!(target: "sigra", event = telemetry::PROGRAM_REVOKED, user_id = %user, grant_id = %id);
        }
        Ok(was_theirs)
    }

    /// Ends the access of all of a user's programs in the host's own [transaction](crate::Sigra::begin), as when the
    /// user logs out everywhere, and returns how many there were. [Announce](crate::session::Sessions::announce_change)
    /// the user after the commit.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn revoke_all_grants_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        client: &Client,
    ) -> Result<u64, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        self.sigra.sessions().end_programs_in(conn, user, own_event(audit::PROGRAM_REVOKED, user, client)).await
    }
}
