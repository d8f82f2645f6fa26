//! Device authorization (RFC 8628): a program without a browser shows a code, which the user enters in a browser.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;

use crate::{
    base::{clock::later, error::Error, token::FlowToken},
    model::{
        client::{Client, Sender},
        limit::Limit,
        oauth_client::OauthClient,
        oauth_grant::{OnNewGrant, system_of},
        oauth_lifetimes::DEVICE_CODE_TTL,
        permission::RegisteredPermission,
        scope::{Scope, Sudo},
        session::SessionRow,
        transaction::Transaction,
        user::AuthUser,
        user_code::UserCode,
        window::Window,
    },
    oauth_server::{
        endpoint::read_form,
        handle::OauthServer,
        issue::{Given, Tokens},
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
        response::json,
    },
    sigra::{Sigra, transact},
    store::{self, DeviceCodeRow, NewDeviceCode},
};

/// How often a program can ask at first, in seconds (RFC 8628 section 3.5).
const INTERVAL: i32 = 5;

/// The maximum, in seconds: a program that doesn't slow down doesn't wait forever either.
const LONGEST_INTERVAL: i32 = 60;

/// How many codes a user can enter: 10, then a delay of 30 seconds that doubles up to an hour. A success doesn't reset
/// it, or an attacker could enter their own codes in between.
const ENTERED_CODES: Limit = Limit::SECOND_FACTOR.free(10);

/// The decisions of a user, as rows have them.
const APPROVED: &str = "approved";
const DENIED: &str = "denied";

/// How often another program could have the same user code by chance.
const TRIES: usize = 4;

const UNKNOWN: Refusal =
    Refusal::invalid_grant("the device code is unknown, used, or of another client").because("unknown_code");
const EXPIRED: Refusal = Refusal::new("expired_token", "the device code has expired: begin again");
const SLOW_DOWN: Refusal = Refusal::new("slow_down", "ask less often");
const PENDING: Refusal = Refusal::new("authorization_pending", "the user hasn't decided yet");
const DENIED_BY_USER: Refusal = Refusal::new("access_denied", "the user didn't allow it");
const LOGIN_ENDED: Refusal =
    Refusal::new("access_denied", "the login that allowed it has ended").because("login_ended");

/// A program that waits for the user who entered its code.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "show it to the user, who decides"]
pub struct DeviceRequest {
    /// The client.
    pub client: OauthClient,
    /// The permissions that it asks for, with their descriptions.
    pub permissions: Vec<RegisteredPermission>,
    /// The [resource](crate::oauth_server::AuthorizationServer::resource) that its tokens will be limited to. `None` if
    /// they will be valid at the whole server.
    pub resource: Option<String>,
    /// The IP address of the program, for the user to compare.
    pub ip: Option<IpAddr>,
    /// The operating system of the program, if it says so.
    pub system: Option<&'static str>,
    /// When the program began to wait.
    pub inserted_at: OffsetDateTime,
    /// How long it will have access, unless the user ends it before (OWASP ASVS 10.7.2).
    pub lifetime: Duration,
}

/// Whether a program asks too early, and how often it can ask from now on.
struct Pace {
    is_early: bool,
    /// How often it can ask from now on, in seconds.
    next: i32,
}

#[derive(Serialize)]
struct Body<'a> {
    device_code: &'a str,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: i32,
}

