//! The session: the row of a login, its lifetime, and its renewal.

use std::{
    net::IpAddr,
    ops::{Deref, DerefMut},
    time::Duration,
};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::{
        clock::later,
        config_error::{ConfigError, check_durations},
        token::{SessionHashes, TokenHash},
    },
    model::{
        binding::Binding,
        client::{Client, Device},
        log_in::{LoginMethod, RememberMe},
        second_factor::FactorKind,
        user::AuthUser,
        window::latest,
    },
};

/// `last_used_at` is written at most this often.
const TOUCH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The lifetimes of sessions and their tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// Of a session, from the login.
    pub ttl: Duration,
    /// Of a session without a request, unless it is remembered.
    pub idle_timeout: Option<Duration>,
    /// Of a session whose second factor is pending.
    pub challenge_ttl: Duration,
    /// Of a token, before it is reissued.
    pub reissue_age: Duration,
    /// Of a token that was reissued, after the new one was first presented.
    pub reissue_grace: Duration,
    /// Of sudo mode, from the last authentication.
    pub sudo_ttl: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            ttl: Duration::from_hours(60 * 24),
            idle_timeout: None,
            challenge_ttl: Duration::from_mins(10),
            reissue_age: Duration::from_hours(7 * 24),
            reissue_grace: Duration::from_mins(1),
            sudo_ttl: Duration::from_mins(20),
        }
    }
}

impl Lifetimes {
    pub fn check(&self) -> Result<(), ConfigError> {
        check_durations([
            ("session_ttl", self.ttl),
            ("session_idle_timeout", self.idle_timeout.unwrap_or(self.ttl)),
            ("mfa_challenge_ttl", self.challenge_ttl),
            ("session_reissue_age", self.reissue_age),
            ("reissue_grace", self.reissue_grace),
            ("sudo_ttl", self.sudo_ttl),
        ])
    }
}

/// The id of a session's row, for the devices page, live connections and the log. It isn't secret: nobody can log in
/// with it.
pub type SessionId = Uuid;

/// A row of `users_tokens` whose context is `session`, without its tokens.
///
/// ```
/// # use sigra::SessionRow;
/// fn describe(session: &SessionRow) -> String {
///     format!("{} since {}", session.device(), session.inserted_at)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionRow {
    /// The row's id.
    pub id: SessionId,
    /// When the user logged in. The session's age is measured from here.
    pub inserted_at: OffsetDateTime,
    /// When the current token was issued.
    pub issued_at: OffsetDateTime,
    /// When the user last authenticated.
    pub authenticated_at: OffsetDateTime,
    /// How the user logged in, or [`LoginMethod::Password`] since they reauthenticated with it. `None` if the session
    /// was created without a browser.
    pub authenticated_by: Option<LoginMethod>,
    /// Whether the user has presented only their first factor. Such a session allows only the
    /// [challenge](crate::mfa).
    pub mfa_pending: bool,
    /// When the user last presented a second factor: in this session, or when they trusted the browser that it was
    /// opened in.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// The second factor that the user presented last. Setting one up doesn't count.
    pub mfa_verified_by: Option<FactorKind>,
    /// When the session was last used, to within five minutes.
    pub last_used_at: OffsetDateTime,
    /// Whether the user asked to be remembered.
    pub remembered: bool,
    /// The IP address that it was opened from.
    pub ip: Option<IpAddr>,
    /// The user agent of the browser that it was opened in.
    pub user_agent: Option<String>,
    /// The device that the session is bound to, if it is.
    pub binding: Option<Binding>,
}

impl SessionRow {
    /// Returns the browser and its operating system in words: `Firefox on Linux`.
    #[must_use]
    pub fn device(&self) -> String {
        Device::from_user_agent(self.user_agent.as_deref().unwrap_or_default()).to_string()
    }

    /// Returns whether the user can set a new password without entering the current one (OWASP ASVS 6.2.3). Check it
    /// in addition to [sudo mode](crate::Sudo).
    ///
    /// They can if they presented the password in this session, or two other proofs. A link proves only access to a
    /// mailbox, and a passkey only that of a device.
    #[must_use]
    pub fn can_set_password(&self) -> bool {
        let is_passkey = |method: LoginMethod| method.name() == "passkey";
        match (self.authenticated_by, self.mfa_verified_by) {
            (Some(LoginMethod::Password), _) => true,
            (Some(method), Some(FactorKind::Passkey)) if is_passkey(method) => false,
            (_, factor) => factor.is_some(),
        }
    }

    /// Returns when the session expires if it isn't used again.
    pub(crate) fn expires_at(&self, lifetimes: &Lifetimes) -> OffsetDateTime {
        if self.mfa_pending {
            return later(self.inserted_at, lifetimes.challenge_ttl.min(lifetimes.ttl));
        }
        let absolute = later(self.inserted_at, lifetimes.ttl);
        match lifetimes.idle_timeout {
            Some(idle) if !self.remembered => absolute.min(later(self.last_used_at, idle)),
            _ => absolute,
        }
    }

