//! Programs with access but without the pages that give it, for the fixtures of [`TestHost`](super::TestHost).

use uuid::Uuid;

use crate::{
    base::{
        bearer_secret::{BearerKind, BearerSecret},
        clock::later,
        error::Error,
        token::{RefreshToken, random_bytes},
    },
    model::{permission::Permissions, user::AuthUser},
    sigra::Sigra,
    store::{self, GrantRow, NewAccessToken},
};

impl<U: AuthUser> Sigra<U> {
    /// Gives a client of the settings access, as if in a session with the second factor that the user has. Returns its
    /// access token, or `None` if there is no such client.
    pub(super) async fn insert_program(
        &self,
        user: &U::Id,
        client_id: &str,
        permissions: &Permissions,
    ) -> Result<Option<BearerSecret>, Error> {
        let settings = self.parts.config.oauth_server.as_ref().ok_or(Error::NoAuthorizationServer)?;
        let Some(client) = settings.clients.iter().find(|client| client.id == client_id) else { return Ok(None) };
        let (now, refresh) = (self.now(), RefreshToken::generate()?);
        let access = BearerSecret::generate(&self.parts.config.bearer_tokens.prefix, BearerKind::Client)?;
        let mut conn = self.pool().acquire().await?;
        let grant = GrantRow {
            id: Uuid::now_v7(),
            user: user.clone(),
            client: client.id.clone(),
            client_name: client.name.clone(),
            permissions: permissions.to_string(),
            resource: settings.issuer.clone(),
            mfa_verified: store::second_factors::exist::<U>(&mut conn, user).await?,
            refresh_token: refresh.hash(),
            salt: random_bytes::<16>()?.to_vec(),
            previous_token: None,
            superseded_at: None,
            ip: None,
            user_agent: None,
            last_used_at: now,
            inserted_at: now,
        };
        store::oauth_grants::insert::<U>(&mut conn, &grant, refresh.series()).await?;
        let (permissions, expires_at) = (&*grant.permissions, later(now, settings.access_token_ttl));
        let token = NewAccessToken { token: access.hash(), permissions, expires_at, now };
        store::oauth_grants::insert_token::<U>(&mut conn, grant.id, &token).await?;
        Ok(Some(access))
    }
}
