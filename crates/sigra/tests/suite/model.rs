//! Compares random histories of several browsers, users and thieves with a small model.
//!
//! `PROPTEST_CASES` is the number of histories. A failure shrinks to the shortest history that still fails.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::{get, post},
};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use sigra::{
    AuthUser as _, Bearer, Clock, Config, CookieSession, Error, LoginMethod, Scope, SecretKeyBase, SessionId, Sigra,
    Sudo,
    api_tokens::{Expiry, NewApiToken},
    bearer::Permissions,
    config::DeviceBound,
    device_bound::BindingResponse,
    mfa::{MfaChallenge, MfaCode, MfaEnrollment, SecondFactor},
    oauth::{AddressOwner, Decision, ProviderIdentity},
    scope::{MfaEnrollmentRejection, SudoRejection},
    testing::TestClient,
};
use sqlx::Pool;
use tower::ServiceExt;
use uuid::Uuid;

use super::bigint_ids::User;
use crate::database::{Database, HISTORIES, emptied_database};

const USERS: usize = 2;
const BROWSERS: usize = 3;
/// The number of accounts at providers.
const IDENTITIES: usize = 3;
/// The user who has no password, and keeps an account at a provider once they have one.
const PASSWORDLESS: usize = 1;

const TTL: u64 = 60 * DAY;
const IDLE: u64 = 20 * DAY;
const REISSUE_AGE: u64 = 7 * DAY;
const GRACE: u64 = 60;
const REISSUE_RETRY: u64 = 60;
const TOUCH: u64 = 5 * 60;
const CHALLENGE_TTL: u64 = 10 * 60;
const TRUST_TTL: u64 = 30 * DAY;
const SUDO_TTL: u64 = 20 * 60;
const STEP: u64 = 30;
/// The TOTP step at which the model's time begins.
const FIRST_STEP: u64 = 10;
const CODES: usize = 10;
const DAY: u64 = 24 * 3600;

const TRUST_COOKIE: &str = "__Host-_app_mfa_trust";

/// The browser that binds its sessions to a device. Stolen copies of its cookies come without the key.
const BOUND_BROWSER: usize = 0;
/// How long a bound cookie is valid, and how long browsers keep it.
const BOUND_TTL: u64 = 10 * 60;
const BOUND_MAX_AGE: u64 = 9 * 60;
/// How long requests without the bound cookie are accepted after a session was bound.
const IN_FLIGHT: u64 = 60;
const OFFERED: u64 = 5 * 60;

/// A step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    LogIn {
        browser: usize,
        user: usize,
        remember: bool,
    },
    Visit {
        browser: usize,
    },
    /// The response doesn't reach the browser.
    VisitWithLostResponse {
        browser: usize,
    },
    LogOut {
        browser: usize,
    },
    Renew {
        browser: usize,
    },
    Revoke {
        browser: usize,
        session: usize,
    },
    /// The row is deleted by hand.
    DeleteByHand {
        session: usize,
    },
    LogOutEverywhere {
        browser: usize,
    },
    /// Sets up an authenticator app, which replaces the one before.
    Enroll {
        browser: usize,
    },
    Disable {
        browser: usize,
    },
    /// A code of one of the user's current or former apps, from some steps ago.
    AnswerWithCode {
        browser: usize,
        app: usize,
        steps_ago: u64,
        trust: bool,
    },
    /// One of all backup codes that any user ever got.
    AnswerWithBackupCode {
        browser: usize,
        code: usize,
        trust: bool,
    },
    /// Links an account at a provider.
    Link {
        browser: usize,
        identity: usize,
    },
    Unlink {
        browser: usize,
        identity: usize,
    },
    /// Logs in with an account at a provider, if a user has linked it.
    LogInWithIdentity {
        browser: usize,
        identity: usize,
        remember: bool,
    },
    ConfirmByPassword {
        browser: usize,
    },
    ConfirmByCode {
        browser: usize,
        steps_ago: u64,
    },
    ChangePassword {
        browser: usize,
    },
    /// Creates an access token.
    CreateApiToken {
        browser: usize,
    },
    /// One of all access tokens that were ever created.
    RevokeApiToken {
        browser: usize,
        token: usize,
    },
    PresentApiToken {
        token: usize,
    },
    /// Copies one browser's trust cookie to another.
    StealTrust {
        from: usize,
        to: usize,
    },
    CloseAndReopen {
        browser: usize,
    },
    Steal {
        browser: usize,
    },
    VisitWithStolen {
        loot: usize,
    },
    /// Logs out with stolen cookies, whose tokens may have been replaced.
    LogOutWithStolen {
        loot: usize,
    },
    Wait {
        seconds: u64,
    },
    RotateKeys,
    RetireOldKeys,
}

type Token = usize;
type KeyGeneration = usize;

impl Step {
    /// Returns the browser that sends the step's request, and so renews its bound cookies first.
    fn sent_by(&self) -> Option<usize> {
        match *self {
            Self::LogIn { browser, .. }
            | Self::Visit { browser }
            | Self::LogOut { browser }
            | Self::Renew { browser }
            | Self::Revoke { browser, .. }
            | Self::LogOutEverywhere { browser }
            | Self::Enroll { browser }
            | Self::Disable { browser }
            | Self::AnswerWithCode { browser, .. }
            | Self::AnswerWithBackupCode { browser, .. }
            | Self::Link { browser, .. }
            | Self::Unlink { browser, .. }
            | Self::LogInWithIdentity { browser, .. }
            | Self::ConfirmByPassword { browser }
            | Self::ConfirmByCode { browser, .. }
            | Self::ChangePassword { browser }
            | Self::CreateApiToken { browser }
            | Self::RevokeApiToken { browser, .. } => Some(browser),
            // A lost response is that of a fork, which has no key.
            Self::VisitWithLostResponse { .. }
            | Self::DeleteByHand { .. }
            | Self::PresentApiToken { .. }
            | Self::StealTrust { .. }
            | Self::CloseAndReopen { .. }
            | Self::Steal { .. }
            | Self::VisitWithStolen { .. }
            | Self::LogOutWithStolen { .. }
            | Self::Wait { .. }
            | Self::RotateKeys
            | Self::RetireOldKeys => None,
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_matches_the_model(sequential 1..60 => Reality);
}

/// The number of histories. `./test --long` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(HISTORIES)
}

/// A session that the database should have.
#[derive(Clone, Debug)]
struct Row {
    user: usize,
    remembered: bool,
    pending: bool,
    verified_at: Option<u64>,
    authenticated_at: u64,
    inserted_at: u64,
    last_used_at: u64,
    issued_at: u64,
    token: Token,
    next: Option<(Token, u64)>,
    previous: Option<(Token, Option<u64>)>,
    /// All tokens that the session ever had.
    series: BTreeSet<Token>,
    /// When the session was bound to its device.
    bound_at: Option<u64>,
    /// Whether its browser has presented the bound cookie.
    is_confirmed: bool,
}

/// The bound cookie: its session, until when it is valid, and the key that signed it.
#[derive(Clone, Copy, Debug)]
struct BoundCookie {
    session: usize,
    until: u64,
    key: KeyGeneration,
}

/// The cookies that a browser should have: tokens, and the key that signed them.
#[derive(Clone, Debug, Default)]
struct Jar {
    session: Option<(Token, KeyGeneration)>,
    remember_me: Option<(Token, KeyGeneration)>,
    trust: Option<(Vec<usize>, KeyGeneration)>,
    bound: Option<BoundCookie>,
    /// The sessions that the browser's device has a key of, and when it drops the bound cookie of each. A thief has
    /// none.
    device: Vec<(usize, u64)>,
}

impl Jar {
    /// What a thief copies.
    fn without_keys(&self) -> Self {
        Self { device: Vec::new(), ..self.clone() }
    }
}

/// The second factors of a user.
#[derive(Clone, Debug, Default)]
struct Factors {
    /// The number of apps so far. Only the last one can be valid.
    apps: usize,
    is_on: bool,
    last_step: u64,
    backup_codes: BTreeSet<usize>,
}

/// The model.
#[derive(Clone, Debug, Default)]
pub struct Model {
    now: u64,
    tokens: usize,
    rows: BTreeMap<usize, Row>,
    sessions: usize,
    browsers: Vec<Jar>,
    loot: Vec<Jar>,
    factors: [Factors; USERS],
    /// The user who has linked an account at a provider.
    identities: BTreeMap<usize, usize>,
    /// The users of access tokens, and how many were ever created.
    api_tokens: BTreeMap<usize, usize>,
    api_tokens_created: usize,
    backup_codes: usize,
    /// The user who trusted a browser, when, and the last session that was opened in it, by the trust token.
    trusts: BTreeMap<usize, (usize, u64, usize)>,
    trusts_given: usize,
    newest_key: KeyGeneration,
    accepted_keys: BTreeSet<KeyGeneration>,
}

enum Lookup {
    Live { session: usize, reissued: Option<Token> },
    Superseded,
    Dead,
}

enum Upkeep {
    None,
    Write { token: Token, remembered: bool },
    Drop { session: bool, remember_me: bool },
}

impl Model {
    fn fresh_token(&mut self) -> Token {
        self.tokens += 1;
        self.tokens
    }