impl<U: AuthUser> OauthServer<'_, U> {
    /// The endpoint `/oauth/device_authorization` (RFC 8628 section 3.1): answers a program with a code for the user,
    /// and one for itself.
    pub async fn device_authorization(self, request: Request) -> Response {
        let program = Sender::of(&request, &self.sigra.parts.config.requests.trusted_proxies).client();
        let answered = async {
            let (headers, parameters) = read_form(request).await?;
            self.sigra.limits().check_program(&program)?;
            let begin = async move |sigra: Sigra<U>| {
                let server = sigra.oauth_server();
                let client = server.authenticate(&headers, &parameters).await?;
                server.begin_device(&client, &parameters, &program).await.map_err(|error| error.of(&client))
            };
            Ok(self.to_the_end(begin).await)
        };
        answered.await.unwrap_or_else(|error: EndpointError| error.into_response())
    }

    async fn begin_device(
        self,
        client: &OauthClient,
        parameters: &Parameters,
        program: &Client,
    ) -> Result<Response, EndpointError> {
        if !client.devices {
            return Err(Refusal::new("unauthorized_client", "the client can't use device authorization").into());
        }
        let permissions = self.permissions_for(client, parameters.get("scope"))?.to_string();
        let resource = self.resource_for(client, parameters.get("resource"))?;
        let code = FlowToken::generate()?;
        for _ in 0..TRIES {
            let user_code = UserCode::generate()?;
            let new = NewDeviceCode {
                code: code.hash(),
                user_code: self.hash_of(&user_code)?,
                client: &client.id,
                permissions: &permissions,
                resource: &resource,
                poll_interval: INTERVAL,
                ip: program.ip.map(|ip| ip.to_string()),
                user_agent: program.user_agent.as_deref(),
                now: self.sigra.now(),
            };
            let inserted: Result<bool, Error> =
                transact!(self.sigra, conn => Ok(store::oauth_device_codes::insert::<U::Database>(conn, &new).await?));
            if inserted? {
                self.sigra.ensure_purged();
                return Ok(self.device_response(&code, &user_code)?);
            }
        }
        Err(Error::NoUserCode.into())
    }

    fn device_response(self, code: &FlowToken, user_code: &UserCode) -> Result<Response, Error> {
        let verification_uri = format!("{}/device", self.settings()?.issuer);
        let body = Body {
            device_code: &code.encode(),
            user_code: user_code.to_string(),
            verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
            verification_uri,
            expires_in: DEVICE_CODE_TTL.as_secs(),
            interval: INTERVAL,
        };
        Ok(json(StatusCode::OK, &body))
    }

    /// Finds the program whose code the user of this session entered, so that they can decide about it in this session.
    /// Returns `None` if no program waits with this code. Call it only from a `POST`, and show the program's name and
    /// permissions, and a warning: somebody else may have sent the user the code.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`] after 10 codes of the user.
    pub async fn enter_user_code(self, scope: &Scope<U>, code: &UserCode) -> Result<Option<DeviceRequest>, Error> {
        let (user, session) = (scope.user().id(), scope.session().id);
        self.settings()?;
        self.sigra.limits().check(ENTERED_CODES, "oauth user code", &user.to_string()).await?;
        let (hash, begun) = (self.hash_of(code)?, self.begun());
        let row = transact!(self.sigra, conn => {
            self.sigra.lock_scope(conn, scope).await?;
            Ok(store::oauth_device_codes::enter::<U>(conn, &hash, &user, session, begun).await?)
        })?;
        let Some(row) = row else { return Ok(None) };
        self.device_request(row).await
    }

    /// Gives the program with this code access, because the user allowed it. Returns it, or `None` if the code wasn't
    /// [entered](Self::enter_user_code) in this session, expired, or was decided about. Call it only from a `POST`.
    ///
    /// It takes a recent login, because what it gives outlives the session, and because a user who must authenticate
    /// again has a moment to think about who sent them the code (RFC 8628 section 5.4).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyPrograms`] if the user has given access to the maximum number of programs, and
    /// [`Error::SessionEnded`] if the user became inactive.
    pub async fn approve_device(self, Sudo(scope): &Sudo<U>, code: &UserCode) -> Result<Option<DeviceRequest>, Error> {
        self.decide(scope, code, APPROVED).await
    }

    /// Refuses the program with this code access, as [`approve_device`](Self::approve_device) gives it.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the user became inactive.
    pub async fn deny_device(self, scope: &Scope<U>, code: &UserCode) -> Result<Option<DeviceRequest>, Error> {
        self.decide(scope, code, DENIED).await
    }

    async fn decide(
        self,
        scope: &Scope<U>,
        code: &UserCode,
        decision: &'static str,
    ) -> Result<Option<DeviceRequest>, Error> {
        let (user, session) = (scope.user().id(), scope.session().id);
        let (hash, begun) = (self.hash_of(code)?, self.begun());
        let row = transact!(self.sigra, conn => {
            self.sigra.lock_scope(conn, scope).await?;
            if !store::sessions::exists::<U>(&mut *conn, &user, session).await? {
                return Err(Error::SessionEnded);
            }
            if decision == APPROVED {
                self.check_room(conn, &user).await?;
            }
            Ok(store::oauth_device_codes::decide::<U>(conn, &hash, &user, session, decision, begun).await?)
        })?;
        let Some(row) = row else { return Ok(None) };
        self.device_request(row).await
    }

    async fn device_request(self, row: DeviceCodeRow<U::Id>) -> Result<Option<DeviceRequest>, Error> {
        let Some(client) = self.find_client(&row.client).await? else { return Ok(None) };
        let permissions = self.described(&row.permissions.parse().unwrap_or_default());
        let system = row.user_agent.as_deref().and_then(system_of);
        let ip = row.ip.and_then(|ip| ip.parse().ok());
        let (resource, lifetime) = (self.limit_of(row.resource), self.settings()?.grant_ttl);
        Ok(Some(DeviceRequest { client, permissions, resource, ip, system, inserted_at: row.inserted_at, lifetime }))
    }

    /// Exchanges the code of a program for tokens, once the user has allowed it (RFC 8628 section 3.4).
    pub(super) async fn poll(
        self,
        client: &OauthClient,
        parameters: &Parameters,
        program: &Client,
        mut also: Option<OnNewGrant<U>>,
    ) -> Result<Tokens, EndpointError> {
        let code = parameters.require("device_code", "device_code is missing")?;
        let code = FlowToken::parse(code).ok_or(UNKNOWN)?.hash();
        // Nobody needs an account to send codes, and on SQLite, a transaction keeps other writers waiting.
        let known = store::oauth_device_codes::find::<U>(&mut *self.sigra.pool().acquire().await?, code).await?;
        let known = known.ok_or(UNKNOWN)?;
        if known.client != client.id {
            return Err(UNKNOWN.because("wrong_client").into());
        }
        self.pace(&known)?;
        let polled = transact!(self.sigra, if also.is_some(), tx => {
            let row = store::oauth_device_codes::find::<U>(tx, code).await?;
            match row.filter(|row| row.client == client.id) {
                Some(row) => self.poll_in(tx, client, row, program, &mut also).await,
                None => Ok(Err(UNKNOWN)),
            }
        })?;
        Ok(polled?)
    }

    async fn poll_in(
        self,
        tx: &mut Transaction<U>,
        client: &OauthClient,
        row: DeviceCodeRow<U::Id>,
        program: &Client,
        also: &mut Option<OnNewGrant<U>>,
    ) -> Result<Result<Tokens, Refusal>, Error> {
        // Before the code's row changes: a decision about the code, and the end of all sessions, lock in this order
        // too.
        let user = match &row.user {
            Some(user) => store::users::lock::<U>(tx, user).await?,
            None => None,
        };
        let pace = match self.pace(&row) {
            Ok(pace) => pace,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Of several requests at once, one is early enough.
        if !store::oauth_device_codes::poll::<U>(tx, &row, pace.next, self.sigra.now()).await? || pace.is_early {
            return Ok(Err(SLOW_DOWN));
        }
        let session = match self.decided(tx, &row).await? {
            Ok(session) => session,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(user) = user else { return Ok(Err(LOGIN_ENDED)) };
        let given = Given {
            user: &user,
            session: &session,
            client,
            permissions: &row.permissions,
            resource: &row.resource,
            browser: None,
            was_asked: true,
        };
        match self.give(tx, given, program, also).await {
            Err(Error::TooManyPrograms { .. }) => Ok(Err(Refusal::too_many_programs("access_denied"))),
            given => given.map(|(_, tokens)| Ok(tokens)),
        }
    }

    /// Returns whether a program asks too early. Fails if its code has expired, and if it never slows down: otherwise,
    /// each of its attempts would be written, and it would never be answered.
    fn pace(self, row: &DeviceCodeRow<U::Id>) -> Result<Pace, Refusal> {
        if !self.begun().contains(row.inserted_at) {
            return Err(EXPIRED);
        }
        let interval = Duration::from_secs(row.poll_interval.max(0).unsigned_abs().into());
        let is_early = row.polled_at.is_some_and(|at| self.sigra.now() < later(at, interval));
        match is_early {
            true if row.poll_interval >= LONGEST_INTERVAL => Err(SLOW_DOWN),
            true => Ok(Pace { is_early, next: (row.poll_interval + INTERVAL).min(LONGEST_INTERVAL) }),
            false => Ok(Pace { is_early, next: row.poll_interval }),
        }
    }

    /// Uses a code up that its user has decided about. Returns the session in which they allowed the program access.
    async fn decided(
        self,
        tx: &mut Transaction<U>,
        row: &DeviceCodeRow<U::Id>,
    ) -> Result<Result<SessionRow, Refusal>, Error> {
        let Some(decision) = &row.decision else { return Ok(Err(PENDING)) };
        if !store::oauth_device_codes::delete::<U>(tx, row.code).await? {
            return Ok(Err(UNKNOWN));
        }
        match row.session.filter(|_| decision == APPROVED) {
            Some(session) => Ok(self.live_session(tx, session).await?.ok_or(LOGIN_ENDED)),
            None => Ok(Err(DENIED_BY_USER)),
        }
    }

    /// Returns when a program must have begun to wait, to wait now.
    fn begun(self) -> Window {
        Window::of(DEVICE_CODE_TTL, self.sigra.now())
    }

    /// Returns what the database knows a user code by. It has a key, because the codes are short.
    fn hash_of(self, code: &UserCode) -> Result<[u8; 32], Error> {
        let macs = self.sigra.parts.oauth_keys.macs(&[b"user code", code.as_bytes()]);
        macs.first().map(|mac| **mac).ok_or(Error::Encryption)
    }
}
