//! Whether a request proves that its session is used by the device it is bound to, and the offer to bind one.

use std::sync::{PoisonError, Weak};

use http::HeaderValue;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::{
        clock::{millis, to_ms},
        error::Error,
        task::ToTheEnd,
        telemetry,
    },
    browser::{bound_cookie::Proof, cookie_session::CookieSession},
    model::{
        audit::Audit,
        binding::{Binding, OFFERED},
        device_bound::{BindingMode, DeviceBound, OnUseWithoutKey, UsedWithoutKey},
        scope::{Clearance, Scope},
        session::SessionRow,
        user::AuthUser,
    },
    sessions::challenge::{Challenge, Purpose},
    sigra::{Sigra, transact},
    store,
};

/// Why a request doesn't prove that its session is used by its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// There is no bound cookie.
    Absent,
    /// None is signed, and for this session and key.
    Invalid,
    /// The bound cookie has expired.
    Expired,
    /// The session must be bound, and isn't.
    Unbound,
}

impl Missing {
    fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Unbound => "unbound",
        }
    }
}

impl<U: AuthUser> Sigra<U> {
    pub(crate) fn is_binding_enforced(&self) -> bool {
        self.parts.config.device_bound.as_ref().is_some_and(|settings| settings.mode == BindingMode::Enforce)
    }

    /// Returns what is missing for the request to use its session. `None` if nothing is.
    pub(crate) fn missing_proof(&self, session: &CookieSession, row: &SessionRow, user: &U) -> Option<Missing> {
        let config = &self.parts.config;
        let device_bound = config.device_bound.as_ref()?;
        let Some(binding) = &row.binding else {
            return self.is_binding_overdue(row, user).then_some(Missing::Unbound);
        };
        let now_ms = config.clock.now_ms();
        let missing = match session.proof(row.id, binding.key.id(), now_ms) {
            Proof::Valid { .. } => return None,
            Proof::Expired => Missing::Expired,
            Proof::Invalid => Missing::Invalid,
            Proof::Absent => Missing::Absent,
        };
        let now = config.clock.now();
        let is_excused = binding.is_in_flight(device_bound.ttl, now)
            || (missing == Missing::Absent && binding.is_tentative(device_bound.ttl, now));
        (!is_excused).then_some(missing)
    }

    /// Returns whether a session had to be bound before now, and isn't. One that waits for a second factor can't be
    /// bound yet.
    pub(crate) fn is_binding_overdue(&self, row: &SessionRow, user: &U) -> bool {
        if row.binding.is_some() || !user.requires_binding() || Clearance::of(user, row) != Clearance::Full {
            return false;
        }
        // A login in a trusted browser doesn't authenticate now, and neither does setting up a second factor. Both
        // offer to bind the session.
        let proven_at = row.mfa_verified_at.map_or(row.authenticated_at, |at| at.max(row.authenticated_at));
        let offered_until = to_ms(proven_at.max(row.inserted_at)).saturating_add(millis(OFFERED));
        self.parts.config.clock.now_ms() >= offered_until
    }

    /// Returns whether the request has a valid bound cookie, in every mode, and also right after the session was bound.
    pub(crate) fn is_device_proven(&self, session: &CookieSession, row: &SessionRow) -> bool {
        let now_ms = self.parts.config.clock.now_ms();
        let proof = row.binding.as_ref().map(|binding| session.proof(row.id, binding.key.id(), now_ms));
        matches!(proof, Some(Proof::Valid { .. }))
    }

    /// Returns whether the browser presents the bound cookie of its session for the first time. An expired one counts
    /// too: it shows that the browser received it.
    pub(crate) fn presents_bound_cookie_first(&self, session: &CookieSession, row: &SessionRow) -> bool {
        let config = &self.parts.config;
        let unconfirmed = row.binding.as_ref().filter(|binding| binding.confirmed_at.is_none());
        unconfirmed.filter(|_| config.device_bound.is_some()).is_some_and(|binding| {
            let proof = session.proof(row.id, binding.key.id(), config.clock.now_ms());
            matches!(proof, Proof::Valid { .. } | Proof::Expired)
        })
    }

    /// Records that the browser has the bound cookie of its session, and returns when. From then on, a request without
    /// the cookie is refused, and no other key can be registered. Best effort: the next request tries again.
    pub(crate) async fn confirm_binding(&self, row: &SessionRow) -> Option<OffsetDateTime> {
        let (sigra, id, now) = (self.clone(), row.id, self.now());
        let key = row.binding.as_ref().filter(|binding| binding.confirmed_at.is_none())?.key;
        let confirmed = async move {
            transact!(sigra, conn => Ok(store::sessions::confirm_binding::<U>(conn, id, &key, now).await?))
        };
        let is_first = self.keep_up("could not record that a browser has its bound cookie", confirmed).await?;
        if !is_first {
            return None;
        }
        self.parts.cache.forget(&id);
        self.parts.bindings.end(id);
        Some(now)
    }

    /// Returns whether the request may use its session as far as its device is concerned, and logs what is missing.
    pub(crate) async fn admits_device(&self, session: &CookieSession, row: &SessionRow, user: &U) -> bool {
        let Some(missing) = self.missing_proof(session, row, user) else { return true };
        self.log_missing(session, row, user, missing);
        if !self.is_binding_enforced() {
            return true;
        }
        // Without `confirmed_at`, the browser itself may have lost the cookie with the response that set it.
        let is_first = |binding: &Binding| binding.confirmed_at.is_some() && binding.misused_at.is_none();
        if row.binding.as_ref().is_some_and(is_first) && session.binding().skipped().is_none() {
            self.note_misuse(session, row, user).await;
        }
        false
    }

