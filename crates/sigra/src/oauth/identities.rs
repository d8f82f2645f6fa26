//! Identities: what they lead to, and linking them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    base::{error::Error, telemetry},
    browser::cookie_session::CookieSession,
    model::{
        audit::{self, own_event},
        checked::Checked,
        client::Client,
        identity::{ProviderIdentity, ProviderTokens},
        log_in::{LoginMethod, LoginOutcome, RememberMe},
        provider_secrets::tokens_context,
        scope::{Scope, Sudo},
        session::{Proof, SessionRow},
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sessions::log_in::LogIn,
    sigra::{Sigra, handle, transact},
    store::{self, IdentityRow},
};

/// An account at a provider that a user has linked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The ID of the row.
    pub id: Uuid,
    /// The name of the provider.
    pub provider: String,
    /// The email address at the provider, as a label.
    pub email: Option<String>,
    /// When the user last logged in with it.
    pub last_used_at: OffsetDateTime,
    /// When it was linked.
    pub inserted_at: OffsetDateTime,
}

impl<Id> From<IdentityRow<Id>> for Identity {
    fn from(row: IdentityRow<Id>) -> Self {
        let IdentityRow { id, provider, email, last_used_at, inserted_at, .. } = row;
        Self { id, provider, email, last_used_at, inserted_at }
    }
}

/// What an identity leads to, when a visitor logs in with it.
#[must_use = "nobody is logged in yet"]
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a host must decide what to do about each")]
pub enum Decision<U: AuthUser> {
    /// A user has linked it: [log them in](crate::oauth::Identities::log_in).
    LogIn(KnownIdentity<U>),
    /// Nobody has, and no account has the email address that the provider has proven: register a user, confirmed, and
    /// [link it](crate::oauth::Identities::insert_in).
    Register {
        /// The email address, as the host normalized it.
        email: String,
    },
    /// The proven email address belongs to an account that was never confirmed, so that anybody can have registered it.
    /// [Take the account over](crate::Recovery::take_over_in), remove its password, confirm it, and link the identity.
    TakeOver(U),
    /// The proven email address belongs to a confirmed account. It isn't linked by itself: [let it
    /// wait](crate::oauth::Identities::hold), until the owner has logged in and says yes.
    LogInToLink,
    /// The provider has no email address for it, or hasn't proven it: [let it wait](crate::oauth::Identities::hold),
    /// and ask for one. Whether the address has an account must not show.
    AskForEmail,
    /// The user who has linked it, or the owner of the address, [can't be logged in](AuthUser::is_active).
    Inactive,
}

/// The owner of an email address that a provider has proven, from the host's users table.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the library must handle each")]
pub enum AddressOwner<U> {
    /// Nobody can receive email there.
    Invalid,
    /// No account has it. The address is as the host normalized it.
    Nobody(String),
    /// An account that never proved it.
    Unconfirmed(U),
    /// An account that proved it.
    Confirmed(U),
}

/// A user who has linked the identity that a visitor has proven.
#[must_use = "the user is not logged in yet: call Identities::log_in"]
#[derive(Clone, Debug)]
pub struct KnownIdentity<U: AuthUser> {
    user: U,
    row: IdentityRow<U::Id>,
    tokens: Option<Vec<u8>>,
}

impl<U: AuthUser> KnownIdentity<U> {
    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> &U {
        &self.user
    }
}

/// The result of [linking](crate::oauth::Identities::link_in) an identity.
#[must_use = "it may not be linked"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a host must decide what to say about each")]
pub enum Linked {
    /// It is linked now.
    Now,
    /// It was linked to this user before.
    Before,
    /// Another user has linked it.
    ByAnother,
    /// It isn't linked, because the user has linked the maximum number already.
    TooMany {
        /// The maximum.
        max: u32,
    },
}

/// The maximum number of accounts that a user can link.
const MAX_LINKED: u32 = 20;

/// The tokens of an identity, as its row has them.
#[derive(Serialize, Deserialize)]
pub(super) struct HeldTokens {
    access_token: Zeroizing<String>,
    refresh_token: Option<Zeroizing<String>>,
    expires_at: Option<i64>,
}

