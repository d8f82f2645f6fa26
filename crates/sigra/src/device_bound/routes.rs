//! What the two routes do: bind a session, and renew its bound cookie.

use http::{HeaderMap, HeaderName};
use uuid::Uuid;

use crate::{
    base::{
        clock::{later, to_ms},
        error::Error,
        telemetry,
    },
    browser::{bound_cookie::BoundCookie, cookie_session::CookieSession},
    device_bound::{
        handle::DeviceBinding,
        proof::SignedChallenge,
        response::{BindingResponse, BoundSession, SessionChallenge},
    },
    model::{
        binding::{Binding, BindingKey},
        device_bound::DeviceBound,
        scope::Scope,
        session::{SessionId, SessionRow},
        user::AuthUser,
    },
    sessions::challenge::{Challenge, Purpose},
    sigra::transact,
    store,
};

const RESPONSE: HeaderName = HeaderName::from_static("secure-session-response");
const SESSION_ID: HeaderName = HeaderName::from_static("sec-secure-session-id");

/// Why a browser's proof isn't accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// There is none.
    Missing,
    /// It isn't the JWT of a browser.
    Malformed,
    /// It is meant for another URL.
    Audience,
    /// Its challenge has expired, or wasn't sent to this session for this.
    Challenge,
    /// Its challenge was used before.
    Used,
    /// The key didn't sign it.
    Signature,
    /// The session is bound already.
    Bound,
    /// The request was sent to another host than that of the origin.
    Host,
}

impl Refusal {
    /// Returns the name in the log.
    fn name(self) -> &'static str {
        match self {
            Self::Missing => "no_proof",
            Self::Malformed => "malformed",
            Self::Audience => "audience",
            Self::Challenge => "challenge",
            Self::Used => "used",
            Self::Signature => "signature",
            Self::Bound => "bound_already",
            Self::Host => "host",
        }
    }

    /// Returns whether the browser did nothing wrong: it may have taken too long, or sent its response twice.
    fn deserves_another_challenge(self) -> bool {
        matches!(self, Self::Challenge | Self::Used)
    }
}

