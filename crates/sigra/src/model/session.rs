//! The session: the row of a login, how long it lives, and what becomes of it.

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
        token::{SessionHashes, TokenHash},
    },
    model::{
        client::{Client, Device},
        log_in::LogInMethod,
        second_factor::FactorKind,
        user::AuthUser,
        window::latest,
    },
};

/// `last_used_at` is written at most this often.
const TOUCH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How long sessions live, and their tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// From the login on.
    pub ttl: Duration,
    /// Without a request, unless the user asked to be remembered.
    pub idle_timeout: Option<Duration>,
    /// While the second factor is pending.
    pub challenge_ttl: Duration,
    /// Of a token, before it is replaced.
    pub reissue_age: Duration,
}

/// Names a session: on the devices page, to its live connections, in the log. It is the row's id, and
/// proves nothing.
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
    /// When the user logged in. The session's age counts from here.
    pub inserted_at: OffsetDateTime,
    /// When the current token was issued.
    pub issued_at: OffsetDateTime,
    /// When the user last proved who they are.
    pub authenticated_at: OffsetDateTime,
    /// How they logged in; [`LogInMethod::Password`] too once they have shown it to confirm that it is them. `None`
    /// for a session that was opened without a browser.
    pub authenticated_by: Option<LogInMethod>,
    /// Whether the user has shown their first factor only: such a session leads nowhere but to the
    /// [challenge](crate::mfa).
    pub mfa_pending: bool,
    /// When the user last showed a second factor: in this session, or before the browser was trusted that it was
    /// opened in.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// Which second factor they showed last. To set one up is not to show it.
    pub mfa_verified_by: Option<FactorKind>,
    /// When the session was last used, to within five minutes.
    pub last_used_at: OffsetDateTime,
    /// Whether the user asked to be remembered.
    pub remembered: bool,
    /// The address it was opened from.
    pub ip: Option<IpAddr>,
    /// The browser it was opened in.
    pub user_agent: Option<String>,
}

impl SessionRow {
    /// The browser and system in words: `Firefox on Linux`.
    #[must_use]
    pub fn device(&self) -> String {
        Device::from_user_agent(self.user_agent.as_deref().unwrap_or_default()).to_string()
    }

    /// Whether the user may set a new password without showing the one before (OWASP ASVS 6.2.3): they have shown
    /// it in this session, or two other proofs. A link alone proves a mailbox, and a passkey alone a device; neither is
    /// the password. For who is in [sudo mode](crate::Sudo).
    #[must_use]
    pub fn may_set_password(&self) -> bool {
        let is_passkey = |method: LogInMethod| method.name() == "passkey";
        match (self.authenticated_by, self.mfa_verified_by) {
            (Some(LogInMethod::Password), _) => true,
            (Some(method), Some(FactorKind::Passkey)) if is_passkey(method) => false,
            (_, factor) => factor.is_some(),
        }
    }

    /// When the session ends by itself if it is not used again.
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

    /// Whether a wrong clock has written what its life is counted from. It may also be the clock here, so the row is not
    /// to be deleted for that.
    pub(crate) fn is_ahead(&self, lifetimes: &Lifetimes, now: OffsetDateTime) -> bool {
        let counts_idle_time = lifetimes.idle_timeout.is_some() && !self.remembered && !self.mfa_pending;
        self.inserted_at > latest(now) || (counts_idle_time && self.last_used_at > latest(now))
    }

    /// Until when there is nothing to do about it.
    pub(crate) fn fresh_until(&self, lifetimes: &Lifetimes) -> OffsetDateTime {
        self.expires_at(lifetimes).min(self.reissue_at(lifetimes)).min(self.touch_at(lifetimes))
    }

    /// Whether its token is so old that a fresh one should take its place.
    pub(crate) fn is_due_for_reissue(&self, lifetimes: &Lifetimes, now: OffsetDateTime) -> bool {
        now >= self.reissue_at(lifetimes) || self.issued_at > latest(now)
    }

    /// Whether it is time to note that it is in use.
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

    /// What a clock that was ahead has noted is not recent.
    pub(crate) fn authenticated_within(&self, age: Duration, now: OffsetDateTime) -> bool {
        self.authenticated_at <= latest(now) && now < later(self.authenticated_at, age)
    }
}

/// The sessions of a user: the first hundred, and whether there are more.
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
    /// As many as anybody reads. A user may have any number.
    pub const MOST: usize = 100;

    pub(crate) fn first_of(mut sessions: Vec<SessionRow>) -> Self {
        let has_more = sessions.len() > Self::MOST;
        sessions.truncate(Self::MOST);
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

/// How a token relates to the row it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the row's token.
    Current,
    /// It was issued to replace the row's token, and is seen for the first time.
    Next,
    /// It was the session's token, whenever that was, or one that a login took the place of. After a reissue it is good
    /// until the given time; after a login, a privilege change or a second reissue, never.
    Previous(Option<OffsetDateTime>),
}

