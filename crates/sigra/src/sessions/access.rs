//! Ending all access to an account: sessions, tokens, browsers and programs.

use crate::{
    base::{error::Error, token::Context},
    model::{
        audit::{self, Audit},
        session::SessionId,
        user::{AuthUser, Connection},
    },
    sessions::{handle::Sessions, revoke::Revoked},
    store,
};

impl<U: AuthUser> Sessions<'_, U> {
    /// Ends all access to an account, or all except one session. Links to recover the account stay.
    pub(crate) async fn end_all_access_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        // With them go the known and the trusted browsers.
        store::email_tokens::delete_all::<U>(conn, user, None, None).await?;
        self.end_all_but_links_in(conn, user, except).await
    }

    /// Ends all access to an account except that of one session, and of the personal access tokens. Links to reset the
    /// password and to recover the account stay.
    pub(crate) async fn end_other_access_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        kept: SessionId,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        let resets = Context::ResetPassword.name();
        store::email_tokens::delete_all::<U>(conn, user, None, Some(&resets)).await?;
        self.end_programs_in(conn, user, Audit::new(audit::PROGRAM_REVOKED).of(user.clone())).await?;
        self.delete_all_in(conn, user, Some(kept)).await
    }

    /// Ends all access to an account that is going to be deleted, or all except one session. Links that were sent to the
    /// user's email address stay.
    pub(crate) async fn end_access_before_deletion_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        store::email_tokens::delete_all_but_links::<U>(conn, user).await?;
        self.end_all_but_links_in(conn, user, except).await
    }

    /// Revokes access tokens, and ends the access of programs and all sessions, or all except one.
    async fn end_all_but_links_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        // A user who forgot the password, or lost the account to somebody, doesn't know who created the tokens.
        self.revoke_api_tokens_in(conn, user, Audit::new(audit::API_TOKEN_REVOKED).of(user.clone())).await?;
        self.end_programs_in(conn, user, Audit::new(audit::PROGRAM_REVOKED).of(user.clone())).await?;
        self.delete_all_in(conn, user, except).await
    }

    /// Revokes all personal access tokens of a user, whose row must be locked, and records it. Returns how many there
    /// were.
    pub(crate) async fn revoke_api_tokens_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        event: Audit<U::Id>,
    ) -> Result<u64, Error> {
        let revoked = store::api_tokens::delete_all::<U>(&mut *conn, user).await?;
        if revoked > 0 {
            self.sigra.audit().record(conn, &event.with(serde_json::json!({ "tokens": revoked }))).await?;
        }
        Ok(revoked)
    }

    /// Ends the access of all programs of a user, whose row must be locked, and records it. Returns how many there were.
    /// A program is like another browser of the user: with a new password or a first second factor, it must ask again.
    pub(crate) async fn end_programs_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        event: Audit<U::Id>,
    ) -> Result<u64, Error> {
        store::oauth_codes::delete_all::<U>(&mut *conn, user).await?;
        store::oauth_device_codes::delete_all::<U>(&mut *conn, user).await?;
        let ended = store::oauth_grants::delete_all::<U>(&mut *conn, user).await?;
        if ended > 0 {
            self.sigra.audit().record(conn, &event.with(serde_json::json!({ "programs": ended }))).await?;
        }
        Ok(ended)
    }
}