impl<U: AuthUser> DeviceBinding<'_, U> {
    /// Binds the session of a request to the key that its browser presents: the handler of `POST` at the
    /// [path](crate::config::DeviceBound::path) in the settings. The response sets the bound cookie.
    ///
    /// The browser signs the challenge of the offer, which is for this session and expires after two minutes. A session
    /// is bound once: until its browser first presents the bound cookie, which may have been lost on the way, only the
    /// challenge of a newer offer can bind it to another key.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use axum::{extract::State, http::HeaderMap};
    /// use sigra::{CookieSession, Scope, Sigra, device_bound::BindingResponse};
    ///
    /// async fn bind(
    ///     State(sigra): State<Sigra<User>>,
    ///     session: CookieSession,
    ///     scope: Scope<User>,
    ///     headers: HeaderMap,
    /// ) -> sigra::Result<BindingResponse> {
    ///     sigra.device_binding().register(&session, &scope, &headers).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn register(
        self,
        session: &CookieSession,
        scope: &Scope<U>,
        headers: &HeaderMap,
    ) -> Result<BindingResponse, Error> {
        let (sigra, id) = (self.sigra, scope.session().id);
        let Some(settings) = &sigra.parts.config.device_bound else { return Ok(BindingResponse::Refused) };
        if !session.binding().can_bind() {
            return Ok(refuse(id, Purpose::Registration, Refusal::Host));
        }
        let (key, challenge) = match self.key_to_register(scope.session(), settings, headers) {
            Ok(signed) => signed,
            Err(reason) => return Ok(refuse(id, Purpose::Registration, reason)),
        };
        let (binding, offered_at) = (Binding::new(key, sigra.now()), challenge.id().issued_at());
        let is_bound = transact!(sigra, conn => Ok(store::sessions::bind::<U>(conn, id, &binding, offered_at).await?))?;
        if !is_bound {
            return Ok(refuse(id, Purpose::Registration, Refusal::Bound));
        }
        sigra.parts.cache.forget(&id);
        sigra.parts.bindings.pause(id, sigra.parts.config.clock.now_ms());
        let user_id = scope.user().id();
        tracing::info!(target: "sigra", event = telemetry::BINDING_REGISTERED, user_id = %user_id, session_id = %id);
        Ok(self.renewed(session, id, &key, settings))
    }

    fn key_to_register(
        self,
        session: &SessionRow,
        settings: &DeviceBound,
        headers: &HeaderMap,
    ) -> Result<(BindingKey, Challenge), Refusal> {
        let jwt = headers.get(RESPONSE).ok_or(Refusal::Missing)?;
        let signed = self.signed(jwt.as_bytes(), settings)?;
        let challenge = self.challenge(&signed, Purpose::Registration, session.id).ok_or(Refusal::Challenge)?;
        Ok((signed.own_key().ok_or(Refusal::Signature)?, challenge))
    }

    /// Renews the bound cookie of a session: the handler of `POST` at the path in the settings, with `/refresh` after
    /// it. The browser is first sent a challenge, and then presents it signed with the session's key.
    ///
    /// The handler takes no scope: the request comes without the bound cookie that a scope requires. If a link on
    /// another site caused it, it comes without the session token too, because browsers withhold `SameSite=Lax`
    /// cookies. The key is enough then: the bound cookie is worth nothing without the token.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use axum::{extract::State, http::HeaderMap};
    /// use sigra::{CookieSession, Sigra, device_bound::BindingResponse};
    ///
    /// async fn refresh(
    ///     State(sigra): State<Sigra<User>>,
    ///     session: CookieSession,
    ///     headers: HeaderMap,
    /// ) -> sigra::Result<BindingResponse> {
    ///     sigra.device_binding().refresh(&session, &headers).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn refresh(self, session: &CookieSession, headers: &HeaderMap) -> Result<BindingResponse, Error> {
        let sigra = self.sigra;
        let Some(id) = headers.get(SESSION_ID).and_then(|id| session_id(id.as_bytes())) else {
            return Ok(BindingResponse::Refused);
        };
        let settings = sigra.parts.config.device_bound.as_ref();
        let found = sigra.find_presented(session, id).await?;
        let (Some(settings), Some((row, key))) = (settings, found.and_then(bound)) else {
            return Ok(BindingResponse::Ended(id));
        };
        let Some(jwt) = headers.get(RESPONSE) else { return self.ask(id) };
        match self.check_key(jwt.as_bytes(), id, &key, settings) {
            Ok(()) => {}
            Err(reason) if reason.deserves_another_challenge() => {
                log_refusal(id, Purpose::Refresh, reason);
                return self.ask(id);
            }
            Err(reason) => return Ok(refuse(id, Purpose::Refresh, reason)),
        }
        sigra.confirm_binding(&row).await;
        if session.has_token() {
            sigra.note_use(&row).await;
        }
        #[cfg(feature = "live")]
        sigra.parts.live.note_proven(id, sigra.parts.config.clock.now_ms());
        Ok(self.renewed(session, id, &key, settings))
    }

    fn ask(self, id: SessionId) -> Result<BindingResponse, Error> {
        let challenge = self.sigra.challenge(Purpose::Refresh, id).ok_or(Error::Random)?;
        Ok(BindingResponse::Challenge(SessionChallenge::new(&challenge, id)))
    }

    fn check_key(self, jwt: &[u8], id: SessionId, key: &BindingKey, settings: &DeviceBound) -> Result<(), Refusal> {
        let signed = self.signed(jwt, settings)?;
        let challenge = self.challenge(&signed, Purpose::Refresh, id).ok_or(Refusal::Challenge)?;
        if !signed.is_signed_by(key) {
            return Err(Refusal::Signature);
        }
        let parts = &self.sigra.parts;
        let is_first = parts.bindings.use_challenge(id, challenge.id(), parts.config.clock.now_ms());
        if is_first { Ok(()) } else { Err(Refusal::Used) }
    }

    fn signed<'a>(self, jwt: &'a [u8], settings: &DeviceBound) -> Result<SignedChallenge<'a>, Refusal> {
        let signed = SignedChallenge::parse(jwt).ok_or(Refusal::Malformed)?;
        let register = format!("{}{}", settings.origin, settings.path);
        let refresh = format!("{}{}", settings.origin, settings.refresh_path());
        if signed.is_meant_for(&[&register, &refresh]) { Ok(signed) } else { Err(Refusal::Audience) }
    }

    /// Returns the challenge that was signed, if it was sent to this session for this purpose a short time ago.
    fn challenge(self, signed: &SignedChallenge<'_>, purpose: Purpose, session: SessionId) -> Option<Challenge> {
        let parts = &self.sigra.parts;
        let challenge = Challenge::decode(parts.challenge_keys.verify(signed.challenge())?.value)?;
        challenge.is_for(purpose, session, parts.config.clock.now_ms()).then_some(challenge)
    }

    /// Gives the browser the bound cookie.
    fn renewed(
        self,
        session: &CookieSession,
        id: SessionId,
        key: &BindingKey,
        settings: &DeviceBound,
    ) -> BindingResponse {
        let until_ms = to_ms(later(self.sigra.now(), settings.ttl));
        session.keep_bound(BoundCookie { session: id, key: key.id(), until_ms }, settings.max_age());
        BindingResponse::Bound(BoundSession::new(id, settings, &self.sigra.parts.cookies))
    }
}

fn refuse(id: SessionId, purpose: Purpose, reason: Refusal) -> BindingResponse {
    log_refusal(id, purpose, reason);
    BindingResponse::Refused
}

fn log_refusal(id: SessionId, purpose: Purpose, reason: Refusal) {
    tracing::info!(target: "sigra", event = telemetry::BINDING_REFUSED, session_id = %id, purpose = purpose.name(), reason = reason.name());
}

fn bound(row: SessionRow) -> Option<(SessionRow, BindingKey)> {
    let key = row.binding.as_ref()?.key;
    Some((row, key))
}

/// Returns the session that a browser names, with or without quotation marks.
fn session_id(header: &[u8]) -> Option<SessionId> {
    let text = str::from_utf8(header).ok()?.trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    Uuid::try_parse(bare).ok()
}