/// A session's row, its user, and how the token stands to it.
#[derive(Clone, Debug)]
pub struct Found<U> {
    /// The session.
    pub session: SessionRow,
    /// Its user.
    pub user: U,
    /// How the token stands to the session.
    pub standing: Standing,
}

/// A session to be stored.
#[derive(Clone, Debug)]
pub struct NewSession<'a, U: AuthUser> {
    /// Whose it is. The row is written only if the user still has this password hash.
    pub user: &'a U,
    /// Whether the user asked to be remembered.
    pub remembered: bool,
    /// From where.
    pub client: &'a Client,
    /// When.
    pub now: OffsetDateTime,
    /// A token that this login takes the place of.
    pub replaces: Option<TokenHash>,
    /// How the user proved who they are.
    pub method: Option<LogInMethod>,
    /// When the user showed a second factor, if they did. If not, and they have one, it is pending.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// Which it was.
    pub mfa_verified_by: Option<FactorKind>,
}

impl<'a, U: AuthUser> NewSession<'a, U> {
    pub(crate) fn of(user: &'a U, remembered: bool, client: &'a Client, now: OffsetDateTime) -> Self {
        Self {
            user,
            remembered,
            client,
            now,
            replaces: None,
            method: None,
            mfa_verified_at: None,
            mfa_verified_by: None,
        }
    }

    /// The row that it becomes, under an id of its own.
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
        }
    }
}

/// What becomes of a session that gets a new token at once.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// The hash of the new token.
    pub token: TokenHash,
    /// When.
    pub now: OffsetDateTime,
    /// What the user has proved with it.
    pub proof: Option<Proof>,
}

/// What a user proves in a session that they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Once more who they are, by their password.
    Password,
    /// Who they are, by a second factor: it is no longer pending.
    SecondFactor(FactorKind),
    /// That they have set a second factor up.
    Enrolment,
}

impl Renewal {
    /// When the user proved once more who they are, if they did.
    pub(crate) fn authenticated_at(&self) -> Option<OffsetDateTime> {
        matches!(self.proof, Some(Proof::Password | Proof::SecondFactor(_))).then_some(self.now)
    }

    /// When the user has had a second factor, if they did not before.
    pub(crate) fn mfa_verified_at(&self) -> Option<OffsetDateTime> {
        matches!(self.proof, Some(Proof::SecondFactor(_) | Proof::Enrolment)).then_some(self.now)
    }

    pub(crate) fn authenticated_by(&self) -> Option<LogInMethod> {
        (self.proof == Some(Proof::Password)).then_some(LogInMethod::Password)
    }

    pub(crate) fn mfa_verified_by(&self) -> Option<FactorKind> {
        match self.proof {
            Some(Proof::SecondFactor(kind)) => Some(kind),
            _ => None,
        }
    }
}

/// A token that a browser presents while it logs out, or logs in again: its session is to end.
#[derive(Clone, Copy, Debug)]
pub struct PresentedToken {
    /// Its hashes.
    pub token: SessionHashes,
    /// The session that the request was let in under, whatever has become of its token since.
    pub let_in: Option<SessionId>,
    /// What was replaced after this moment may have crossed the request on its way: nobody has a copy for that.
    pub replaced_after: OffsetDateTime,
}

/// A session that was ended by who presented a token of it.
#[derive(Clone, Copy, Debug)]
pub struct EndedSession<Id> {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user: Id,
    /// Whether the token had been replaced so long ago that nobody should hold it: either who sent it, or who goes on
    /// with the token that replaced it, has a copy (RFC 9700 section 4.14). Not if a renewal has replaced it, and nothing
    /// since: the answer may have been lost.
    pub is_reuse: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_takes_the_one_before_or_two_other_proofs() {
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
            }
            .may_set_password()
        };
        let [password, link, passkey, other] =
            ["password", "link", "passkey", "corporate_sso"].map(|name| Some(LogInMethod::from_name(name)));
        assert!(may(password, None) && may(password, Some(FactorKind::Passkey)));
        for method in [None, link, passkey, other] {
            assert!(!may(method, None), "{method:?}");
            assert!(may(method, Some(FactorKind::Totp)), "{method:?}");
        }
        assert!(may(link, Some(FactorKind::Passkey)));
        #[cfg(feature = "passkeys")]
        assert!(!may(passkey, Some(FactorKind::Passkey)), "that is one thing, shown twice");
    }
}