    /// Returns whether the request may use the cached scope of its session as far as its device is concerned. If proofs
    /// are only reported, one that is missing takes no look-up: it is logged, and changes nothing. The first one does,
    /// to be recorded.
    pub(crate) fn admits_device_of_cached(&self, session: &CookieSession, scope: &Scope<U>) -> bool {
        let (row, user) = (scope.session(), scope.user());
        if self.presents_bound_cookie_first(session, row) {
            return false;
        }
        let Some(missing) = self.missing_proof(session, row, user) else { return true };
        if self.is_binding_enforced() {
            return false;
        }
        self.log_missing(session, row, user, missing);
        true
    }

    fn log_missing(&self, session: &CookieSession, row: &SessionRow, user: &U, missing: Missing) {
        let mode = if self.is_binding_enforced() { "enforce" } else { "report" };
        tracing::info!(
            target: "sigra", event = telemetry::BINDING_MISSING, user_id = %user.id(), session_id = %row.id, mode,
            reason = missing.name(), skipped = session.binding().skipped(),
        );
    }

    /// Records that a session's token was used without the key, in one transaction with what the host does about it.
    /// Best effort: the next request tries again.
    async fn note_misuse(&self, session: &CookieSession, row: &SessionRow, user: &U) {
        let used = UsedWithoutKey { user: user.clone(), session: row.clone(), client: session.client() };
        let sigra = self.clone();
        let noted = async move {
            let (user_id, session_id) = (used.user.id(), used.session.id);
            let is_first = transact!(sigra, if true, tx => {
                let is_first = store::sessions::note_misuse::<U>(tx, session_id, sigra.now()).await?;
                if is_first {
                    let event = Audit::new(telemetry::USED_WITHOUT_KEY).of(user_id.clone()).from(&used.client);
                    sigra.audit().record_in(tx, &event).await?;
                    if let Some(react) = sigra.reaction() {
                        react(tx, &used).await?;
                    }
                }
                Ok(is_first)
            })?;
            if is_first {
                tracing::warn!(
                    target: "sigra", event = telemetry::USED_WITHOUT_KEY, %user_id, %session_id,
                    "the token of a bound session was used without its key: somebody may have a copy"
                );
                sigra.parts.cache.forget(&session_id);
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = ToTheEnd::new(&self.parts.abandoned, noted).await {
            tracing::warn!(target: "sigra", %error, session_id = %row.id, "could not record that a session's token was used without its key");
        }
    }

    fn reaction(&self) -> Option<OnUseWithoutKey<U>> {
        let reaction = self.parts.on_use_without_key.lock().unwrap_or_else(PoisonError::into_inner);
        reaction.as_ref().and_then(Weak::upgrade)
    }

    /// Offers to bind a session to the browser that a login has opened it in. Not at another host than that of the
    /// origin: browsers wouldn't renew the bound cookie there.
    pub(crate) fn offer_binding(&self, session: &CookieSession, row: &SessionRow) {
        let Some(device_bound) = &self.parts.config.device_bound else { return };
        if !can_be_bound(row) || row.mfa_pending || !session.binding().can_bind() {
            return;
        }
        self.parts.bindings.begin(row.id, self.parts.config.clock.now_ms());
        self.send_offer(session, row, device_bound);
    }

    /// Offers it again, if the browser hasn't taken it, or has never presented the bound cookie. Only the process that
    /// the user logged in at does, because it keeps the number of offers in memory.
    pub(crate) fn offer_binding_again(&self, session: &CookieSession, scope: &Scope<U>) {
        let Some(device_bound) = &self.parts.config.device_bound else { return };
        let row = scope.session();
        if can_be_bound(row)
            && session.binding().can_bind()
            && self.parts.bindings.has_offers()
            && scope.clearance() == Clearance::Full
            && self.parts.bindings.is_due(row.id, self.parts.config.clock.now_ms())
        {
            self.send_offer(session, row, device_bound);
        }
    }

    fn send_offer(&self, session: &CookieSession, row: &SessionRow, device_bound: &DeviceBound) {
        let Some(challenge) = self.challenge(Purpose::Registration, row.id) else { return };
        let header = format!("(ES256);path=\"{}\";challenge=\"{challenge}\"", device_bound.path);
        match HeaderValue::try_from(header) {
            Ok(header) => session.offer_binding(header),
            Err(_) => tracing::error!(target: "sigra", "the offer to bind a session is not a valid header"),
        }
    }

    /// Returns a new challenge for the key of a session. `None` without random bytes.
    pub(crate) fn challenge(&self, purpose: Purpose, session: Uuid) -> Option<String> {
        let challenge = Challenge::new(purpose, session, self.parts.config.clock.now_ms());
        match challenge {
            Ok(challenge) => Some(self.parts.challenge_keys.sign(&challenge.encode())),
            Err(error) => {
                tracing::error!(target: "sigra", %error, "a challenge could not be created");
                None
            }
        }
    }
}

/// Returns whether a session isn't bound, or can be bound again, because the browser has never presented the bound
/// cookie.
fn can_be_bound(row: &SessionRow) -> bool {
    row.binding.as_ref().is_none_or(|binding| binding.confirmed_at.is_none())
}