    /// Returns the session of a token, and whether the token is valid for it.
    fn find(&self, token: Token) -> Option<(usize, bool)> {
        let found = |matches: &dyn Fn(&Row) -> bool| self.rows.iter().find(|(_, row)| matches(row)).map(|(id, _)| *id);
        if let Some(id) = found(&|row| row.token == token || row.next.is_some_and(|(next, _)| next == token)) {
            return Some((id, true));
        }
        let in_grace = |row: &Row| {
            row.previous
                .is_some_and(|(previous, until)| previous == token && until.is_some_and(|until| self.now < until))
        };
        if let Some(id) = found(&in_grace) {
            return Some((id, true));
        }
        let was_replaced =
            |row: &Row| row.series.contains(&token) || row.previous.is_some_and(|(previous, _)| previous == token);
        found(&was_replaced).map(|id| (id, false))
    }

    fn look_up(&mut self, token: Token, bound: Option<BoundCookie>) -> Lookup {
        let Some((session, is_valid)) = self.find(token) else { return Lookup::Dead };
        let now = self.now;
        let row = &self.rows[&session];
        let idle_for = now - row.last_used_at;
        if self.has_expired(row) {
            self.rows.remove(&session);
            return Lookup::Dead;
        }
        if bound.is_some_and(|bound| self.is_of(session, bound)) {
            self.rows.get_mut(&session).unwrap().is_confirmed = true;
        }
        if !is_valid || !self.is_proven(session, bound) {
            return Lookup::Superseded;
        }
        let row = &self.rows[&session];
        let mut reissued = None;
        if row.next.is_some_and(|(next, _)| next == token) {
            let row = self.rows.get_mut(&session).unwrap();
            row.previous = Some((row.token, Some(now + GRACE)));
            (row.token, row.issued_at, row.next) = (token, now, None);
        } else if row.token == token && now - row.issued_at >= REISSUE_AGE {
            let may_reissue = row.next.is_none_or(|(_, issued_at)| now - issued_at > REISSUE_RETRY);
            if may_reissue {
                let next = self.fresh_token();
                let row = self.rows.get_mut(&session).unwrap();
                row.next = Some((next, now));
                row.series.insert(next);
                reissued = Some(next);
            }
        }
        if idle_for >= TOUCH {
            self.rows.get_mut(&session).unwrap().last_used_at = now;
        }
        Lookup::Live { session, reissued }
    }

    /// Returns whether the request shows that a session is used by its device, if it is bound to one.
    fn is_proven(&self, session: usize, bound: Option<BoundCookie>) -> bool {
        let row = &self.rows[&session];
        let Some(bound_at) = row.bound_at else { return true };
        let excused_for = if bound.is_none() && !row.is_confirmed { OFFERED } else { IN_FLIGHT };
        let is_valid = |bound: BoundCookie| self.is_of(session, bound) && self.now < bound.until;
        self.now < bound_at + excused_for || bound.is_some_and(is_valid)
    }

    /// Returns whether a bound cookie, valid or expired, is that of a session.
    fn is_of(&self, session: usize, bound: BoundCookie) -> bool {
        bound.session == session && self.accepted_keys.contains(&bound.key)
    }

    /// Renews the bound cookies that are missing, as the browser does before a request.
    fn renew_bound_cookies(&mut self, browser: usize) {
        let mut jar = self.browsers[browser].clone();
        for (session, expires_at) in jar.device.clone() {
            if self.now >= expires_at {
                jar.bound = None;
            }
            if jar.bound.is_some() {
                continue;
            }
            jar.device.retain(|(known, _)| *known != session);
            // Without a token, as after a link on another site, the key is enough.
            let has_token = jar.session.or(jar.remember_me).is_some();
            let presented = self.presented(&jar, None);
            let is_used = |model: &Self, token: &Token| model.find(*token) == Some((session, true));
            let is_found = match has_token {
                true => presented.iter().any(|token| is_used(self, token)),
                false => self.rows.contains_key(&session),
            };
            if is_found && !self.has_expired(&self.rows[&session]) {
                let now = self.now;
                let row = self.rows.get_mut(&session).unwrap();
                row.is_confirmed = true;
                if has_token && now - row.last_used_at >= TOUCH {
                    row.last_used_at = now;
                }
                self.give_bound_cookie(&mut jar, session);
            }
        }
        self.browsers[browser] = jar;
    }

    /// The browser takes the offer that comes with a login or a reauthentication.
    fn bind(&mut self, browser: usize, jar: &mut Jar, session: usize) {
        let row = self.rows.get_mut(&session).unwrap();
        if browser != BOUND_BROWSER || row.pending || row.bound_at.is_some() {
            return;
        }
        row.bound_at = Some(self.now);
        self.give_bound_cookie(jar, session);
    }

    fn give_bound_cookie(&self, jar: &mut Jar, session: usize) {
        jar.bound = Some(BoundCookie { session, until: self.now + BOUND_TTL, key: self.newest_key });
        jar.device.push((session, self.now + BOUND_MAX_AGE));
    }

    /// Returns the session of a jar, and the cookies to set.
    fn authenticate(&mut self, jar: &Jar) -> (Option<usize>, Upkeep) {
        let forged =
            |cookie: &Option<(Token, KeyGeneration)>| cookie.is_some_and(|(_, key)| !self.accepted_keys.contains(&key));
        let (forged_session, forged_remember_me) = (forged(&jar.session), forged(&jar.remember_me));
        if forged_session || (forged_remember_me && jar.session.is_none()) {
            return (None, Upkeep::None);
        }
        let remember_me = jar.remember_me.filter(|_| !forged_remember_me);
        let outdated = [jar.session, remember_me].iter().flatten().any(|(_, key)| *key != self.newest_key);
        let candidates =
            [jar.session, remember_me.filter(|(token, _)| jar.session.is_none_or(|(session, _)| session != *token))];
        let mut any_dead = false;
        for (at, candidate) in candidates.into_iter().enumerate() {
            let Some((token, _)) = candidate else { continue };
            match self.look_up(token, jar.bound) {
                Lookup::Live { session, reissued } => {
                    let rewrite = reissued.or((outdated || at == 1).then_some(token));
                    let row = &self.rows[&session];
                    let remembered = row.remembered && !row.pending;
                    return (Some(session), rewrite.map_or(Upkeep::None, |token| Upkeep::Write { token, remembered }));
                }
                Lookup::Superseded => return (None, Upkeep::None),
                Lookup::Dead => any_dead = true,
            }
        }
        if !any_dead {
            return (None, Upkeep::None);
        }
        (None, Upkeep::Drop { session: jar.session.is_some(), remember_me: remember_me.is_some() })
    }

