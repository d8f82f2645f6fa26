//! Accounts at providers, such as Google: logging in with one, linking and unlinking them.
//!
//! An identity is the issuer and its ID of the account, never an email address. An address that the provider has proven
//! decides only what happens to an identity that nobody has linked, as `Decision` says.

use sigra::{
    Checked, CookieSession, RememberMe, Scope, Sudo,
    limits::Limit,
    oauth::{
        AddressOwner, Callback, Decision, FlowError, FlowOutcome, FlowPurpose, Identity, KnownIdentity, Linked,
        PendingIdentity, Provider, ProviderIdentity,
    },
};
use uuid::Uuid;

use super::{
    AccountError, Accounts, FieldErrors, NextStep, Transaction, User,
    log_in::FirstFactor,
    user::{Inserted, NewUser, invalid_email, normalize_email},
};

/// How often to retry a login after another request changed what the decision relied on.
const MAX_TRIES: usize = 4;

/// The outcome of a login at a provider.
#[must_use = "a login may not be complete yet: send the user to the next step"]
pub enum ProviderOutcome {
    /// The user was logged in, or has a next step.
    LogIn {
        next_step: NextStep,
        /// Whether the login took the account over from somebody who registered it without confirming the address.
        took_over: bool,
    },
    /// The account with this address isn't linked. Its owner must log in first.
    LogInToLink,
    /// The provider has proven no address, so the visitor must enter one.
    AskForEmail,
    /// Nobody has linked the identity, and the registration is closed.
    RegistrationClosed,
    /// The identity was linked to the user, or not.
    Link(Linked),
    /// The user is in sudo mode.
    Sudo,
    /// The user reauthenticated with an identity that isn't theirs, or must present their second factor.
    SudoRefused,
    /// The account can't be used.
    Inactive,
}