impl From<&ProviderTokens> for HeldTokens {
    fn from(tokens: &ProviderTokens) -> Self {
        Self {
            access_token: tokens.access_token.clone(),
            refresh_token: tokens.refresh_token.clone(),
            expires_at: tokens.expires_at.map(OffsetDateTime::unix_timestamp),
        }
    }
}

impl From<HeldTokens> for ProviderTokens {
    fn from(held: HeldTokens) -> Self {
        Self {
            access_token: held.access_token,
            refresh_token: held.refresh_token,
            expires_at: held.expires_at.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok()),
        }
    }
}

impl ProviderIdentity {
    /// Creates an identity without an email address, such as to [link](crate::oauth::Identities::insert_in) the
    /// accounts that your users had in another system. The subject must be what the issuer's ID tokens have as `sub`.
    #[must_use]
    pub fn new(provider: impl Into<String>, issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            issuer: issuer.into(),
            subject: subject.into(),
            email: None,
            email_proven: false,
            auth_time: None,
            tokens: None,
        }
    }
}

handle! {
    /// Logs users in with accounts at providers, and links and unlinks them. Returned by [`Sigra::identities`].
    Identities,
    /// Returns the handle for accounts at [providers](crate::oauth) that users have linked.
    identities
}

/// Logging in.
impl<U: AuthUser> Identities<'_, U> {
    /// Decides what an identity leads to, and changes nothing. `owner` looks up who has the identity's email address.
    /// It is awaited only if the provider has proven the address, and nobody has linked the identity.
    ///
    /// What the decision relies on can change before you act on it. Each action checks that it still holds, so decide
    /// again if it doesn't: [`insert_in`](Self::insert_in) doesn't return [`Linked::Now`], for example.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], and any error that `owner` returns.
    pub async fn decide(
        self,
        identity: &ProviderIdentity,
        owner: impl Future<Output = Result<AddressOwner<U>, Error>>,
    ) -> Result<Decision<U>, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        if let Some(row) = store::identities::find::<U>(&mut conn, &identity.issuer, &identity.subject).await? {
            let user = store::users::find::<U>(&mut conn, &row.user).await?.filter(AuthUser::is_active);
            let Some(user) = user else { return Ok(Decision::Inactive) };
            let tokens = self.seal_tokens(row.id, identity)?;
            let row = IdentityRow { provider: identity.provider.clone(), email: identity.email.clone(), ..row };
            return Ok(Decision::LogIn(KnownIdentity { user, row, tokens }));
        }
        drop(conn);
        if !identity.email_proven {
            return Ok(Decision::AskForEmail);
        }
        Ok(match owner.await? {
            AddressOwner::Invalid => Decision::AskForEmail,
            AddressOwner::Nobody(email) => Decision::Register { email },
            AddressOwner::Unconfirmed(user) if user.is_active() => Decision::TakeOver(user),
            AddressOwner::Unconfirmed(_) => Decision::Inactive,
            AddressOwner::Confirmed(_) => Decision::LogInToLink,
        })
    }

    /// Logs in the user who has linked an identity, with the same checks as a login with a password: a user who has a
    /// second factor is logged in once they have presented it.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsChanged`] if the user was suspended or deleted, their password changed, or the identity was
    /// unlinked since.
    pub async fn log_in(
        self,
        session: &CookieSession,
        known: &KnownIdentity<U>,
        remember_me: RememberMe,
    ) -> Result<LoginOutcome, Error> {
        self.log_in_with(session, known, remember_me, async |_, _| Ok(())).await
    }

    /// Like [`log_in`](Self::log_in), but runs `also` in the transaction of the login, as in
    /// [`log_in_with`](crate::Sigra::log_in_with).
    ///
    /// # Errors
    ///
    /// Those of [`log_in`](Self::log_in), and any error that `also` returns.
    pub async fn log_in_with(
        self,
        session: &CookieSession,
        known: &KnownIdentity<U>,
        remember_me: RememberMe,
        also: impl AsyncFnOnce(&mut Transaction<U>, &SessionRow) -> Result<(), Error>,
    ) -> Result<LoginOutcome, Error> {
        let (user, mut also) = (&known.user, Some(also));
        let used = IdentityRow { last_used_at: self.sigra.now(), ..known.row.clone() };
        transact!(self.sigra, if also.is_some(), tx => {
            self.sigra.lock_presented(tx, session, user).await?;
            self.sigra.lock_user(tx, user).await?;
            if !store::identities::note_use::<U>(tx, &used, known.tokens.as_deref()).await? {
                return Err(Error::CredentialsChanged);
            }
            let presented = self.sigra.presented_before(tx, session, &user.id()).await?;
            let provider = Some(used.provider.as_str());
            let as_requested = LogIn { method: LoginMethod::Provider, provider, remember_me, presented };
            self.sigra.log_in_in(tx, session, user, as_requested, &mut also).await
        })
    }

    /// Reauthenticates a user who came back from one of their providers, which was asked to authenticate them again,
    /// and [renews](crate::Sigra::renew_session) the session. The identity must be theirs.
    ///
    /// # Errors
    ///
    /// [`Error::SecondFactorRequired`] if the user has a second factor, and [`Error::SessionEnded`] if the session has
    /// ended.
    pub async fn reauthenticate(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        identity: &ProviderIdentity,
    ) -> Result<Checked, Error> {
        let user = scope.user().id();
        let confirmed = transact!(self.sigra, if true, tx => {
            self.sigra.lock_scope(tx, scope).await?;
            let row = store::identities::find::<U>(tx, &identity.issuer, &identity.subject).await?;
            let Some(row) = row.filter(|row| row.user == user) else { return Ok(Checked::Invalid) };
            if store::second_factors::exist::<U>(tx, &user).await? {
                return Err(Error::SecondFactorRequired);
            }
            store::identities::note_use::<U>(tx, &IdentityRow { last_used_at: self.sigra.now(), ..row }, None).await?;
            let event = own_event(telemetry::REAUTHENTICATION_SUCCESS, &user, &session.client());
            self.sigra.audit().record_in(tx, &event.with(provider_of(identity))).await?;
            self.sigra.renew_session_with(tx, session, scope, Some(Proof::Provider)).await?;
            Ok(Checked::Valid(()))
        })?;
        if confirmed.is_valid() {
            tracing::info!(
                target: "sigra", event = telemetry::REAUTHENTICATION_SUCCESS,
                user_id = %user, session_id = %scope.session().id,
            );
        }
        Ok(confirmed)
    }
}