    /// Returns whether a token is the current or the reissued one of a session that hasn't expired.
    fn is_current(&self, token: Token) -> bool {
        let has_token = |row: &&Row| row.token == token || row.next.is_some_and(|(next, _)| next == token);
        self.rows.values().find(has_token).is_some_and(|row| !self.has_expired(row))
    }

    fn has_expired(&self, row: &Row) -> bool {
        let (age, idle_for) = (self.now - row.inserted_at, self.now - row.last_used_at);
        match row.pending {
            true => age >= CHALLENGE_TTL,
            false => age >= TTL || (!row.remembered && idle_for >= IDLE),
        }
    }

    fn keep_up(&self, jar: &mut Jar, upkeep: Upkeep) {
        match upkeep {
            Upkeep::None => {}
            Upkeep::Write { token, .. } if !self.is_current(token) => {}
            Upkeep::Write { token, remembered } => {
                jar.session = Some((token, self.newest_key));
                if remembered {
                    jar.remember_me = Some((token, self.newest_key));
                }
            }
            Upkeep::Drop { session, remember_me } => {
                jar.session = jar.session.filter(|_| !session);
                jar.remember_me = jar.remember_me.filter(|_| !remember_me);
            }
        }
    }

    /// Returns the tokens of a jar whose signatures are valid. The token of the request's session is first.
    fn presented(&self, jar: &Jar, session: Option<usize>) -> Vec<Token> {
        let verified =
            |cookie: Option<(Token, KeyGeneration)>| cookie.filter(|(_, key)| self.accepted_keys.contains(key));
        let mut tokens: Vec<Token> =
            [jar.session, jar.remember_me].into_iter().filter_map(verified).map(|(token, _)| token).collect();
        tokens.dedup();
        tokens.sort_by_key(|token| session.is_some() && self.find(*token).map(|(session, _)| session) != session);
        tokens
    }

    /// Ends the session of a request, and those of the tokens that it sent, even if they were replaced long ago.
    fn end_presented(&mut self, presented: &[Token], session: Option<usize>) {
        let is_presented = |row: &Row| presented.iter().any(|token| row.series.contains(token));
        self.rows.retain(|id, row| Some(*id) != session && !is_presented(row));
    }

    fn set_token(&self, jar: &mut Jar, token: Token, remembered: bool) {
        jar.session = Some((token, self.newest_key));
        jar.remember_me = remembered.then_some((token, self.newest_key));
    }

    /// Returns the token by which a user trusts the browser with this jar, and when they trusted it.
    fn trusted(&self, jar: &Jar, user: usize) -> Option<(usize, u64)> {
        let (tokens, _) = jar.trust.as_ref().filter(|(_, key)| self.accepted_keys.contains(key))?;
        let given = |token: &usize| {
            let (by, at, _) = self.trusts.get(token)?;
            (*by == user && self.now - at < TRUST_TTL).then_some((*token, *at))
        };
        tokens.iter().find_map(given)
    }

    fn trust(&mut self, jar: &mut Jar, session: usize) {
        let user = self.rows[&session].user;
        let readable = jar.trust.take().filter(|(_, key)| self.accepted_keys.contains(key));
        let mut tokens = readable.map_or_else(Vec::new, |(tokens, _)| tokens);
        let is_before = |token: &&usize| {
            self.trusts.get(*token).is_some_and(|(by, at, _)| *by == user && self.now - at < TRUST_TTL)
        };
        if let Some(before) = tokens.iter().find(is_before) {
            self.trusts.remove(before);
        }
        self.trusts_given += 1;
        self.trusts.insert(self.trusts_given, (user, self.now, session));
        tokens.push(self.trusts_given);
        let oldest = tokens.len().saturating_sub(4);
        jar.trust = Some((tokens.split_off(oldest), self.newest_key));
    }

    /// Uses a code up. Returns whether it was valid.
    fn take_code(&mut self, user: usize, app: usize, steps_ago: u64) -> bool {
        let factors = &mut self.factors[user];
        let is_the_last = factors.is_on && app.is_multiple_of(factors.apps.max(1));
        let Some(step) = (FIRST_STEP + self.now / STEP).checked_sub(steps_ago) else { return false };
        let is_valid = is_the_last && steps_ago <= 1 && step > factors.last_step;
        if is_valid {
            factors.last_step = step;
        }
        is_valid
    }

    fn renew(&mut self, jar: &mut Jar, session: usize) {
        let (token, now) = (self.fresh_token(), self.now);
        let row = self.rows.get_mut(&session).unwrap();
        row.previous = Some((row.token, None));
        (row.token, row.issued_at, row.last_used_at, row.next) = (token, now, now, None);
        row.series.insert(token);
        let remembered = row.remembered;
        self.set_token(jar, token, remembered);
    }

    /// Verifies a session after the user presented a second factor.
    fn verify(&mut self, jar: &mut Jar, session: usize) {
        let now = self.now;
        let row = self.rows.get_mut(&session).unwrap();
        (row.pending, row.verified_at, row.authenticated_at) = (false, Some(now), now);
        self.renew(jar, session);
    }

    fn complete(&mut self, jar: &mut Jar, session: usize, trust: bool) {
        if trust {
            self.trust(jar, session);
        }
        self.verify(jar, session);
    }

    fn is_recent(&self, session: usize) -> bool {
        self.now - self.rows[&session].authenticated_at < SUDO_TTL
    }

    /// Revokes trusted browsers and pending sessions, as every change of factors does.
    fn distrust(&mut self, user: usize) {
        self.trusts.retain(|_, (by, ..)| *by != user);
        self.rows.retain(|_, row| row.user != user || !row.pending);
    }

    fn enroll(&mut self, jar: &mut Jar, session: usize) {
        let (user, now) = (self.rows[&session].user, self.now);
        let is_first = !self.factors[user].is_on;
        let factors = &mut self.factors[user];
        factors.apps += 1;
        (factors.is_on, factors.last_step) = (true, FIRST_STEP + now / STEP);
        self.distrust(user);
        if is_first {
            self.rows.retain(|id, row| row.user != user || *id == session);
            self.factors[user].backup_codes = (self.backup_codes..self.backup_codes + CODES).collect();
            self.backup_codes += CODES;
        }
        self.rows.get_mut(&session).unwrap().verified_at = Some(now);
        self.renew(jar, session);
    }

    fn disable(&mut self, jar: &mut Jar, session: usize) {
        let user = self.rows[&session].user;
        if !self.factors[user].is_on {
            return;
        }
        (self.factors[user].is_on, self.factors[user].backup_codes) = (false, BTreeSet::new());
        self.rows.values_mut().filter(|row| row.user == user).for_each(|row| row.verified_at = None);
        self.distrust(user);
        self.renew(jar, session);
    }

    fn link(&mut self, jar: &mut Jar, session: usize, identity: usize) {
        let user = self.rows[&session].user;
        if let Entry::Vacant(vacant) = self.identities.entry(identity) {
            vacant.insert(user);
            self.renew(jar, session);
        }
    }

