//! Passkeys: registering them, logging in with them, and deleting them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use webauthn_rs::prelude::{
    AuthenticationResult, CreationChallengeResponse, DiscoverableAuthentication, DiscoverableKey,
    PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential,
    RequestChallengeResponse, WebauthnError,
};
use webauthn_rs_proto::ResidentKeyRequirement;

use crate::{
    base::error::Error,
    browser::cookie_session::CookieSession,
    mfa::enrollment::Enrolled,
    model::{
        audit,
        checked::Checked,
        client::{Client, Device},
        log_in::{LoginMethod, LoginOutcome, RememberMe},
        scope::{MfaChallenge, MfaEnrollment, Scope, Sudo},
        second_factor::{CEREMONY_TTL, FactorKind, Passkey, SecondFactors},
        session::{Proof, SessionRow},
        transaction::Transaction,
        user::{AuthUser, Connection},
        window::Window,
    },
    sessions::{log_in::LogIn, trusted_browser::PresentedFactor},
    sigra::{Sigra, handle, transact},
    store::{self, PasskeyRow},
};

/// The prefix of the cookie session's entries that name the pending challenges. Each challenge has its own entry, so
/// that two tabs that begin at once don't overwrite each other.
const ENTRY: &str = "passkey-";

/// The maximum number of pending challenges: one for each tab that was opened recently.
const MAX: usize = 8;

/// The name of a passkey that is renamed to nothing.
const UNNAMED: &str = "Passkey";

/// The longest name of a passkey, in characters.
const MAX_NAME: usize = 60;

/// A user whose passkey was verified, to be [logged in](crate::mfa::Passkeys::log_in).
#[must_use = "the user is not logged in yet: call Passkeys::log_in"]
#[derive(Clone, Debug)]
pub struct PasskeyLogin<U: AuthUser> {
    user: U,
    used: UsedPasskey,
}

impl<U: AuthUser> PasskeyLogin<U> {
    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> &U {
        &self.user
    }
}

/// A passkey that signed a challenge, and the result of the verification.
#[derive(Clone, Debug)]
pub(super) struct UsedPasskey {
    id: Uuid,
    result: AuthenticationResult,
    /// Whether it logs in: the browser found it without the user's email address.
    logs_in: bool,
}

/// A pending challenge and its purpose. The database keeps it until the answer arrives, which takes it out, so that
/// each challenge can be answered only once.
#[derive(Serialize, Deserialize)]
enum Ceremony {
    Registration { user: String, user_handle: Uuid, state: PasskeyRegistration },
    Authentication { user: String, state: PasskeyAuthentication },
    LogIn { state: DiscoverableAuthentication },
}

handle! {
    /// Registers passkeys, logs users in with them, and manages them. Returned by [`Sigra::passkeys`].
    Passkeys,
    /// Returns the handle for [passkeys](crate::mfa#second-factors): register them, log in with them.
    passkeys
}