    pub(crate) fn is_live(&self, lifetimes: &Lifetimes, now: OffsetDateTime) -> bool {
        now < self.expires_at(lifetimes) && !self.is_ahead(lifetimes, now)
    }

    /// Returns whether a time that the lifetime is measured from lies in the future, because a clock is wrong. That may
    /// be the clock of this process, so don't delete the row for it.
    pub(crate) fn is_ahead(&self, lifetimes: &Lifetimes, now: OffsetDateTime) -> bool {
        let counts_idle_time = lifetimes.idle_timeout.is_some() && !self.remembered && !self.mfa_pending;
        self.inserted_at > latest(now) || (counts_idle_time && self.last_used_at > latest(now))
    }

    /// Returns the time until which the row needs no change: no expiry, no new token, no touch.
    pub(crate) fn fresh_until(&self, lifetimes: &Lifetimes) -> OffsetDateTime {
        self.expires_at(lifetimes).min(self.reissue_at(lifetimes)).min(self.touch_at(lifetimes))
    }

    /// Returns whether the token is so old that it should be reissued.
    pub(crate) fn is_due_for_reissue(&self, lifetimes: &Lifetimes, now: OffsetDateTime) -> bool {
        now >= self.reissue_at(lifetimes) || self.issued_at > latest(now)
    }

    /// Returns whether it is time to update `last_used_at`.
    pub(crate) fn is_due_for_touch(&self, lifetimes: &Lifetimes, now: OffsetDateTime) -> bool {
        now >= self.touch_at(lifetimes)
    }

    fn reissue_at(&self, lifetimes: &Lifetimes) -> OffsetDateTime {
        later(self.issued_at, lifetimes.reissue_age)
    }

    fn touch_at(&self, lifetimes: &Lifetimes) -> OffsetDateTime {
        let interval = lifetimes.idle_timeout.map_or(TOUCH_INTERVAL, |idle| TOUCH_INTERVAL.min(idle / 4));
        later(self.last_used_at, interval)
    }

    /// Returns whether the user authenticated within an age. A time in the future, from a wrong clock, isn't recent.
    pub(crate) fn authenticated_within(&self, age: Duration, now: OffsetDateTime) -> bool {
        self.authenticated_at <= latest(now) && now < later(self.authenticated_at, age)
    }
}

/// The first 100 sessions of a user, and whether there are more.
///
/// ```
/// # use sigra::session::SessionList;
/// fn note(sessions: &SessionList) -> &'static str {
///     if sessions.has_more { "These are the devices that you used last." } else { "These are all of your devices." }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionList {
    sessions: Vec<SessionRow>,
    /// Whether there are more than these.
    pub has_more: bool,
}

impl SessionList {
    /// The maximum number of sessions in the list. A user can have any number.
    pub const MAX: usize = 100;

    pub(crate) fn first_of(mut sessions: Vec<SessionRow>) -> Self {
        let has_more = sessions.len() > Self::MAX;
        sessions.truncate(Self::MAX);
        Self { sessions, has_more }
    }
}

impl Deref for SessionList {
    type Target = Vec<SessionRow>;

    fn deref(&self) -> &Vec<SessionRow> {
        &self.sessions
    }
}

impl DerefMut for SessionList {
    fn deref_mut(&mut self) -> &mut Vec<SessionRow> {
        &mut self.sessions
    }
}

impl IntoIterator for SessionList {
    type Item = SessionRow;
    type IntoIter = std::vec::IntoIter<SessionRow>;

    fn into_iter(self) -> Self::IntoIter {
        self.sessions.into_iter()
    }
}

/// How a token relates to the row that it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the row's token.
    Current,
    /// It was issued to replace the row's token, and is presented for the first time.
    Next,
    /// It was a token of the session before, or one that a login replaced. After a reissue, it is valid until the given
    /// time. After a login, a change of privileges or a second reissue, it isn't valid.
    Previous(Option<OffsetDateTime>),
}

/// A session to store.
#[derive(Clone, Debug)]
pub struct NewSession<'a, U: AuthUser> {
    /// The user. The row is written only if they still have this password hash.
    pub user: &'a U,
    /// Whether the user asked to be remembered.
    pub remembered: bool,
    /// The client that the user logged in from.
    pub client: &'a Client,
    /// The time of the login.
    pub now: OffsetDateTime,
    /// The token that this login replaces.
    pub replaces: Option<TokenHash>,
    /// The login method.
    pub method: Option<LoginMethod>,
    /// When the user presented a second factor, if they did. If they didn't, and have one, it is pending.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// The second factor that they presented.
    pub mfa_verified_by: Option<FactorKind>,
}

impl<'a, U: AuthUser> NewSession<'a, U> {
    pub(crate) fn of(user: &'a U, remember_me: RememberMe, client: &'a Client, now: OffsetDateTime) -> Self {
        Self {
            user,
            remembered: remember_me == RememberMe::Yes,
            client,
            now,
            replaces: None,
            method: None,
            mfa_verified_at: None,
            mfa_verified_by: None,
        }
    }