    fn unlink(&mut self, jar: &mut Jar, session: usize, identity: usize) {
        let user = self.rows[&session].user;
        let linked = self.identities.values().filter(|by| **by == user).count();
        if self.identities.get(&identity) == Some(&user) && (user != PASSWORDLESS || linked > 1) {
            self.identities.remove(&identity);
            self.renew(jar, session);
        }
    }

    /// Takes a step. Returns the session that its request's handler saw, if the step was a request.
    fn take(&mut self, step: &Step) -> Option<Option<usize>> {
        if let Some(browser) = step.sent_by() {
            self.renew_bound_cookies(browser);
        }
        match *step {
            Step::Visit { browser } => {
                let mut jar = self.browsers[browser].clone();
                let (session, upkeep) = self.authenticate(&jar);
                self.keep_up(&mut jar, upkeep);
                self.browsers[browser] = jar;
                Some(self.seen(session))
            }
            Step::VisitWithLostResponse { browser } => {
                let jar = self.browsers[browser].without_keys();
                let session = self.authenticate(&jar).0;
                Some(self.seen(session))
            }
            Step::VisitWithStolen { loot } => {
                let index = loot % self.loot.len().max(1);
                let mut jar = self.loot.get(index)?.clone();
                let (session, upkeep) = self.authenticate(&jar);
                self.keep_up(&mut jar, upkeep);
                self.loot[index] = jar;
                Some(self.seen(session))
            }
            Step::LogIn { browser, user, remember } => {
                self.log_in(browser, user, remember);
                None
            }
            Step::LogOut { browser } => {
                let mut jar = self.browsers[browser].clone();
                let before = self.log_out(&mut jar);
                self.browsers[browser] = jar;
                Some(before)
            }
            Step::LogOutWithStolen { loot } => {
                let index = loot % self.loot.len().max(1);
                let mut jar = self.loot.get(index)?.clone();
                let before = self.log_out(&mut jar);
                self.loot[index] = jar;
                Some(before)
            }
            Step::Renew { browser } => self.acting(browser, Self::renew),
            Step::Enroll { browser } => self.acting(browser, |model, jar, session| {
                if model.is_recent(session) {
                    model.enroll(jar, session);
                    model.bind(browser, jar, session);
                }
            }),
            Step::Disable { browser } => self.acting(browser, |model, jar, session| {
                if model.is_recent(session) {
                    model.disable(jar, session);
                }
            }),
            Step::Link { browser, identity } => self.acting(browser, |model, jar, session| {
                if model.is_recent(session) {
                    model.link(jar, session, identity);
                }
            }),
            Step::Unlink { browser, identity } => self.acting(browser, |model, jar, session| {
                if model.is_recent(session) {
                    model.unlink(jar, session, identity);
                }
            }),
            Step::LogInWithIdentity { browser, identity, remember } => match self.identities.get(&identity) {
                Some(user) => {
                    let user = *user;
                    self.log_in(browser, user, remember);
                    None
                }
                None => self.acting(browser, |_, _, _| {}),
            },
            Step::AnswerWithCode { browser, app, steps_ago, trust } => {
                self.answering(browser, |model, jar, session| {
                    let user = model.rows[&session].user;
                    if model.take_code(user, app, steps_ago) {
                        model.complete(jar, session, trust);
                        model.bind(browser, jar, session);
                    }
                })
            }
            Step::AnswerWithBackupCode { browser, code, trust } => self.answering(browser, |model, jar, session| {
                let code = code % model.backup_codes.max(1);
                let user = model.rows[&session].user;
                if model.factors[user].backup_codes.remove(&code) {
                    model.complete(jar, session, trust);
                    model.bind(browser, jar, session);
                }
            }),
            Step::ConfirmByPassword { browser } => self.acting(browser, |model, jar, session| {
                if !model.factors[model.rows[&session].user].is_on {
                    model.rows.get_mut(&session).unwrap().authenticated_at = model.now;
                    model.renew(jar, session);
                    model.bind(browser, jar, session);
                }
            }),
            Step::ConfirmByCode { browser, steps_ago } => self.acting(browser, |model, jar, session| {
                let user = model.rows[&session].user;
                if model.take_code(user, 0, steps_ago) {
                    model.verify(jar, session);
                    model.bind(browser, jar, session);
                }
            }),
            Step::ChangePassword { browser } => self.acting(browser, |model, jar, session| {
                let owner = model.rows[&session].user;
                model.rows.retain(|id, row| row.user != owner || *id == session);
                model.trusts.retain(|_, (by, ..)| *by != owner);
                model.api_tokens.retain(|_, by| *by != owner);
                model.renew(jar, session);
            }),
            Step::CreateApiToken { browser } => self.acting(browser, |model, _, session| {
                if model.is_recent(session) {
                    model.api_tokens.insert(model.api_tokens_created, model.rows[&session].user);
                    model.api_tokens_created += 1;
                }
            }),
            Step::RevokeApiToken { browser, token } => self.acting(browser, |model, _, session| {
                let revoked = token % model.api_tokens_created.max(1);
                if model.api_tokens.get(&revoked) == Some(&model.rows[&session].user) {
                    model.api_tokens.remove(&revoked);
                }
            }),
            Step::PresentApiToken { .. } => None,
            Step::StealTrust { from, to } => {
                if let Some(trust) = self.browsers[from].trust.clone() {
                    self.browsers[to].trust = Some(trust);
                }
                None
            }
            Step::Revoke { browser, session: revoked } => {
                let revoked = revoked % self.sessions.max(1);
                self.acting(browser, |model, _, session| {
                    let owner = model.rows[&session].user;
                    if model.rows.get(&revoked).is_some_and(|row| row.user == owner) {
                        model.rows.remove(&revoked);
                        model.trusts.retain(|_, (by, _, last)| *by != owner || *last != revoked);
                    }
                })
            }
            Step::DeleteByHand { session } => {
                let deleted = session % self.sessions.max(1);
                self.rows.remove(&deleted);
                None
            }
            Step::LogOutEverywhere { browser } => self.acting(browser, |model, jar, session| {
                let owner = model.rows[&session].user;
                model.rows.retain(|_, row| row.user != owner);
                (jar.session, jar.remember_me, jar.bound) = (None, None, None);
            }),
            Step::CloseAndReopen { browser } => {
                self.browsers[browser].session = None;
                None
            }
            Step::Steal { browser } => {
                self.loot.push(self.browsers[browser].without_keys());
                None
            }
            Step::Wait { seconds } => {
                self.now += seconds;
                None
            }
            Step::RotateKeys => {
                self.newest_key += 1;
                self.accepted_keys.insert(self.newest_key);
                None
            }
            Step::RetireOldKeys => {
                self.accepted_keys = BTreeSet::from([self.newest_key]);
                None
            }
        }
    }

    fn log_in(&mut self, browser: usize, user: usize, remember: bool) {
        let mut jar = self.browsers[browser].clone();
        let (session, _) = self.authenticate(&jar);
        let presented = self.presented(&jar, session);
        self.end_presented(&presented, session);
        let trusted = self.trusted(&jar, user);
        let trusted_at = trusted.map(|(_, at)| at);
        if let Some((token, at)) = trusted {
            self.trusts.insert(token, (user, at, self.sessions));
        }
        let pending = self.factors[user].is_on && trusted_at.is_none();
        let (token, now) = (self.fresh_token(), self.now);
        let previous = presented.first().map(|token| (*token, None));
        let row = Row {
            user,
            remembered: remember,
            pending,
            verified_at: trusted_at,
            authenticated_at: trusted_at.unwrap_or(now),
            token,
            series: BTreeSet::from([token]),
            previous,
            next: None,
            inserted_at: now,
            last_used_at: now,
            issued_at: now,
            bound_at: None,
            is_confirmed: false,
        };
        let session = self.sessions;
        self.rows.insert(session, row);
        self.sessions += 1;
        self.set_token(&mut jar, token, remember && !pending);
        self.bind(browser, &mut jar, session);
        self.browsers[browser] = jar;
    }

