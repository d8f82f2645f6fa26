//! Creating, listing and revoking the tokens of a user.

use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::{
        api_token_problem::ApiTokenProblem,
        bearer_secret::{BearerKind, BearerSecret},
        error::Error,
    },
    model::{
        api_token::ApiToken,
        audit::{self, own_event},
        client::Client,
        database::Time,
        new_api_token::{ApiTokenSecret, CreatedApiToken, NewApiToken},
        permission::PermissionList,
        scope::{Scope, Sudo},
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sigra::{Sigra, handle, transact},
    store,
};

handle! {
    /// Creates, lists and revokes personal access tokens. Returned by [`Sigra::api_tokens`].
    ApiTokens,
    /// Returns the handle for [personal access tokens](crate::api_tokens): create them, list them, revoke them.
    api_tokens
}

impl<U: AuthUser> ApiTokens<'_, U> {
    /// Creates a token of the user who sent the request.
    ///
    /// # Errors
    ///
    /// [`Error::ApiToken`] if its name, its permissions or its expiry can't be used, [`Error::TooManyApiTokens`] if the
    /// user has [the maximum](crate::Config::api_tokens_per_user), and [`Error::SessionEnded`] if the session has
    /// ended.
    pub async fn create(self, sudo: &Sudo<U>, new: &NewApiToken, client: &Client) -> Result<CreatedApiToken, Error> {
        self.create_with(sudo, new, client, async |_, _| Ok(())).await
    }

    /// Like [`create`](Self::create), but runs `also` in its transaction: to [send an
    /// email](crate::mail::Mailer::send_in) that informs the user, for example.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), and any error that `also` returns.
    pub async fn create_with(
        self,
        Sudo(scope): &Sudo<U>,
        new: &NewApiToken,
        client: &Client,
        also: impl AsyncFnOnce(&mut Transaction<U>, &ApiToken) -> Result<(), Error>,
    ) -> Result<CreatedApiToken, Error> {
        let config = &self.sigra.parts.config;
        let now = self.sigra.now();
        let secret = BearerSecret::generate(&config.bearer_tokens.prefix, BearerKind::Personal)?;
        let token = self.prepare(new, &secret, now)?;
        let (user, mut also) = (scope.user().id(), Some(also));
        transact!(self.sigra, if also.is_some(), tx => {
            self.sigra.lock_scope(tx, scope).await?;
            // A password reset revokes the tokens that exist. A request from before must not create one after it.
            if !store::sessions::exists::<U>(tx, &user, scope.session().id).await? {
                return Err(Error::SessionEnded);
            }
            self.check_room(tx, &user, now).await?;
            store::api_tokens::forget_expired::<U>(tx, &user, Time(now)).await?;
            let mfa_verified = scope.session().mfa_verified_at.is_some();
            store::api_tokens::insert::<U>(tx, &user, secret.hash(), &token, mfa_verified).await?;
            let event = own_event(audit::API_TOKEN_CREATED, &user, client);
            let permissions = token.permissions.to_string();
            let event = event.with(json!({ "token": token.id, "name": token.name, "permissions": permissions }));
            self.sigra.audit().record_in(tx, &event).await?;
            if let Some(also) = also.take() {
                also(tx, &token).await?;
            }
            Ok(())
        })?;
        Ok(CreatedApiToken { secret: ApiTokenSecret(secret), token })
    }

    /// Returns the row of a new token, if it can be created.
    fn prepare(self, new: &NewApiToken, secret: &BearerSecret, now: OffsetDateTime) -> Result<ApiToken, Error> {
        let registered = &self.sigra.parts.config.bearer_tokens.permissions;
        if let Some(name) = new.permissions.iter().find(|name| !registered.contains(name)) {
            return Err(ApiTokenProblem::Unregistered(name.to_owned()).into());
        }
        Ok(ApiToken {
            id: Uuid::now_v7(),
            name: new.name.clone(),
            hint: secret.hint().to_owned(),
            permissions: new.permissions.clone(),
            expires_at: new.check(now)?,
            last_used_at: None,
            last_used_ip: None,
            inserted_at: now,
        })
    }

    async fn check_room(self, conn: &mut Connection<U>, user: &U::Id, now: OffsetDateTime) -> Result<(), Error> {
        let max = self.sigra.parts.config.bearer_tokens.per_user;
        let has = store::api_tokens::count::<U>(conn, user, Time(now)).await?;
        let has_room = usize::try_from(has).is_ok_and(|has| has < max);
        if has_room { Ok(()) } else { Err(Error::TooManyApiTokens { max }) }
    }

    /// Returns all tokens of the user who sent the request: first those that can be used, the newest first. Expired
    /// ones follow for 30 days. When a token is created, all but the 50 that expired last are deleted.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list(self, scope: &Scope<U>) -> Result<Vec<ApiToken>, Error> {
        let (registered, now) = (&self.sigra.parts.config.bearer_tokens.permissions, Time(self.sigra.now()));
        let mut conn = self.sigra.pool().acquire().await?;
        Ok(store::api_tokens::list::<U>(&mut conn, &scope.user().id(), now, registered).await?)
    }

    /// Revokes a token of the user who sent the request. Returns whether it was theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn revoke(self, scope: &Scope<U>, id: Uuid, client: &Client) -> Result<bool, Error> {
        let user = scope.user().id();
        let revoked = transact!(self.sigra, conn => {
            let Some(name) = store::api_tokens::delete::<U>(conn, &user, id).await? else { return Ok(false) };
            let event = own_event(audit::API_TOKEN_REVOKED, &user, client).with(json!({ "token": id, "name": name }));
            self.sigra.audit().record_in(conn, &event).await?;
            Ok(true)
        })?;
        self.sigra.parts.cache.forget(&id);
        Ok(revoked)
    }

    /// Revokes all tokens of the user who sent the request, and returns how many there were.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn revoke_all(self, scope: &Scope<U>, client: &Client) -> Result<u64, Error> {
        let user = scope.user().id();
        let revoked = transact!(self.sigra, conn => self.revoke_all_in(conn, &user, client).await)?;
        self.sigra.parts.cache.forget(&user);
        Ok(revoked)
    }

    /// Revokes all tokens of a user in the host's own [transaction](crate::Sigra::begin), such as when somebody of the
    /// staff suspends the account. Returns how many there were.
    /// [`announce`](crate::session::Sessions::announce_change) the user after the commit.
    ///
    /// The user's row is locked, so a token that is created at the same moment is created entirely before or after it.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn revoke_all_in(self, conn: &mut Connection<U>, user: &U::Id, client: &Client) -> Result<u64, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        let event = own_event(audit::API_TOKEN_REVOKED, user, client);
        self.sigra.sessions().revoke_api_tokens_in(conn, user, event).await
    }

    /// Returns the permissions that the host registered, for the form of a new token.
    #[must_use]
    pub fn permissions(self) -> PermissionList {
        self.sigra.parts.config.bearer_tokens.permissions.clone()
    }

    /// Returns whether a user with these tokens can create another one.
    #[must_use]
    pub fn can_create(self, tokens: &[ApiToken]) -> bool {
        let now = self.sigra.now();
        let live = tokens.iter().filter(|token| !token.is_expired(now)).count();
        live < self.sigra.parts.config.bearer_tokens.per_user
    }
}