    /// Returns the row that it becomes, with a new id.
    pub(crate) fn to_row(&self) -> SessionRow {
        SessionRow {
            id: Uuid::now_v7(),
            inserted_at: self.now,
            issued_at: self.now,
            authenticated_at: self.mfa_verified_at.unwrap_or(self.now),
            authenticated_by: self.method,
            mfa_pending: false,
            mfa_verified_at: self.mfa_verified_at,
            mfa_verified_by: self.mfa_verified_by,
            last_used_at: self.now,
            remembered: self.remembered,
            ip: self.client.ip,
            user_agent: self.client.user_agent.clone(),
            binding: None,
        }
    }
}

/// The renewal of a session, which replaces its token at once.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// The hash of the new token.
    pub token: TokenHash,
    /// The time of the renewal.
    pub now: OffsetDateTime,
    /// What the user has proved, if anything.
    pub proof: Option<Proof>,
}

/// What a user proves in an existing session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They reauthenticated with their password.
    Password,
    /// They authenticated again at a provider.
    #[cfg(feature = "oauth")]
    Provider,
    /// They presented a second factor, which is no longer pending.
    SecondFactor(FactorKind),
    /// They set up a second factor.
    Enrollment,
}

impl Renewal {
    /// Returns the row that a session becomes.
    pub(crate) fn of(&self, session: &SessionRow) -> SessionRow {
        SessionRow {
            issued_at: self.now,
            authenticated_at: self.authenticated_at().unwrap_or(session.authenticated_at),
            authenticated_by: self.authenticated_by().or(session.authenticated_by),
            mfa_pending: session.mfa_pending && self.mfa_verified_at().is_none(),
            mfa_verified_at: self.mfa_verified_at().or(session.mfa_verified_at),
            mfa_verified_by: self.mfa_verified_by().or(session.mfa_verified_by),
            last_used_at: self.now,
            ..session.clone()
        }
    }

    /// Returns when the user authenticated, if they did.
    pub(crate) fn authenticated_at(&self) -> Option<OffsetDateTime> {
        self.proof.is_some_and(|proof| proof != Proof::Enrollment).then_some(self.now)
    }

    /// Returns when the user presented or set up a second factor, if they did.
    pub(crate) fn mfa_verified_at(&self) -> Option<OffsetDateTime> {
        matches!(self.proof, Some(Proof::SecondFactor(_) | Proof::Enrollment)).then_some(self.now)
    }

    pub(crate) fn authenticated_by(&self) -> Option<LoginMethod> {
        (self.proof == Some(Proof::Password)).then_some(LoginMethod::Password)
    }

    pub(crate) fn mfa_verified_by(&self) -> Option<FactorKind> {
        match self.proof {
            Some(Proof::SecondFactor(kind)) => Some(kind),
            _ => None,
        }
    }
}

/// A token that a browser presents at a logout or at a new login, which ends its session.
#[derive(Clone, Copy, Debug)]
pub struct PresentedToken {
    /// The hashes of the token.
    pub token: SessionHashes,
    /// The session that the request was authenticated with, even if its token was replaced since.
    pub authenticated: Option<SessionId>,
    /// A token that was replaced after this moment isn't reused: the request may have been on its way at that time.
    pub replaced_after: OffsetDateTime,
}

/// A session that ended because a client presented a token of it.
#[derive(Clone, Copy, Debug)]
pub struct EndedSession<Id> {
    /// The session's id.
    pub id: SessionId,
    /// The user's id.
    pub user: Id,
    /// Whether the token was replaced so long ago that either its sender or the client that uses its successor has a
    /// copy (RFC 9700 section 4.14). False if a renewal replaced it and no other token has since: the response may have
    /// been lost.
    pub is_reuse: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_needs_the_current_one_or_two_other_proofs() {
        let may = |method, factor| {
            let client = Client::default();
            let now = OffsetDateTime::UNIX_EPOCH;
            SessionRow {
                id: Uuid::nil(),
                inserted_at: now,
                issued_at: now,
                authenticated_at: now,
                authenticated_by: method,
                mfa_pending: false,
                mfa_verified_at: None,
                mfa_verified_by: factor,
                last_used_at: now,
                remembered: false,
                ip: client.ip,
                user_agent: None,
                binding: None,
            }
            .can_set_password()
        };
        let [password, link, passkey, other] =
            ["password", "link", "passkey", "corporate_sso"].map(|name| Some(LoginMethod::from_name(name)));
        assert!(may(password, None) && may(password, Some(FactorKind::Passkey)));
        for method in [None, link, passkey, other] {
            assert!(!may(method, None), "{method:?}");
            assert!(may(method, Some(FactorKind::Totp)), "{method:?}");
        }
        assert!(may(link, Some(FactorKind::Passkey)));
        #[cfg(feature = "passkeys")]
        assert!(!may(passkey, Some(FactorKind::Passkey)), "it is one proof, presented twice");
    }
}