    /// Returns the session that the handler saw.
    fn log_out(&mut self, jar: &mut Jar) -> Option<usize> {
        let (session, _) = self.authenticate(jar);
        let before = self.seen(session);
        let presented = self.presented(jar, session);
        self.end_presented(&presented, session);
        *jar = Jar { trust: jar.trust.take(), device: std::mem::take(&mut jar.device), ..Jar::default() };
        before
    }

    /// Returns the session that a handler sees. A handler sees no session while the second factor is pending.
    fn seen(&self, session: Option<usize>) -> Option<usize> {
        session.filter(|session| !self.rows[session].pending)
    }

    /// A request whose handler acts only for a user who is logged in.
    fn acting(&mut self, browser: usize, act: impl FnOnce(&mut Self, &mut Jar, usize)) -> Option<Option<usize>> {
        self.handling(browser, false, act)
    }

    /// A request whose handler acts only for a user whose second factor is pending.
    fn answering(&mut self, browser: usize, act: impl FnOnce(&mut Self, &mut Jar, usize)) -> Option<Option<usize>> {
        self.handling(browser, true, act)
    }

    fn handling(
        &mut self,
        browser: usize,
        pending: bool,
        act: impl FnOnce(&mut Self, &mut Jar, usize),
    ) -> Option<Option<usize>> {
        let mut jar = self.browsers[browser].clone();
        let (session, upkeep) = self.authenticate(&jar);
        let seen = self.seen(session);
        // Only a later page expires invalid cookies.
        if let Some(session) = session {
            let jar_before = jar.clone();
            if self.rows[&session].pending == pending {
                act(self, &mut jar, session);
            }
            let settled = jar.session != jar_before.session || jar.remember_me != jar_before.remember_me;
            // If the session revoked itself, `keep_up` writes no cookies.
            if !settled {
                self.keep_up(&mut jar, upkeep);
            }
        }
        self.browsers[browser] = jar;
        Some(seen)
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let model =
            Self { browsers: vec![Jar::default(); BROWSERS], accepted_keys: BTreeSet::from([0]), ..Self::default() };
        Just(model).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let browser = 0..BROWSERS;
        // Mostly the current app, sometimes a former one.
        let apps = prop_oneof![3 => Just(0), 1 => 0..4usize];
        let pauses = prop_oneof![
            3 => Just(5),
            3 => Just(30),
            3 => Just(61),
            2 => Just(600),
            6 => Just(8 * DAY),
            1 => Just(21 * DAY),
            1 => Just(61 * DAY),
        ];
        prop_oneof![
            3 => (browser.clone(), 0..USERS, any::<bool>())
                .prop_map(|(browser, user, remember)| Step::LogIn { browser, user, remember }),
            8 => browser.clone().prop_map(|browser| Step::Visit { browser }),
            4 => browser.clone().prop_map(|browser| Step::VisitWithLostResponse { browser }),
            1 => browser.clone().prop_map(|browser| Step::LogOut { browser }),
            1 => browser.clone().prop_map(|browser| Step::Renew { browser }),
            1 => (browser.clone(), 0..50usize).prop_map(|(browser, session)| Step::Revoke { browser, session }),
            1 => (0..50usize).prop_map(|session| Step::DeleteByHand { session }),
            1 => browser.clone().prop_map(|browser| Step::LogOutEverywhere { browser }),
            3 => browser.clone().prop_map(|browser| Step::Enroll { browser }),
            1 => browser.clone().prop_map(|browser| Step::Disable { browser }),
            6 => (browser.clone(), apps, 0..4u64, any::<bool>())
                .prop_map(|(browser, app, steps_ago, trust)| Step::AnswerWithCode { browser, app, steps_ago, trust }),
            3 => (browser.clone(), 0..30usize, any::<bool>())
                .prop_map(|(browser, code, trust)| Step::AnswerWithBackupCode { browser, code, trust }),
            3 => (browser.clone(), 0..IDENTITIES).prop_map(|(browser, identity)| Step::Link { browser, identity }),
            2 => (browser.clone(), 0..IDENTITIES).prop_map(|(browser, identity)| Step::Unlink { browser, identity }),
            2 => (browser.clone(), 0..IDENTITIES, any::<bool>())
                .prop_map(|(browser, identity, remember)| Step::LogInWithIdentity { browser, identity, remember }),
            1 => browser.clone().prop_map(|browser| Step::ConfirmByPassword { browser }),
            2 => (browser.clone(), 0..3u64).prop_map(|(browser, steps_ago)| Step::ConfirmByCode { browser, steps_ago }),
            1 => browser.clone().prop_map(|browser| Step::ChangePassword { browser }),
            2 => browser.clone().prop_map(|browser| Step::CreateApiToken { browser }),
            1 => (browser.clone(), 0..10usize).prop_map(|(browser, token)| Step::RevokeApiToken { browser, token }),
            4 => (0..10usize).prop_map(|token| Step::PresentApiToken { token }),
            2 => (browser.clone(), browser.clone()).prop_map(|(from, to)| Step::StealTrust { from, to }),
            2 => browser.clone().prop_map(|browser| Step::CloseAndReopen { browser }),
            2 => browser.prop_map(|browser| Step::Steal { browser }),
            5 => (0..10usize).prop_map(|loot| Step::VisitWithStolen { loot }),
            1 => (0..10usize).prop_map(|loot| Step::LogOutWithStolen { loot }),
            8 => pauses.prop_map(|seconds| Step::Wait { seconds }),
            1 => Just(Step::RotateKeys),
            1 => Just(Step::RetireOldKeys),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.take(step);
        state
    }
}

/// Counts a user's apps, backup codes, trusted browsers, linked accounts, access tokens, and sessions that lack a
/// second factor.
const COUNTS: [&str; 6] = [
    "SELECT count(*) FROM users_totp WHERE user_id = $1",
    "SELECT count(*) FROM users_backup_codes WHERE user_id = $1",
    "SELECT count(*) FROM users_tokens WHERE context = 'mfa_trust' AND user_id = $1",
    "SELECT count(*) FROM user_identities WHERE user_id = $1",
    "SELECT count(*) FROM api_tokens WHERE user_id = $1",
    "SELECT count(*) FROM users_tokens t WHERE context = 'session' AND user_id = $1
     AND NOT mfa_pending AND mfa_verified_at IS NULL AND EXISTS (SELECT 1 FROM users_totp f WHERE f.user_id = t.user_id)",
];

/// Returns a clock at the start of a TOTP step, where the model's time begins.
fn clock_at_the_start_of_a_step() -> Clock {
    let clock = Clock::stopped();
    let step = Duration::from_secs(STEP).as_nanos();
    let into = clock.now().unix_timestamp_nanos().unsigned_abs() % step;
    // The clock counts milliseconds.
    clock.advance(Duration::from_nanos(u64::try_from(step - into).unwrap()) + Duration::from_millis(1));
    clock
}

/// One of the processes that share the database.
#[derive(Clone)]
struct Node {
    sigra: Sigra<User>,
    router: Router,
}

/// The system under test: two nodes on one database, and browsers with cookies.
pub struct Reality {
    runtime: tokio::runtime::Runtime,
    pool: Pool<Database>,
    clock: Clock,
    secrets: Vec<SecretKeyBase>,
    nodes: Arc<RwLock<Vec<Node>>>,
    browsers: Vec<TestClient>,
    loot: Vec<TestClient>,
    /// The IDs of the model's sessions.
    sessions: Vec<SessionId>,
    /// The keys of each user's authenticator apps.
    apps: [Vec<totp_rs::Totp>; USERS],
    backup_codes: Vec<String>,
    /// The IDs of the model's access tokens, and programs that present them.
    api_tokens: Vec<(Uuid, TestClient)>,
    model: Model,
}

impl Reality {
    fn node(&self) -> Node {
        let (newest, older) = self.secrets.split_first().unwrap();
        let config = Config::new("app", newest.clone())
            .older_secrets(older.to_vec())
            .session_ttl(Duration::from_secs(TTL))
            .session_idle_timeout(Duration::from_secs(IDLE))
            .session_reissue_age(Duration::from_secs(REISSUE_AGE))
            .reissue_grace(Duration::from_secs(GRACE))
            .rate_limits(false)
            .api_tokens_per_user(1000)
            .login_providers((0..IDENTITIES).map(provider))
            .secure_cookies(true)
            .device_bound(DeviceBound::at("https://localhost"))
            .clock(self.clock.clone());
        let sigra: Sigra<User> = Sigra::new(config, self.pool.clone()).unwrap();
        let router = Router::new()
            .route("/who", get(who))
            .route("/log-in/{user}/{remember}", post(log_in))
            .route("/log-out", post(log_out))
            .route("/renew", post(renew))
            .route("/enroll", post(enroll))
            .route("/disable", post(disable))
            .route("/link/{identity}", post(link))
            .route("/unlink/{identity}", post(unlink))
            .route("/log-in-with/{identity}/{remember}", post(log_in_with_identity))
            .route("/answer/{code}/{trust}", post(answer))
            .route("/confirm", post(confirm_by_password))
            .route("/confirm/{code}", post(confirm_by_code))
            .route("/password", post(change_password))
            .route("/revoke/{session}", post(revoke))
            .route("/api-tokens", post(create_api_token))
            .route("/api-tokens/{id}", post(revoke_api_token))
            .route("/bearer", get(bearer))
            .route("/everywhere", post(everywhere))
            .route(DeviceBound::PATH, post(register))
            .route("/users/session/binding/refresh", post(refresh))
            .layer(sigra.fetch_current_scope())
            .with_state(sigra.clone());
        Node { sigra, router }
    }

