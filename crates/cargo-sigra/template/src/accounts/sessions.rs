//! Logging out on other devices.

use sigra::{Client, Scope, SessionId, telemetry};

use super::{Accounts, User};

impl Accounts {
    /// Logs the user out everywhere. Also forgets all trusted and known browsers.
    pub async fn delete_all_user_session_tokens(
        &self,
        user: &User,
        // <api_tokens>
        revoke_api_tokens: bool,
        // </api_tokens>
        client: &Client,
    ) -> Result<usize, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        // <api_tokens>
        if revoke_api_tokens {
            self.sigra.api_tokens().revoke_all_in(&mut tx, &user.id, client).await?;
            // <oauth_server>
            self.sigra.oauth_server().revoke_all_grants_in(&mut tx, &user.id, client).await?;
            // </oauth_server>
        }
        // </api_tokens>
        let revoked = self.sigra.sessions().delete_all_in(&mut tx, &user.id, None).await?;
        self.sigra.trusted_browsers().delete_all_in(&mut tx, &user.id).await?;
        self.sigra.known_browsers().delete_all_in(&mut tx, &user.id).await?;
        self.record(&mut tx, telemetry::SESSION_REVOKED, user, client).await?;
        tx.commit().await?;
        let count = revoked.len();
        self.sigra.sessions().announce(revoked);
        Ok(count)
    }

    /// Logs the user out on one of their devices. Returns whether it was theirs.
    pub async fn delete_user_session(&self, user: &User, id: SessionId, client: &Client) -> Result<bool, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        let revoked = self.sigra.sessions().delete_in(&mut tx, &user.id, id).await?;
        let was_theirs = !revoked.is_empty();
        if was_theirs {
            self.record(&mut tx, telemetry::SESSION_REVOKED, user, client).await?;
        }
        tx.commit().await?;
        self.sigra.sessions().announce(revoked);
        Ok(was_theirs)
    }

    /// Logs the user out everywhere but here. Also stops trusting all other browsers. Returns how many sessions ended.
    pub async fn delete_other_user_sessions(
        &self,
        scope: &Scope<User>,
        client: &Client,
    ) -> Result<usize, sigra::Error> {
        let user = scope.user();
        let mut tx = self.sigra.begin().await?;
        let revoked = self.sigra.sessions().delete_all_in(&mut tx, &user.id, Some(scope.session().id)).await?;
        self.sigra.trusted_browsers().delete_others_in(&mut tx, scope).await?;
        if !revoked.is_empty() {
            self.record(&mut tx, telemetry::SESSION_REVOKED, user, client).await?;
        }
        tx.commit().await?;
        let count = revoked.len();
        self.sigra.sessions().announce(revoked);
        Ok(count)
    }
}