/// Linking and unlinking.
impl<U: AuthUser> Identities<'_, U> {
    /// Returns the accounts at providers that a user has linked, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list(self, user: &U::Id) -> Result<Vec<Identity>, Error> {
        self.list_in(&mut *self.sigra.pool().acquire().await?, user).await
    }

    /// Like [`list`](Self::list), but in the host's own transaction: to tell a user which of them still open their
    /// account after a new password, for example.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list_in(self, conn: &mut Connection<U>, user: &U::Id) -> Result<Vec<Identity>, Error> {
        let rows = store::identities::list::<U>(conn, user).await?;
        Ok(rows.into_iter().map(Identity::from).collect())
    }

    /// Returns whether a user has linked an identity. Ask before you look at an email address that a visitor entered:
    /// if only a free one were refused because of the identity, the response would reveal who has an account.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn is_linked_in(self, conn: &mut Connection<U>, identity: &ProviderIdentity) -> Result<bool, Error> {
        Ok(store::identities::find::<U>(conn, &identity.issuer, &identity.subject).await?.is_some())
    }

    /// Links an identity to a user, in the transaction in which you register them or take their account over. Of
    /// several concurrent calls for one identity, only one returns [`Linked::Now`]. Roll the transaction back and
    /// decide again otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::Encryption`].
    pub async fn insert_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        identity: &ProviderIdentity,
        client: &Client,
    ) -> Result<Linked, Error> {
        let now = self.sigra.now();
        let row = IdentityRow {
            id: Uuid::now_v7(),
            user: user.clone(),
            provider: identity.provider.clone(),
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            email: identity.email.clone(),
            last_used_at: now,
            inserted_at: now,
        };
        let tokens = self.seal_tokens(row.id, identity)?;
        if !store::identities::insert::<U>(&mut *conn, &row, tokens.as_deref()).await? {
            let before = self.linked_before(conn, user, identity).await?;
            return Ok(before.unwrap_or(Linked::ByAnother));
        }
        let event = own_event(audit::IDENTITY_LINKED, user, client).with(provider_of(identity));
        self.sigra.audit().record_in(conn, &event).await?;
        Ok(Linked::Now)
    }

    /// Returns how an identity is linked already, if it is.
    async fn linked_before(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        identity: &ProviderIdentity,
    ) -> Result<Option<Linked>, Error> {
        let row = store::identities::find::<U>(conn, &identity.issuer, &identity.subject).await?;
        Ok(row.map(|row| if row.user == *user { Linked::Before } else { Linked::ByAnother }))
    }

    /// Links an identity to the user of the session in which the [flow](crate::oauth::FlowPurpose::Link) began, and
    /// [renews](crate::Sigra::renew_session) the session. Send an email about it in the same transaction. A user can
    /// link 20.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session has ended. Roll the transaction back then.
    pub async fn link_in(
        self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        identity: &ProviderIdentity,
    ) -> Result<Linked, Error> {
        let user = scope.user().id();
        self.sigra.lock_scope(tx, scope).await?;
        if store::identities::count::<U>(tx, &user).await? >= i64::from(MAX_LINKED) {
            let before = self.linked_before(tx, &user, identity).await?;
            return Ok(before.unwrap_or(Linked::TooMany { max: MAX_LINKED }));
        }
        let linked = self.insert_in(tx, &user, identity, &session.client()).await?;
        if linked == Linked::Now {
            self.sigra.renew_session_in(tx, session, scope).await?;
        }
        Ok(linked)
    }

    /// Unlinks one of the user's identities, and [renews](crate::Sigra::renew_session) the session. Returns it, if it
    /// was theirs. Send an email about it in the same transaction.
    ///
    /// # Errors
    ///
    /// [`Error::LastLoginMethod`] if the user has no other way to log in: no password, no passkey, no identity of a
    /// [provider that you have](crate::Config::login_providers), and no [links](crate::Config::login_links).
    /// [`Error::SessionEnded`] if the session has ended. Roll the transaction back then.
    pub async fn unlink_in(
        self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        Sudo(scope): &Sudo<U>,
        id: Uuid,
    ) -> Result<Option<Identity>, Error> {
        let user = scope.user().id();
        self.sigra.lock_scope(tx, scope).await?;
        let Some(row) = store::identities::find_of::<U>(tx, &user, id).await? else { return Ok(None) };
        if !store::identities::delete_unless_last::<U>(tx, &user, id, self.sigra.other_ways()).await? {
            return Err(Error::LastLoginMethod);
        }
        let event = own_event(audit::IDENTITY_UNLINKED, &user, &session.client());
        let event = event.with(serde_json::json!({ "provider": row.provider }));
        self.sigra.audit().record_in(tx, &event).await?;
        self.sigra.renew_session_in(tx, session, scope).await?;
        Ok(Some(row.into()))
    }

    /// Returns the tokens of a user's identity, if the host [keeps](crate::oauth::Provider::keep_tokens) them.
    ///
    /// # Errors
    ///
    /// [`Error::Encryption`] if no known secret key base decrypts them.
    pub async fn tokens(self, user: &U::Id, id: Uuid) -> Result<Option<ProviderTokens>, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        let Some(sealed) = store::identities::find_tokens::<U>(&mut conn, user, id).await? else { return Ok(None) };
        let json = self.sigra.parts.encryption_keys.decrypt(&sealed, &tokens_context(id)).ok_or(Error::Encryption)?;
        Ok(Some(serde_json::from_slice::<HeldTokens>(&json)?.into()))
    }

    fn seal_tokens(self, id: Uuid, identity: &ProviderIdentity) -> Result<Option<Vec<u8>>, Error> {
        let Some(tokens) = &identity.tokens else { return Ok(None) };
        let json = Zeroizing::new(serde_json::to_vec(&HeldTokens::from(tokens))?);
        self.sigra.parts.encryption_keys.encrypt(&json, &tokens_context(id)).map(Some)
    }
}

fn provider_of(identity: &ProviderIdentity) -> serde_json::Value {
    serde_json::json!({ "provider": identity.provider })
}