    /// Starts or restarts both nodes.
    fn deploy(&self) {
        *self.nodes.write().unwrap() = vec![self.node(), self.node()];
    }

    fn visit(&self, client: &TestClient) -> Option<SessionId> {
        let response = self.runtime.block_on(client.get("/who"));
        response.text().parse().ok()
    }

    fn post(&self, browser: usize, path: &str) -> Option<SessionId> {
        let response = self.runtime.block_on(self.browsers[browser].post(path, &[]));
        assert!(response.status().is_success(), "{response:?}");
        response.text().parse().ok()
    }

    fn rows(&self) -> BTreeSet<(SessionId, bool)> {
        let rows = "SELECT id, mfa_pending FROM users_tokens WHERE context = 'session'";
        let rows = sqlx::query_as(rows).fetch_all(&self.pool);
        self.runtime.block_on(rows).unwrap().into_iter().collect()
    }

    fn count(&self, sql: &'static str, user: usize) -> usize {
        let count = sqlx::query_scalar::<_, i64>(sql).bind(i64::try_from(user).unwrap()).fetch_one(&self.pool);
        usize::try_from(self.runtime.block_on(count).unwrap()).unwrap()
    }

    /// Sets up an app, if the browser may, and keeps its key and the new backup codes.
    fn enroll(&mut self, browser: usize) -> Option<SessionId> {
        let response = self.runtime.block_on(self.browsers[browser].post("/enroll", &[]));
        assert!(response.status().is_success(), "{response:?}");
        let text = response.text();
        let mut lines = text.lines();
        let name = lines.next().and_then(|name| name.parse().ok());
        if let (Some(user), Some(key)) = (lines.next(), lines.next()) {
            let secret = totp_rs::Secret::try_from_base32(key.replace(' ', "")).unwrap();
            self.apps[user.parse::<usize>().unwrap()]
                .push(totp_rs::Builder::new().with_secret(secret).build_noncompliant());
        }
        self.backup_codes.extend(lines.map(str::to_owned));
        name
    }

    /// Creates an access token, if the browser may.
    fn create_api_token(&mut self, browser: usize) -> Option<SessionId> {
        let response = self.runtime.block_on(self.browsers[browser].post("/api-tokens", &[]));
        assert!(response.status().is_success(), "{response:?}");
        let text = response.text();
        let mut lines = text.lines();
        let name = lines.next().and_then(|name| name.parse().ok());
        if let (Some(id), Some(secret)) = (lines.next(), lines.next()) {
            let program = TestClient::new(balanced(self.nodes.clone())).bearer(secret);
            self.api_tokens.push((id.parse().unwrap(), program));
        }
        name
    }

    /// Presents an access token, whose user must be that of the model.
    fn present_api_token(&self, token: usize) {
        let token = token % self.api_tokens.len().max(1);
        let Some((_, program)) = self.api_tokens.get(token) else { return };
        let response = self.runtime.block_on(program.get("/bearer"));
        match self.model.api_tokens.get(&token) {
            Some(user) => assert_eq!(response.text(), user.to_string(), "the user of the access token"),
            None => assert_eq!(response.status(), 401, "the access token was revoked"),
        }
    }

    /// Returns the code that a user's app showed, or another one if the current app shows that too, by chance.
    fn code(&self, user: usize, app: usize, steps_ago: u64) -> String {
        let now = self.clock.now().unix_timestamp().unsigned_abs();
        let apps = &self.apps[user];
        let code = |app: usize, steps_ago: u64| {
            apps.iter().rev().nth(app).map(|app| app.generate(now - steps_ago * STEP).to_string())
        };
        let app = app % apps.len().max(1);
        let wanted = code(app, steps_ago).unwrap_or_else(|| "000000".to_owned());
        let shown = [code(0, 0), code(0, 1)];
        let is_by_chance =
            |wanted: &String| (app > 0 || steps_ago > 1) && shown.iter().flatten().any(|code| code == wanted);
        match is_by_chance(&wanted) {
            false => wanted,
            true => {
                (0..3).map(|digit| digit.to_string().repeat(6)).find(|code| !is_by_chance(code)).expect("two are shown")
            }
        }
    }

    /// Notes the session that a login opened.
    fn note_new_session(&mut self) {
        let known: BTreeSet<SessionId> = self.sessions.iter().copied().collect();
        let rows: BTreeSet<SessionId> = self.rows().into_iter().map(|(id, _)| id).collect();
        let new: Vec<SessionId> = rows.difference(&known).copied().collect();
        assert_eq!(new.len(), 1, "a login writes exactly one row");
        self.sessions.extend(new);
    }