impl Accounts {
    /// Returns the provider with this name.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.policy.providers.get(name)
    }

    /// Returns the name of a provider that users know. An identity can be older than the settings.
    pub fn provider_label(&self, name: &str) -> String {
        self.provider(name).map_or_else(|| name.to_owned(), |provider| provider.label().to_owned())
    }

    /// Begins a login at a provider, and returns the URL to redirect to.
    pub async fn begin_provider_flow(
        &self,
        session: &CookieSession,
        provider: &str,
        purpose: FlowPurpose<'_, User>,
    ) -> Result<String, FlowError> {
        let uri = self.redirect_uri(provider);
        self.sigra.oauth_flows().begin(session, &self.policy.providers, provider, &uri, purpose).await
    }

    /// Completes a login at a provider: logs in, links the identity, or enters sudo mode.
    pub async fn complete_provider_flow(
        &self,
        session: &CookieSession,
        scope: Option<&Scope<User>>,
        provider: &str,
        callback: &Callback,
    ) -> Result<ProviderOutcome, FlowError> {
        let (flows, uri) = (self.sigra.oauth_flows(), self.redirect_uri(provider));
        let outcome = flows.complete(session, scope, &self.policy.providers, provider, &uri, callback).await?;
        match (outcome, scope) {
            (FlowOutcome::LogIn { identity, remember_me }, _) => {
                Ok(self.log_in_with_identity(session, &identity, remember_me).await?)
            }
            (FlowOutcome::Link(identity), Some(scope)) => {
                Ok(ProviderOutcome::Link(self.link_identity(session, scope, &identity).await?))
            }
            (FlowOutcome::Reauthenticate(identity), Some(scope)) => {
                match self.sigra.identities().reauthenticate(session, scope, &identity).await {
                    Ok(Checked::Valid(())) => Ok(ProviderOutcome::Sudo),
                    Ok(Checked::Invalid) | Err(sigra::Error::SecondFactorRequired) => Ok(ProviderOutcome::SudoRefused),
                    Err(error) => Err(error.into()),
                }
            }
            _ => Err(FlowError::OtherSession),
        }
    }

    /// Returns the callback of a provider. Each provider has its own (RFC 9700 section 4.4).
    fn redirect_uri(&self, provider: &str) -> String {
        self.notifier.url(&format!("users/auth/{provider}/callback"))
    }

    /// Decides what an identity leads to, and does it. Registering a user and taking an account over lead to the login
    /// of a known identity.
    async fn log_in_with_identity(
        &self,
        session: &CookieSession,
        identity: &ProviderIdentity,
        remember_me: RememberMe,
    ) -> Result<ProviderOutcome, sigra::Error> {
        let mut took_over = false;
        for _ in 0..MAX_TRIES {
            match self.sigra.identities().decide(identity, self.owner_of(identity)).await? {
                Decision::LogIn(known) => {
                    let next_step = self.log_in_linked_user(session, known, remember_me).await?;
                    return Ok(ProviderOutcome::LogIn { next_step, took_over });
                }
                Decision::Register { .. } | Decision::AskForEmail if !self.policy.registration_open => {
                    return Ok(ProviderOutcome::RegistrationClosed);
                }
                Decision::Register { email } => self.register_with_identity(session, &email, identity).await?,
                Decision::TakeOver(user) => took_over |= self.take_over_by_identity(session, &user, identity).await?,
                Decision::LogInToLink => {
                    self.sigra.identities().hold(session, identity, remember_me).await?;
                    return Ok(ProviderOutcome::LogInToLink);
                }
                Decision::AskForEmail => {
                    // Nobody can receive email at the address, if it was proven.
                    let mut unproven = identity.clone();
                    unproven.email_proven = false;
                    self.sigra.identities().hold(session, &unproven, remember_me).await?;
                    return Ok(ProviderOutcome::AskForEmail);
                }
                Decision::Inactive => return Ok(ProviderOutcome::Inactive),
            }
        }
        Err(sigra::Error::CredentialsChanged)
    }

    /// Returns who has the email address of an identity.
    async fn owner_of(&self, identity: &ProviderIdentity) -> Result<AddressOwner<User>, sigra::Error> {
        let Some(email) = identity.email.as_deref().and_then(normalize_email) else { return Ok(AddressOwner::Invalid) };
        Ok(match self.get_user_by_email(&email).await? {
            None => AddressOwner::Nobody(email),
            Some(user) if user.confirmed_at.is_none() => AddressOwner::Unconfirmed(user),
            Some(user) => AddressOwner::Confirmed(user),
        })
    }

    /// Logs in the user who has linked an identity, as a password would.
    async fn log_in_linked_user(
        &self,
        session: &CookieSession,
        known: KnownIdentity<User>,
        remember_me: RememberMe,
    ) -> Result<NextStep, sigra::Error> {
        let user = known.user().clone();
        if self.must_confirm(&user) {
            // They can confirm the address in this browser, because they proved that the account is theirs.
            self.remember_registrant(session, &user)?;
        }
        self.log_in_with_factor(session, &user, FirstFactor::Identity(Box::new(known)), remember_me).await
    }

    /// Registers a user with an address that the provider has proven. Does nothing if another request registered the
    /// address or linked the identity at the same time.
    async fn register_with_identity(
        &self,
        session: &CookieSession,
        email: &str,
        identity: &ProviderIdentity,
    ) -> Result<(), sigra::Error> {
        let client = session.client();
        let mut tx = self.sigra.begin().await?;
        let new = NewUser { email, hashed_password: None };
        let Inserted::New(user) = self.insert_user(&mut tx, &new, &client).await? else { return Ok(()) };
        self.confirm_in(&mut tx, &user, &client).await?;
        if self.sigra.identities().insert_in(&mut tx, &user.id, identity, &client).await? == Linked::Now {
            tx.commit().await?;
        }
        Ok(())
    }

    /// Gives an account whose address was never confirmed to the owner of the address, as a password reset does.
    /// Deletes everything with which the person who registered it could log in. Returns whether the account was given.
    async fn take_over_by_identity(
        &self,
        session: &CookieSession,
        user: &User,
        identity: &ProviderIdentity,
    ) -> Result<bool, sigra::Error> {
        let client = session.client();
        let mut tx = self.sigra.begin().await?;
        let revoked = self.sigra.recovery().take_over_in(&mut tx, &user.id, &client).await?;
        let removed = sqlx::query(
            "UPDATE users SET hashed_password = NULL, updated_at = $1
             WHERE id = $2 AND email = $3 AND confirmed_at IS NULL",
        )
        .bind(self.sigra.now())
        .bind(user.id)
        .bind(&user.email)
        .execute(&mut *tx)
        .await?;
        if removed.rows_affected() == 0
            || self.sigra.identities().insert_in(&mut tx, &user.id, identity, &client).await? != Linked::Now
        {
            return Ok(false);
        }
        let user = self.confirm_in(&mut tx, user, &client).await?;
        let label = self.provider_label(&identity.provider);
        let mail = self.notifier.taken_over_by_identity(&user, &label);
        self.notifier.notify_in(&mut tx, &user, "taken over", mail).await?;
        self.sigra.sessions().announce_in(&mut tx, revoked);
        tx.commit().await?;
        Ok(true)
    }

    /// Links an identity to a logged-in user, and sends an email about it.
    async fn link_identity(
        &self,
        session: &CookieSession,
        scope: &Scope<User>,
        identity: &ProviderIdentity,
    ) -> Result<Linked, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        let linked = self.link_identity_in(&mut tx, session, scope, identity).await?;
        tx.commit().await?;
        Ok(linked)
    }

    async fn link_identity_in(
        &self,
        tx: &mut Transaction,
        session: &CookieSession,
        scope: &Scope<User>,
        identity: &ProviderIdentity,
    ) -> Result<Linked, sigra::Error> {
        let linked = self.sigra.identities().link_in(tx, session, scope, identity).await?;
        if linked == Linked::Now {
            let label = self.provider_label(&identity.provider);
            let (user, mail) = (scope.user(), self.notifier.identity_linked(scope.user(), &label));
            // A thief who links and unlinks must not bury one email under thousands.
            self.sigra.limits().check_in(tx, Limit::CHANGES, "link", &user.id.to_string()).await?;
            self.notifier.notify_in(tx, user, "linked", mail).await?;
        }
        Ok(linked)
    }

    /// Links the identity that waits for this browser to the user who has logged in, and says yes.
    pub async fn link_pending_identity(
        &self,
        session: &CookieSession,
        Sudo(scope): &Sudo<User>,
        id: &str,
    ) -> Result<Option<(PendingIdentity, Linked)>, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        let Some(pending) = self.sigra.identities().take_pending_in(&mut tx, session, id).await?.valid() else {
            return Ok(None);
        };
        let linked = self.link_identity_in(&mut tx, session, scope, &pending.identity).await?;
        tx.commit().await?;
        Ok(Some((pending, linked)))
    }

    /// Registers the visitor whose identity waits for this browser, with an address that isn't proven, and sends the
    /// link that confirms it. Responds in the same way for a taken address, whose owner gets an email.
    pub async fn register_pending_identity(
        &self,
        session: &CookieSession,
        id: &str,
        email: &str,
    ) -> Result<(), AccountError> {
        self.check_registration_is_open()?;
        let email = normalize_email(email).ok_or_else(|| FieldErrors::of_email(invalid_email()))?;
        let client = session.client();
        let mut tx = self.sigra.begin().await?;
        let pending =
            self.sigra.identities().take_pending_in(&mut tx, session, id).await?.ok_or(AccountError::InvalidLink)?;
        // First, so that the response is the same for a taken address.
        if self.sigra.identities().is_linked_in(&mut tx, &pending.identity).await? {
            return Err(AccountError::InvalidLink);
        }
        match self.insert_user(&mut tx, &NewUser { email: &email, hashed_password: None }, &client).await? {
            Inserted::New(user) => {
                let linked = self.sigra.identities().insert_in(&mut tx, &user.id, &pending.identity, &client).await?;
                if linked != Linked::Now {
                    // Another request linked it at this moment, which a taken address wouldn't show either.
                    return self.remember_decoy_registrant(session).map_err(AccountError::from);
                }
                self.remember_registrant(session, &user)?;
                if self.notifier.may_mail(&mut tx, "confirm", &email).await? {
                    self.send_confirmation_instructions(&mut tx, &user).await?;
                }
            }
            Inserted::Taken(owner) => {
                self.remember_decoy_registrant(session)?;
                if let Some(owner) = owner {
                    self.send_already_registered_notice(&mut tx, &owner).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Unlinks an identity, and sends an email about it. Returns whether it was the user's.
    pub async fn unlink_identity(
        &self,
        session: &CookieSession,
        sudo: &Sudo<User>,
        id: Uuid,
    ) -> Result<Option<Identity>, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        let Some(identity) = self.sigra.identities().unlink_in(&mut tx, session, sudo, id).await? else {
            return Ok(None);
        };
        let label = self.provider_label(&identity.provider);
        let mail = self.notifier.identity_unlinked(sudo.user(), &label);
        self.notifier.notify_in(&mut tx, sudo.user(), "unlinked", mail).await?;
        tx.commit().await?;
        Ok(Some(identity))
    }

    /// Returns the provider at which the user can reauthenticate, by one of their identities.
    pub async fn provider_for_sudo(&self, user: &User) -> Result<Option<&Provider>, sigra::Error> {
        let identities = self.sigra.identities().list(&user.id).await?;
        let providers = identities.iter().filter_map(|identity| self.provider(&identity.provider));
        Ok(providers.into_iter().find(|provider| provider.can_reauthenticate()))
    }
}
