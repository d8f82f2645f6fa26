//! Personal access tokens without a page, for the fixtures of [`TestHost`](super::TestHost).

use time::Duration;
use uuid::Uuid;

use crate::{
    base::{
        bearer_secret::{BearerKind, BearerSecret},
        error::Error,
    },
    model::{
        api_token::ApiToken,
        new_api_token::{ApiTokenSecret, CreatedApiToken},
        permission::Permissions,
        user::AuthUser,
    },
    sigra::Sigra,
    store,
};

impl<U: AuthUser> Sigra<U> {
    /// Creates a token that expires after 30 days, as if in a session with the second factor that the user has.
    pub(super) async fn insert_api_token(
        &self,
        user: &U::Id,
        permissions: Permissions,
    ) -> Result<CreatedApiToken, Error> {
        let secret = BearerSecret::generate(&self.parts.config.bearer_tokens.prefix, BearerKind::Personal)?;
        let token = ApiToken {
            id: Uuid::now_v7(),
            name: "Test".to_owned(),
            hint: secret.hint().to_owned(),
            permissions,
            expires_at: Some(self.now() + Duration::days(30)),
            last_used_at: None,
            last_used_ip: None,
            inserted_at: self.now(),
        };
        let mut conn = self.pool().acquire().await?;
        let has_factor = store::second_factors::exist::<U>(&mut conn, user).await?;
        store::api_tokens::insert::<U>(&mut conn, user, secret.hash(), &token, has_factor).await?;
        Ok(CreatedApiToken { secret: ApiTokenSecret(secret), token })
    }
}