    /// Returns the user of a browser, according to the model.
    fn user_of(&self, browser: usize) -> usize {
        let mut model = self.model.clone();
        model.renew_bound_cookies(browser);
        let jar = model.browsers[browser].clone();
        let session = model.authenticate(&jar).0;
        session.map_or(0, |session| model.rows[&session].user)
    }
}

async fn database_with_users() -> Pool<Database> {
    let pool = emptied_database().await;
    let users =
        "INSERT INTO users (id, email, hashed_password) VALUES (0, 'a@example.com', 'a'), (1, 'b@example.com', NULL)";
    sqlx::query(users).execute(&pool).await.unwrap();
    pool
}

type CurrentScope = Option<Scope<User>>;

fn name(scope: &CurrentScope) -> String {
    scope.as_ref().map_or_else(String::new, |scope| scope.session().id.to_string())
}

async fn who(scope: CurrentScope) -> String {
    name(&scope)
}

async fn log_in(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    Path((user, remember)): Path<(i64, bool)>,
) -> sigra::Result<String> {
    let user = sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(user).fetch_one(sigra.pool()).await?;
    let _ = sigra.log_in(&session, &user, LoginMethod::Password, remember.into()).await?;
    Ok(String::new())
}

async fn log_out(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
) -> sigra::Result<String> {
    sigra.log_out(&session).await?;
    Ok(name(&scope))
}

async fn renew(State(sigra): State<Sigra<User>>, session: CookieSession, scope: CurrentScope) -> sigra::Result<String> {
    if let Some(scope) = &scope {
        sigra.renew_session(&session, scope).await?;
    }
    Ok(name(&scope))
}

async fn enroll(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    enrollment: Result<MfaEnrollment<User>, MfaEnrollmentRejection>,
) -> sigra::Result<String> {
    let Ok(enrollment) = enrollment else { return Ok(name(&scope)) };
    let user = enrollment.scope().user();
    let key = sigra.mfa().begin_totp(&session, user, "a")?.manual_key().to_string();
    let secret = totp_rs::Secret::try_from_base32(key.replace(' ', "")).unwrap();
    let code = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    let code = code.generate(sigra.now().unix_timestamp().unsigned_abs()).to_string();
    let enrolled = sigra.mfa().confirm_totp(&session, &enrollment, "a", &MfaCode::new(code)).await?.valid().unwrap();
    let codes: String =
        enrolled.backup_codes.iter().flat_map(|codes| codes.iter()).map(|code| format!("\n{}", *code)).collect();
    Ok(format!("{}\n{}\n{key}{codes}", name(&scope), user.id))
}

async fn disable(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    sudo: Result<Sudo<User>, SudoRejection>,
) -> sigra::Result<String> {
    if let Ok(sudo) = sudo {
        sigra.mfa().disable_totp(&session, &sudo).await?;
    }
    Ok(name(&scope))
}

fn provider(identity: usize) -> String {
    format!("provider-{identity}")
}

fn identity_named(identity: usize) -> ProviderIdentity {
    ProviderIdentity::new(provider(identity), "https://provider.example", identity.to_string())
}

async fn link(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    sudo: Result<Sudo<User>, SudoRejection>,
    Path(identity): Path<usize>,
) -> sigra::Result<String> {
    if let Ok(Sudo(scope)) = sudo {
        let mut tx = sigra.begin().await?;
        let _ = sigra.identities().link_in(&mut tx, &session, &scope, &identity_named(identity)).await?;
        tx.commit().await?;
    }
    Ok(name(&scope))
}

async fn unlink(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    sudo: Result<Sudo<User>, SudoRejection>,
    Path(identity): Path<usize>,
) -> sigra::Result<String> {
    if let Ok(sudo) = sudo {
        let linked = sigra.identities().list(&sudo.0.user().id).await?;
        let Some(row) = linked.iter().find(|linked| linked.provider == provider(identity)) else {
            return Ok(name(&scope));
        };
        let mut tx = sigra.begin().await?;
        match sigra.identities().unlink_in(&mut tx, &session, &sudo, row.id).await {
            Ok(_) => tx.commit().await?,
            Err(Error::LastLoginMethod) => tx.rollback().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(name(&scope))
}

async fn log_in_with_identity(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    Path((identity, remember)): Path<(usize, bool)>,
) -> sigra::Result<String> {
    let identity = identity_named(identity);
    match sigra.identities().decide(&identity, async { Ok(AddressOwner::Invalid) }).await? {
        Decision::LogIn(known) => {
            let _ = sigra.identities().log_in(&session, &known, remember.into()).await?;
            Ok(String::new())
        }
        _ => Ok(name(&scope)),
    }
}

async fn answer(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    challenge: Option<MfaChallenge<User>>,
    Path((code, trust)): Path<(MfaCode, bool)>,
) -> sigra::Result<String> {
    if let Some(challenge) = challenge {
        let _ = sigra.mfa().complete(&session, &challenge, SecondFactor::Code(&code), trust.into()).await?;
    }
    Ok(name(&scope))
}

async fn confirm_by_password(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
) -> sigra::Result<String> {
    if let Some(scope) = &scope {
        match sigra.reauthenticate(&session, scope).await {
            Ok(()) | Err(Error::SecondFactorRequired) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(name(&scope))
}

async fn confirm_by_code(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    Path(code): Path<MfaCode>,
) -> sigra::Result<String> {
    if let Some(scope) = &scope {
        let _ = sigra.mfa().reauthenticate(&session, scope, SecondFactor::Code(&code)).await?;
    }
    Ok(name(&scope))
}

async fn change_password(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
) -> sigra::Result<String> {
    if let Some(scope) = &scope {
        let mut tx = sigra.begin().await?;
        let revoked = sigra.sessions().end_all_access_in(&mut tx, &scope.user().id, Some(scope.session().id)).await?;
        tx.commit().await?;
        sigra.sessions().announce(revoked);
        sigra.renew_session(&session, scope).await?;
    }
    Ok(name(&scope))
}

async fn revoke(
    State(sigra): State<Sigra<User>>,
    scope: CurrentScope,
    Path(id): Path<SessionId>,
) -> sigra::Result<String> {
    if let Some(scope) = &scope {
        sigra.sessions().delete(&scope.user().id, id).await?;
    }
    Ok(name(&scope))
}

async fn create_api_token(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    sudo: Result<Sudo<User>, SudoRejection>,
) -> sigra::Result<String> {
    let Ok(sudo) = sudo else { return Ok(name(&scope)) };
    let new = NewApiToken::new("a", Permissions::default(), Expiry::Never);
    let created = sigra.api_tokens().create(&sudo, &new, &session.client()).await?;
    Ok(format!("{}\n{}\n{}", name(&scope), created.token.id, created.secret.as_str()))
}

async fn revoke_api_token(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
    Path(id): Path<Uuid>,
) -> sigra::Result<String> {
    if let Some(scope) = &scope {
        sigra.api_tokens().revoke(scope, id, &session.client()).await?;
    }
    Ok(name(&scope))
}

async fn bearer(bearer: Bearer<User>) -> String {
    bearer.user().id().to_string()
}

async fn everywhere(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: CurrentScope,
) -> sigra::Result<String> {
    if let Some(scope) = &scope {
        sigra.delete_all_sessions(&scope.user().id).await?;
        sigra.log_out(&session).await?;
    }
    Ok(name(&scope))
}

async fn register(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: Scope<User>,
    headers: HeaderMap,
) -> sigra::Result<BindingResponse> {
    sigra.device_binding().register(&session, &scope, &headers).await
}

async fn refresh(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    headers: HeaderMap,
) -> sigra::Result<BindingResponse> {
    sigra.device_binding().refresh(&session, &headers).await
}

/// Passes requests to the nodes in turn. Each first catches up with the changes of the other.
fn balanced(nodes: Arc<RwLock<Vec<Node>>>) -> Router {
    let turn = Arc::new(AtomicUsize::new(0));
    Router::new().fallback_service(tower::service_fn(move |request| {
        let node = nodes.read().unwrap()[turn.fetch_add(1, Ordering::Relaxed) % 2].clone();
        async move {
            node.sigra.catch_up().await;
            node.router.oneshot(request).await
        }
    }))
}

impl StateMachineTest for Reality {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pool = runtime.block_on(database_with_users());
        let nodes = Arc::new(RwLock::new(Vec::new()));
        let clock = clock_at_the_start_of_a_step();
        let client = |browser| {
            let client = TestClient::new(balanced(nodes.clone()));
            if browser == BOUND_BROWSER { client.device_bound(&clock) } else { client }
        };
        let browsers = (0..BROWSERS).map(client).collect();
        let reality = Self {
            runtime,
            pool,
            clock,
            secrets: vec![SecretKeyBase::generate().unwrap()],
            browsers,
            nodes,
            loot: Vec::new(),
            sessions: Vec::new(),
            apps: [Vec::new(), Vec::new()],
            backup_codes: Vec::new(),
            api_tokens: Vec::new(),
            model: model.clone(),
        };
        reality.deploy();
        reality
    }

    fn apply(mut reality: Self, _: &Model, step: Step) -> Self {
        let user = match step {
            Step::AnswerWithCode { browser, .. } | Step::ConfirmByCode { browser, .. } => reality.user_of(browser),
            _ => 0,
        };
        let expected = reality.model.take(&step);
        let found = match step {
            Step::Visit { browser } => Some(reality.visit(&reality.browsers[browser])),
            Step::VisitWithLostResponse { browser } => Some(reality.visit(&reality.browsers[browser].fork())),
            Step::VisitWithStolen { loot } => {
                let loot = loot % reality.loot.len().max(1);
                reality.loot.get(loot).map(|stolen| reality.visit(stolen))
            }
            Step::LogOutWithStolen { loot } => {
                let loot = loot % reality.loot.len().max(1);
                reality.loot.get(loot).map(|stolen| {
                    let response = reality.runtime.block_on(stolen.post("/log-out", &[]));
                    assert!(response.status().is_success(), "{response:?}");
                    response.text().parse().ok()
                })
            }
            Step::LogInWithIdentity { browser, identity, remember } => {
                let found = reality.post(browser, &format!("/log-in-with/{identity}/{remember}"));
                if reality.model.identities.contains_key(&identity) {
                    reality.note_new_session();
                }
                Some(found)
            }
            Step::LogIn { browser, user, remember } => {
                reality.post(browser, &format!("/log-in/{user}/{remember}"));
                reality.note_new_session();
                None
            }
            Step::LogOut { browser } => Some(reality.post(browser, "/log-out")),
            Step::Renew { browser } => Some(reality.post(browser, "/renew")),
            Step::Enroll { browser } => Some(reality.enroll(browser)),
            Step::Disable { browser } => Some(reality.post(browser, "/disable")),
            Step::Link { browser, identity } => Some(reality.post(browser, &format!("/link/{identity}"))),
            Step::Unlink { browser, identity } => Some(reality.post(browser, &format!("/unlink/{identity}"))),
            Step::AnswerWithCode { browser, app, steps_ago, trust } => {
                let code = reality.code(user, app, steps_ago);
                Some(reality.post(browser, &format!("/answer/{code}/{trust}")))
            }
            Step::AnswerWithBackupCode { browser, code, trust } => {
                let codes = &reality.backup_codes;
                let code = codes.get(code % codes.len().max(1)).map_or("none", String::as_str);
                Some(reality.post(browser, &format!("/answer/{code}/{trust}")))
            }
            Step::ConfirmByPassword { browser } => Some(reality.post(browser, "/confirm")),
            Step::ConfirmByCode { browser, steps_ago } => {
                let code = reality.code(user, 0, steps_ago);
                Some(reality.post(browser, &format!("/confirm/{code}")))
            }
            Step::ChangePassword { browser } => Some(reality.post(browser, "/password")),
            Step::CreateApiToken { browser } => Some(reality.create_api_token(browser)),
            Step::RevokeApiToken { browser, token } => {
                let token = reality.api_tokens.get(token % reality.api_tokens.len().max(1));
                let id = token.map(|(id, _)| *id).unwrap_or_default();
                Some(reality.post(browser, &format!("/api-tokens/{id}")))
            }
            Step::PresentApiToken { token } => {
                reality.present_api_token(token);
                None
            }
            Step::StealTrust { from, to } => {
                if let Some(trust) = reality.browsers[from].cookie(TRUST_COOKIE) {
                    reality.browsers[to].set_cookie(TRUST_COOKIE, &trust);
                }
                None
            }
            Step::Revoke { browser, session } => {
                let id = reality.sessions.get(session % reality.sessions.len().max(1)).copied().unwrap_or_default();
                Some(reality.post(browser, &format!("/revoke/{id}")))
            }
            Step::DeleteByHand { session } => {
                let id = reality.sessions.get(session % reality.sessions.len().max(1)).copied().unwrap_or_default();
                let delete = sqlx::query("DELETE FROM users_tokens WHERE id = $1").bind(id).execute(&reality.pool);
                reality.runtime.block_on(delete).unwrap();
                None
            }
            Step::LogOutEverywhere { browser } => Some(reality.post(browser, "/everywhere")),
            Step::CloseAndReopen { browser } => {
                reality.browsers[browser].close_and_reopen();
                None
            }
            Step::Steal { browser } => {
                let stolen = reality.browsers[browser].fork();
                reality.loot.push(stolen);
                None
            }
            Step::Wait { seconds } => {
                reality.clock.advance(Duration::from_secs(seconds));
                None
            }
            Step::RotateKeys => {
                reality.secrets.insert(0, SecretKeyBase::generate().unwrap());
                reality.deploy();
                let sigra = reality.nodes.read().unwrap()[0].sigra.clone();
                reality.runtime.block_on(sigra.housekeeping().reencrypt_secrets()).unwrap();
                None
            }
            Step::RetireOldKeys => {
                reality.secrets.truncate(1);
                reality.deploy();
                None
            }
        };
        if let (Some(expected), Some(found)) = (expected, found) {
            let expected = expected.map(|session| reality.sessions[session]);
            assert_eq!(found, expected, "the session of the request, in {step:?}");
        }
        reality
    }

    fn check_invariants(reality: &Self, _: &Model) {
        let expected: BTreeSet<(SessionId, bool)> =
            reality.model.rows.iter().map(|(session, row)| (reality.sessions[*session], row.pending)).collect();
        assert_eq!(reality.rows(), expected, "the sessions, and whether their second factor is pending");
        for (user, factors) in reality.model.factors.iter().enumerate() {
            let trusts = reality.model.trusts.values().filter(|(by, ..)| *by == user).count();
            let linked = reality.model.identities.values().filter(|by| **by == user).count();
            let tokens = reality.model.api_tokens.values().filter(|by| **by == user).count();
            let [totp, codes, trusted, identities, api_tokens, unverified] = COUNTS.map(|sql| reality.count(sql, user));
            assert_eq!((totp, codes), (usize::from(factors.is_on), factors.backup_codes.len()), "the factors");
            assert_eq!(trusted, trusts, "the trusted browsers");
            assert_eq!(identities, linked, "the linked accounts");
            assert_eq!(api_tokens, tokens, "the access tokens");
            assert_eq!(unverified, 0, "no session lacks the second factor of its user");
        }
        let jars = reality.model.browsers.iter().chain(&reality.model.loot);
        for (jar, client) in jars.zip(reality.browsers.iter().chain(&reality.loot)) {
            assert_eq!(client.cookie("__Host-_app_key").is_some(), jar.session.is_some(), "the session cookie");
            let remembered = client.cookie("__Host-_app_web_user_remember_me").is_some();
            assert_eq!(remembered, jar.remember_me.is_some(), "the remember-me cookie");
            let is_bound = client.cookie("__Host-_app_binding").is_some();
            assert_eq!(is_bound, jar.bound.is_some(), "the bound cookie");
        }
    }
}