/// Passkeys.
impl<U: AuthUser> Passkeys<'_, U> {
    /// Begins to register a passkey. Returns what the page passes to `navigator.credentials.create`. The browser shows
    /// `account` as the account's name.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyPasskeys`], [`Error::NoRelyingParty`], [`Error::Passkey`].
    pub async fn begin_registration(
        self,
        session: &CookieSession,
        enrollment: &MfaEnrollment<U>,
        account: &str,
    ) -> Result<CreationChallengeResponse, Error> {
        let user = enrollment.scope().user().id();
        let mut conn = self.sigra.pool().acquire().await?;
        let passkeys = store::passkeys::list::<U>(&mut conn, &user).await?;
        self.check_room(passkeys.len())?;
        // All passkeys of a user have the same handle, so that an authenticator keeps only one of them.
        let user_handle = passkeys.first().map_or_else(Uuid::new_v4, |passkey| passkey.user_handle);
        let known = passkeys.iter().map(|passkey| passkey.credential_id.clone()).collect();
        let webauthn = self.sigra.webauthn()?;
        let (mut challenge, state) =
            webauthn.start_passkey_registration(user_handle, account, account, Some(known)).map_err(failed)?;
        // Only a passkey that the browser finds by itself can log a user in.
        if let Some(selection) = &mut challenge.public_key.authenticator_selection {
            selection.resident_key = Some(ResidentKeyRequirement::Preferred);
        }
        let ceremony = Ceremony::Registration { user: user.to_string(), user_handle, state };
        self.put_ceremony(&mut conn, session, &challenge.public_key.challenge, &ceremony).await?;
        Ok(challenge)
    }

    /// Adds a passkey if the answer matches a pending challenge. Without a name, it gets one from the browser that
    /// created it, such as `Firefox on Linux`.
    ///
    /// A user's first factor ends all their other sessions, which were opened without it, and comes with backup codes.
    /// Every new factor ends the trust in all browsers and [renews](crate::Sigra::renew_session) the session. `email`
    /// is the user's email address: with the first factor, they get a link there to [take the account
    /// back](crate::Recovery::recover_in) if somebody else set it up.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyPasskeys`] if the user has [the maximum](crate::Config::passkeys_per_user), and
    /// [`Error::SessionEnded`] if the session has ended.
    pub async fn finish_registration(
        self,
        session: &CookieSession,
        enrollment: &MfaEnrollment<U>,
        email: &str,
        name: &str,
        answer: &RegisterPublicKeyCredential,
    ) -> Result<Checked<Enrolled>, Error> {
        let also = async |_: &mut Transaction<U>, _: &Enrolled| Ok(());
        self.finish_registration_with(session, enrollment, email, name, answer, also).await
    }

    /// Like [`finish_registration`](Self::finish_registration), but runs `also` in its transaction: to [send an
    /// email](crate::mail::Mailer::send_in) that informs the user, for example.
    ///
    /// # Errors
    ///
    /// Those of [`finish_registration`](Self::finish_registration), and any error that `also` returns.
    pub async fn finish_registration_with(
        self,
        session: &CookieSession,
        enrollment: &MfaEnrollment<U>,
        email: &str,
        name: &str,
        answer: &RegisterPublicKeyCredential,
        also: impl AsyncFnOnce(&mut Transaction<U>, &Enrolled) -> Result<(), Error>,
    ) -> Result<Checked<Enrolled>, Error> {
        let (scope, now) = (enrollment.scope(), self.sigra.now());
        let user = scope.user().id();
        let Some(Ceremony::Registration { user: of, user_handle, state }) =
            self.take_ceremony(session, &answer.response.client_data_json).await?
        else {
            return Ok(Checked::Invalid);
        };
        if of != user.to_string() {
            return Ok(Checked::Invalid);
        }
        let Some(credential) = checked(self.sigra.webauthn()?.finish_passkey_registration(answer, &state)) else {
            return Ok(Checked::Invalid);
        };
        let passkey = PasskeyRow {
            id: Uuid::now_v7(),
            user: user.clone(),
            credential_id: credential.cred_id().to_vec(),
            user_handle,
            credential: serde_json::to_string(&credential)?,
            is_discoverable: answer.extensions.cred_props.as_ref().and_then(|properties| properties.rk),
            is_second_factor_only: false,
            name: read_name(name).unwrap_or_else(|| device_name(&session.client())),
            last_used_at: now,
            inserted_at: now,
        };
        let mfa = self.sigra.mfa();
        let mut also = Some(also);
        transact!(self.sigra, if also.is_some(), tx => {
            self.sigra.lock_scope(tx, scope).await?;
            self.check_room(store::passkeys::list::<U>(tx, &user).await?.len())?;
            let is_first = !store::second_factors::exist::<U>(tx, &user).await?;
            // The credential is already registered (WebAuthn section 7.1, step 26).
            if !store::passkeys::insert::<U>(tx, &passkey).await? {
                return Ok(Checked::Invalid);
            }
            let event = audit::own_event(audit::PASSKEY_ADDED, &user, &session.client());
            let event = event.with(serde_json::json!({ "name": passkey.name }));
            let enrolled = mfa.enroll(tx, session, scope, email, is_first).await?;
            mfa.changed(tx, session, scope, event, Some(Proof::Enrollment)).await?;
            if let Some(also) = also.take() {
                also(tx, &enrolled).await?;
            }
            Ok(Checked::Valid(enrolled))
        })
    }

    /// Returns whether a user who has these second factors can [add](crate::mfa::Passkeys::begin_registration) another
    /// passkey.
    #[must_use]
    pub fn can_add(self, factors: &SecondFactors) -> bool {
        factors.passkeys.len() < self.sigra.parts.config.login_methods.passkeys.per_user
    }

    fn check_room(self, has: usize) -> Result<(), Error> {
        let max = self.sigra.parts.config.login_methods.passkeys.per_user;
        if has < max { Ok(()) } else { Err(Error::TooManyPasskeys { max }) }
    }

    /// Begins a login by passkey, before the user is known. Returns what the page passes to
    /// `navigator.credentials.get`.
    ///
    /// # Errors
    ///
    /// [`Error::NoRelyingParty`], [`Error::Passkey`].
    pub async fn begin_log_in(self, session: &CookieSession) -> Result<RequestChallengeResponse, Error> {
        let (challenge, state) = self.sigra.webauthn()?.start_discoverable_authentication().map_err(failed)?;
        let mut conn = self.sigra.pool().acquire().await?;
        let ceremony = Ceremony::LogIn { state };
        self.put_ceremony(&mut conn, session, &challenge.public_key.challenge, &ceremony).await?;
        Ok(challenge)
    }

    /// Verifies the answer to a pending login challenge, and returns the user it belongs to. After an account was
    /// [recovered](crate::Recovery::recover_in), a passkey can't log in until it has been used as a second factor.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn verify_log_in(
        self,
        session: &CookieSession,
        answer: &PublicKeyCredential,
    ) -> Result<Checked<PasskeyLogin<U>>, Error> {
        let Some(Ceremony::LogIn { state }) = self.take_ceremony(session, &answer.response.client_data_json).await?
        else {
            return Ok(Checked::Invalid);
        };
        let webauthn = self.sigra.webauthn()?;
        let Some((user_handle, credential_id)) = checked(webauthn.identify_discoverable_authentication(answer)) else {
            return Ok(Checked::Invalid);
        };
        let mut conn = self.sigra.pool().acquire().await?;
        let row = store::passkeys::find::<U>(&mut conn, credential_id).await?;
        let can_log_in = |row: &PasskeyRow<_>| row.user_handle == user_handle && !row.is_second_factor_only;
        let Some(row) = row.filter(can_log_in) else { return Ok(Checked::Invalid) };
        let credential = read_credential(&row)?;
        let key = DiscoverableKey::from(&credential);
        let Some(result) = checked(webauthn.finish_discoverable_authentication_v2(answer, state, &key)) else {
            return Ok(Checked::Invalid);
        };
        let used = UsedPasskey { id: row.id, result, logs_in: true };
        let user = store::users::find::<U>(&mut conn, &row.user).await?.filter(AuthUser::is_active);
        Ok(user.map(|user| PasskeyLogin { user, used }).into())
    }

    /// Logs in a user whose passkey was verified. A passkey is two factors: something they have, unlocked by something
    /// they know or are. No other factor is required. That the device was unlocked is certain: user verification is
    /// required, and `webauthn-rs` refuses an answer without it (WebAuthn section 7.2).
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsChanged`] if since then the user was suspended, the account was recovered, or the user or
    /// their passkey was deleted.
    pub async fn log_in(
        self,
        session: &CookieSession,
        log_in: &PasskeyLogin<U>,
        remember_me: RememberMe,
    ) -> Result<LoginOutcome, Error> {
        self.log_in_with(session, log_in, remember_me, async |_, _| Ok(())).await
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
        log_in: &PasskeyLogin<U>,
        remember_me: RememberMe,
        also: impl AsyncFnOnce(&mut Transaction<U>, &SessionRow) -> Result<(), Error>,
    ) -> Result<LoginOutcome, Error> {
        let (user, mut also) = (&log_in.user, Some(also));
        transact!(self.sigra, if also.is_some(), tx => {
            self.sigra.lock_presented(tx, session, user).await?;
            self.sigra.lock_user(tx, user).await?;
            if !self.note(tx, &log_in.used).await? {
                return Err(Error::CredentialsChanged);
            }
            let presented = PresentedFactor { at: self.sigra.now(), kind: Some(FactorKind::Passkey), trusted: None };
            let as_requested = LogIn { method: LoginMethod::Passkey, provider: None, remember_me, presented: Some(presented) };
            self.sigra.log_in_in(tx, session, user, as_requested, &mut also).await
        })
    }

    /// Begins to answer a challenge with a passkey. Returns what the page passes to `navigator.credentials.get`, or
    /// `None` for a user who has no passkey.
    ///
    /// # Errors
    ///
    /// [`Error::NoRelyingParty`], [`Error::Passkey`].
    pub async fn begin_challenge(
        self,
        session: &CookieSession,
        challenge: &MfaChallenge<U>,
    ) -> Result<Option<RequestChallengeResponse>, Error> {
        self.begin_authentication(session, &challenge.0).await
    }

    /// Begins to reauthenticate a user with a passkey, as for [sudo mode](Sudo). Returns `None` for a user who has no
    /// passkey.
    ///
    /// # Errors
    ///
    /// [`Error::NoRelyingParty`], [`Error::Passkey`].
    pub async fn begin_reauthentication(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
    ) -> Result<Option<RequestChallengeResponse>, Error> {
        self.begin_authentication(session, scope).await
    }

    async fn begin_authentication(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
    ) -> Result<Option<RequestChallengeResponse>, Error> {
        let user = scope.user().id();
        let mut conn = self.sigra.pool().acquire().await?;
        let passkeys = store::passkeys::list::<U>(&mut conn, &user).await?;
        // A row that can't be read must not make the other passkeys unusable.
        let credentials: Vec<_> = passkeys.iter().filter_map(|row| read_credential(row).ok()).collect();
        if credentials.is_empty() {
            return Ok(None);
        }
        let (challenge, state) = self.sigra.webauthn()?.start_passkey_authentication(&credentials).map_err(failed)?;
        let ceremony = Ceremony::Authentication { user: user.to_string(), state };
        self.put_ceremony(&mut conn, session, &challenge.public_key.challenge, &ceremony).await?;
        Ok(Some(challenge))
    }

    /// Returns this user's passkey that signed a pending challenge.
    pub(super) async fn check(
        self,
        session: &CookieSession,
        user: &U::Id,
        answer: &PublicKeyCredential,
    ) -> Result<Option<UsedPasskey>, Error> {
        let Some(Ceremony::Authentication { user: of, state }) =
            self.take_ceremony(session, &answer.response.client_data_json).await?
        else {
            return Ok(None);
        };
        if of != user.to_string() {
            return Ok(None);
        }
        let Some(result) = checked(self.sigra.webauthn()?.finish_passkey_authentication(answer, &state)) else {
            return Ok(None);
        };
        let mut conn = self.sigra.pool().acquire().await?;
        let row = store::passkeys::find::<U>(&mut conn, result.cred_id()).await?.filter(|row| row.user == *user);
        Ok(row.map(|row| UsedPasskey { id: row.id, result, logs_in: false }))
    }

    /// Records the use of a passkey. Returns whether it still exists, can do what it did, and its counter has advanced:
    /// another request may have used it since the challenge was created. The user's row must be locked.
    pub(super) async fn note(self, conn: &mut Connection<U>, used: &UsedPasskey) -> Result<bool, Error> {
        let row = store::passkeys::find::<U>(&mut *conn, used.result.cred_id()).await?;
        let Some(row) = row.filter(|row| row.id == used.id) else { return Ok(false) };
        let mut credential = read_credential(&row)?;
        let is_changed = credential.update_credential(&used.result) == Some(true);
        if used.result.counter() > 0 && !is_changed {
            return Ok(false);
        }
        let (credential, now) = (serde_json::to_string(&credential)?, self.sigra.now());
        Ok(store::passkeys::note_use::<U>(conn, row.id, &credential, used.logs_in, now).await?)
    }

    pub(super) async fn list_in(self, conn: &mut Connection<U>, user: &U::Id) -> Result<Vec<Passkey>, Error> {
        let rows = store::passkeys::list::<U>(conn, user).await?;
        let passkey = |row: PasskeyRow<U::Id>| Passkey {
            id: row.id,
            name: row.name,
            last_used_at: row.last_used_at,
            inserted_at: row.inserted_at,
        };
        Ok(rows.into_iter().map(passkey).collect())
    }

    /// Renames a user's passkey, and returns whether it is theirs. A name without visible characters becomes `Passkey`.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn rename(self, user: &U::Id, id: Uuid, name: &str) -> Result<bool, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        let name = read_name(name).unwrap_or_else(|| UNNAMED.to_owned());
        Ok(store::passkeys::rename::<U>(&mut conn, user, id, &name).await?)
    }

    /// Deletes one of the user's passkeys. Returns whether it was theirs. With the last factor, the backup codes are
    /// deleted too. No browser stays trusted, and the session is [renewed](crate::Sigra::renew_session).
    ///
    /// # Errors
    ///
    /// [`Error::LastLoginMethod`] if the user has no other way to log in, [`Error::SecondFactorRequired`] if it is the
    /// last factor of a user who [must](AuthUser::requires_second_factor) have one, and [`Error::SessionEnded`] if the
    /// session has ended.
    pub async fn delete(self, session: &CookieSession, sudo: &Sudo<U>, id: Uuid) -> Result<bool, Error> {
        self.delete_with(session, sudo, id, async |_| Ok(())).await
    }

    /// Like [`delete`](Self::delete), but runs `also` in its transaction if the passkey was theirs: to [send an
    /// email](crate::mail::Mailer::send_in) that informs the user, for example.
    ///
    /// # Errors
    ///
    /// Those of [`delete`](Self::delete), and any error that `also` returns.
    pub async fn delete_with(
        self,
        session: &CookieSession,
        sudo: &Sudo<U>,
        id: Uuid,
        also: impl AsyncFnOnce(&mut Transaction<U>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let (scope, user, mfa) = (sudo.scope(), sudo.user().id(), self.sigra.mfa());
        let mut also = Some(also);
        transact!(self.sigra, if also.is_some(), tx => {
            let locked = self.sigra.lock_scope(tx, scope).await?;
            if !store::passkeys::delete_unless_last::<U>(tx, &user, id, self.sigra.other_ways()).await? {
                return match store::passkeys::is_of::<U>(tx, &user, id).await? {
                    true => Err(Error::LastLoginMethod),
                    false => Ok(false),
                };
            }
            mfa.disenrol(tx, &locked).await?;
            let event = audit::own_event(audit::PASSKEY_REMOVED, &user, &session.client());
            mfa.changed(tx, session, scope, event, None).await?;
            if let Some(also) = also.take() {
                also(tx).await?;
            }
            Ok(true)
        })
    }

    async fn put_ceremony(
        self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        challenge: &[u8],
        ceremony: &Ceremony,
    ) -> Result<(), Error> {
        let id = id_of(challenge);
        store::passkeys::insert_ceremony::<U::Database>(conn, id, &serde_json::to_string(ceremony)?, self.sigra.now())
            .await?;
        let asked_at = |name: &String| session.get::<i64>(name).unwrap_or_default();
        let mut under_way = session.names_of_entries(ENTRY);
        under_way.sort_by_key(asked_at);
        let too_many = (under_way.len() + 1).saturating_sub(MAX);
        under_way[..too_many].iter().for_each(|name| session.remove(name));
        session.put(&entry(id), &self.sigra.now().unix_timestamp())
    }

    /// Takes out the challenge that was answered, if this browser received it recently. Even a wrong answer uses it up.
    async fn take_ceremony(self, session: &CookieSession, client_data: &[u8]) -> Result<Option<Ceremony>, Error> {
        let Some(id) = answered(client_data) else { return Ok(None) };
        if session.get::<i64>(&entry(id)).is_none() {
            return Ok(None);
        }
        session.remove(&entry(id));
        let made = Window::of(CEREMONY_TTL, self.sigra.now());
        let state =
            transact!(self.sigra, conn => Ok(store::passkeys::take_ceremony::<U::Database>(conn, id, made).await?))?;
        Ok(state.map(|state| serde_json::from_str(&state)).transpose()?)
    }
}

fn entry(id: Uuid) -> String {
    format!("{ENTRY}{}", id.simple())
}

/// Returns the ID of a challenge, a hash that reveals nothing about the challenge and proves nothing.
fn id_of(challenge: &[u8]) -> Uuid {
    let digest: [u8; 32] =
        Sha256::new().chain_update("sigra passkey challenge").chain_update(challenge).finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    Uuid::new_v8(id)
}

/// Returns the ID of the challenge that was answered (WebAuthn section 5.8.1, "client data").
fn answered(client_data: &[u8]) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct ClientData {
        challenge: String,
    }
    let client_data: ClientData = serde_json::from_slice(client_data).ok()?;
    URL_SAFE_NO_PAD.decode(client_data.challenge).ok().map(|challenge| id_of(&challenge))
}

fn failed(error: WebauthnError) -> Error {
    Error::Passkey(error.into())
}

/// Logs why an answer is invalid, for developers only: the client doesn't learn it.
fn checked<T>(result: Result<T, WebauthnError>) -> Option<T> {
    result.inspect_err(|error| tracing::info!(target: "sigra", %error, "the answer of a passkey is invalid")).ok()
}

fn read_credential<Id>(row: &PasskeyRow<Id>) -> Result<webauthn_rs::prelude::Passkey, Error> {
    Ok(serde_json::from_str(&row.credential)?)
}

/// Returns the name without control characters, and at most [`MAX_NAME`] characters of it. `None` if nothing is left.
fn read_name(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(MAX_NAME).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Returns the name of a passkey that the user didn't name.
fn device_name(client: &Client) -> String {
    let user_agent = client.user_agent.as_deref().unwrap_or_default();
    Device::from_user_agent(user_agent).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_passkeys_are_cleaned_and_shortened() {
        assert_eq!(read_name("  My phone \u{7}").as_deref(), Some("My phone"));
        assert_eq!(read_name("\u{0}\n"), None);
        assert_eq!(read_name(&"a".repeat(100)).map(|name| name.len()), Some(MAX_NAME));
    }
}
