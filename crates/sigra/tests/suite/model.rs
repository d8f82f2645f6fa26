//! Random histories of several browsers, users and thieves, against a model that fits on two pages.
//!
//! `PROPTEST_CASES` says how many; failures shrink to the shortest history that still fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use sigra::{Clock, Config, Scope, SecretKeyBase, Session, SessionId, Sigra, testing::TestClient};
use sqlx::Pool;
use tower::ServiceExt;

use super::bigint_ids::User;
use crate::database::{Database, HISTORIES, emptied_database};

const USERS: usize = 2;
const BROWSERS: usize = 3;

const TTL: u64 = 60 * DAY;
const IDLE: u64 = 20 * DAY;
const REISSUE_AGE: u64 = 7 * DAY;
const GRACE: u64 = 60;
const REISSUE_RETRY: u64 = 60;
const TOUCH: u64 = 5 * 60;
const DAY: u64 = 24 * 3600;

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
    /// The answer is lost on the way.
    VisitInVain {
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
    /// Somebody deletes the row by hand.
    DeleteByHand {
        session: usize,
    },
    LogOutEverywhere {
        browser: usize,
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
    Wait {
        seconds: u64,
    },
    RotateKeys,
    RetireOldKeys,
}

type Token = usize;
type KeyGeneration = usize;

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_goes_as_the_model_says(sequential 1..60 => Reality);
}

/// Enough to be sure in a minute; the slow proofs ask for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(HISTORIES)
}

/// What the database should hold.
#[derive(Clone, Debug)]
struct Row {
    user: usize,
    remembered: bool,
    inserted_at: u64,
    last_used_at: u64,
    issued_at: u64,
    token: Token,
    next: Option<(Token, u64)>,
    previous: Option<(Token, Option<u64>)>,
}

/// What a browser should hold: tokens, and the key that signed them.
#[derive(Clone, Debug, Default)]
struct Jar {
    session: Option<(Token, KeyGeneration)>,
    remember_me: Option<(Token, KeyGeneration)>,
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

    /// The row that a token points to, and whether it is good there.
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
        found(&|row| row.previous.is_some_and(|(previous, _)| previous == token)).map(|id| (id, false))
    }

    fn look_up(&mut self, token: Token) -> Lookup {
        let Some((session, good)) = self.find(token) else { return Lookup::Dead };
        let now = self.now;
        let row = &self.rows[&session];
        let idle_for = now - row.last_used_at;
        if now - row.inserted_at >= TTL || (!row.remembered && idle_for >= IDLE) {
            self.rows.remove(&session);
            return Lookup::Dead;
        }
        if !good {
            return Lookup::Superseded;
        }
        let mut reissued = None;
        if row.next.is_some_and(|(next, _)| next == token) {
            let row = self.rows.get_mut(&session).unwrap();
            row.previous = Some((row.token, Some(now + GRACE)));
            (row.token, row.issued_at, row.next) = (token, now, None);
        } else if row.token == token && now - row.issued_at >= REISSUE_AGE {
            let lost = row.next.is_none_or(|(_, issued_at)| now - issued_at > REISSUE_RETRY);
            if lost {
                let next = self.fresh_token();
                self.rows.get_mut(&session).unwrap().next = Some((next, now));
                reissued = Some(next);
            }
        }
        if idle_for >= TOUCH {
            self.rows.get_mut(&session).unwrap().last_used_at = now;
        }
        Lookup::Live { session, reissued }
    }

    /// What the layer finds out of a jar.
    fn authenticate(&mut self, jar: &Jar) -> (Option<usize>, Upkeep) {
        let forged =
            |cookie: &Option<(Token, KeyGeneration)>| cookie.is_some_and(|(_, key)| !self.accepted_keys.contains(&key));
        let (forged_session, forged_remember_me) = (forged(&jar.session), forged(&jar.remember_me));
        if forged_session || (forged_remember_me && jar.session.is_none()) {
            let hides_a_good_one = forged_session && jar.remember_me.is_some() && !forged_remember_me;
            let drop_session = Upkeep::Drop { session: true, remember_me: false };
            return (None, if hides_a_good_one { drop_session } else { Upkeep::None });
        }
        let remember_me = jar.remember_me.filter(|_| !forged_remember_me);
        let outdated = [jar.session, remember_me].iter().flatten().any(|(_, key)| *key != self.newest_key);
        let candidates =
            [jar.session, remember_me.filter(|(token, _)| jar.session.is_none_or(|(session, _)| session != *token))];
        let mut any_dead = false;
        for (at, candidate) in candidates.into_iter().enumerate() {
            let Some((token, _)) = candidate else { continue };
            match self.look_up(token) {
                Lookup::Live { session, reissued } => {
                    let rewrite = reissued.or((outdated || at == 1).then_some(token));
                    let remembered = self.rows[&session].remembered;
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

    fn keep_up(&self, jar: &mut Jar, upkeep: Upkeep) {
        match upkeep {
            Upkeep::None => {}
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

    /// The tokens of a jar whose signatures hold.
    fn presented(&self, jar: &Jar) -> Vec<Token> {
        let good = |cookie: Option<(Token, KeyGeneration)>| cookie.filter(|(_, key)| self.accepted_keys.contains(key));
        let mut tokens: Vec<Token> =
            [jar.session, jar.remember_me].into_iter().filter_map(good).map(|(token, _)| token).collect();
        tokens.dedup();
        tokens
    }

    fn delete_by_token(&mut self, token: Token) {
        if let Some((session, true)) = self.find(token) {
            self.rows.remove(&session);
        }
    }

    fn set_token(&self, jar: &mut Jar, token: Token, remembered: bool) {
        jar.session = Some((token, self.newest_key));
        jar.remember_me = remembered.then_some((token, self.newest_key));
    }

    /// Takes the step. Gives who the request of that step was, if it was one.
    fn take(&mut self, step: &Step) -> Option<Option<usize>> {
        match *step {
            Step::Visit { browser } => {
                let mut jar = self.browsers[browser].clone();
                let (session, upkeep) = self.authenticate(&jar);
                self.keep_up(&mut jar, upkeep);
                self.browsers[browser] = jar;
                Some(session)
            }
            Step::VisitInVain { browser } => {
                let jar = self.browsers[browser].clone();
                Some(self.authenticate(&jar).0)
            }
            Step::VisitWithStolen { loot } => {
                let index = loot % self.loot.len().max(1);
                let mut jar = self.loot.get(index)?.clone();
                let (session, upkeep) = self.authenticate(&jar);
                self.keep_up(&mut jar, upkeep);
                self.loot[index] = jar;
                Some(session)
            }
            Step::LogIn { browser, user, remember } => {
                let mut jar = self.browsers[browser].clone();
                let (before, _) = self.authenticate(&jar);
                let presented = self.presented(&jar);
                for token in &presented {
                    self.delete_by_token(*token);
                }
                let (token, now) = (self.fresh_token(), self.now);
                let previous = presented.first().map(|token| (*token, None));
                let row = Row {
                    user,
                    remembered: remember,
                    token,
                    previous,
                    next: None,
                    inserted_at: now,
                    last_used_at: now,
                    issued_at: now,
                };
                self.rows.insert(self.sessions, row);
                self.sessions += 1;
                self.set_token(&mut jar, token, remember);
                self.browsers[browser] = jar;
                Some(before)
            }
            Step::LogOut { browser } => {
                let jar = self.browsers[browser].clone();
                let (before, _) = self.authenticate(&jar);
                for token in self.presented(&jar) {
                    self.delete_by_token(token);
                }
                self.browsers[browser] = Jar::default();
                Some(before)
            }
            Step::Renew { browser } => self.acting(browser, |model, jar, session| {
                let (token, now) = (model.fresh_token(), model.now);
                let row = model.rows.get_mut(&session).unwrap();
                row.previous = Some((row.token, None));
                (row.token, row.issued_at, row.last_used_at, row.next) = (token, now, now, None);
                let remembered = row.remembered;
                model.set_token(jar, token, remembered);
            }),
            Step::Revoke { browser, session: revoked } => {
                let revoked = revoked % self.sessions.max(1);
                self.acting(browser, |model, _, session| {
                    let owner = model.rows[&session].user;
                    model.rows.retain(|id, row| *id != revoked || row.user != owner);
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
                *jar = Jar::default();
            }),
            Step::CloseAndReopen { browser } => {
                self.browsers[browser].session = None;
                None
            }
            Step::Steal { browser } => {
                self.loot.push(self.browsers[browser].clone());
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

    /// A request whose handler acts only for a user who is logged in.
    fn acting(&mut self, browser: usize, act: impl FnOnce(&mut Self, &mut Jar, usize)) -> Option<Option<usize>> {
        let mut jar = self.browsers[browser].clone();
        let (session, upkeep) = self.authenticate(&jar);
        match session {
            Some(session) => {
                let jar_before = jar.clone();
                act(self, &mut jar, session);
                let settled = jar.session != jar_before.session || jar.remember_me != jar_before.remember_me;
                // A session that revoked itself is found gone when the cookies are written.
                let found = |token: Token| self.find(token).is_some();
                match upkeep {
                    Upkeep::Write { token, .. } if !settled && !found(token) => {}
                    upkeep if !settled => self.keep_up(&mut jar, upkeep),
                    _ => {}
                }
            }
            None => self.keep_up(&mut jar, upkeep),
        }
        self.browsers[browser] = jar;
        Some(session)
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
            4 => browser.clone().prop_map(|browser| Step::VisitInVain { browser }),
            1 => browser.clone().prop_map(|browser| Step::LogOut { browser }),
            1 => browser.clone().prop_map(|browser| Step::Renew { browser }),
            1 => (browser.clone(), 0..50usize).prop_map(|(browser, session)| Step::Revoke { browser, session }),
            1 => (0..50usize).prop_map(|session| Step::DeleteByHand { session }),
            1 => browser.clone().prop_map(|browser| Step::LogOutEverywhere { browser }),
            2 => browser.clone().prop_map(|browser| Step::CloseAndReopen { browser }),
            2 => browser.prop_map(|browser| Step::Steal { browser }),
            5 => (0..10usize).prop_map(|loot| Step::VisitWithStolen { loot }),
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

/// One of the processes that share the database.
#[derive(Clone)]
struct Node {
    sigra: Sigra<User>,
    router: Router,
}

/// The real thing: two nodes over a database, and browsers with cookies.
pub struct Reality {
    runtime: tokio::runtime::Runtime,
    pool: Pool<Database>,
    clock: Clock,
    secrets: Vec<SecretKeyBase>,
    nodes: Arc<RwLock<Vec<Node>>>,
    browsers: Vec<TestClient>,
    loot: Vec<TestClient>,
    /// The real names of the model's sessions.
    sessions: Vec<SessionId>,
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
            .clock(self.clock.clone());
        let sigra: Sigra<User> = Sigra::new(config, self.pool.clone()).unwrap();
        let router = Router::new()
            .route("/who", get(who))
            .route("/log-in/{user}/{remember}", post(log_in))
            .route("/log-out", post(log_out))
            .route("/renew", post(renew))
            .route("/revoke/{session}", post(revoke))
            .route("/everywhere", post(everywhere))
            .layer(sigra.fetch_current_scope())
            .with_state(sigra.clone());
        Node { sigra, router }
    }

    /// Starts both nodes, again if need be.
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

    fn rows(&self) -> BTreeSet<SessionId> {
        let rows = sqlx::query_scalar("SELECT id FROM users_tokens").fetch_all(&self.pool);
        self.runtime.block_on(rows).unwrap().into_iter().collect()
    }
}

async fn database_with_users() -> Pool<Database> {
    let pool = emptied_database().await;
    let users =
        "INSERT INTO users (id, email, hashed_password) VALUES (0, 'a@example.com', 'a'), (1, 'b@example.com', 'b')";
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
    session: Session,
    Path((user, remember)): Path<(i64, bool)>,
) -> sigra::Result<String> {
    let user = sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(user).fetch_one(sigra.pool()).await?;
    let _ = sigra.log_in_user(&session, &user, remember).await?;
    Ok(String::new())
}

async fn log_out(State(sigra): State<Sigra<User>>, session: Session, scope: CurrentScope) -> sigra::Result<String> {
    sigra.log_out_user(&session).await?;
    Ok(name(&scope))
}

async fn renew(State(sigra): State<Sigra<User>>, session: Session, scope: CurrentScope) -> sigra::Result<String> {
    if let Some(scope) = &scope {
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
        sigra.delete_session_by_id(&scope.user().id, id).await?;
    }
    Ok(name(&scope))
}

async fn everywhere(State(sigra): State<Sigra<User>>, session: Session, scope: CurrentScope) -> sigra::Result<String> {
    if let Some(scope) = &scope {
        sigra.delete_all_sessions(&scope.user().id).await?;
        sigra.log_out_user(&session).await?;
    }
    Ok(name(&scope))
}

/// Passes each request to the node whose turn it is, as it is there now, once it has heard what the other did.
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
        let reality = Self {
            runtime,
            pool,
            clock: Clock::stopped(),
            secrets: vec![SecretKeyBase::generate().unwrap()],
            browsers: (0..BROWSERS).map(|_| TestClient::new(balanced(nodes.clone()))).collect(),
            nodes,
            loot: Vec::new(),
            sessions: Vec::new(),
            model: model.clone(),
        };
        reality.deploy();
        reality
    }

    fn apply(mut reality: Self, _: &Model, step: Step) -> Self {
        let expected = reality.model.take(&step);
        let found = match step {
            Step::Visit { browser } => Some(reality.visit(&reality.browsers[browser])),
            Step::VisitInVain { browser } => Some(reality.visit(&reality.browsers[browser].fork())),
            Step::VisitWithStolen { loot } => {
                let loot = loot % reality.loot.len().max(1);
                reality.loot.get(loot).map(|stolen| reality.visit(stolen))
            }
            Step::LogIn { browser, user, remember } => {
                reality.post(browser, &format!("/log-in/{user}/{remember}"));
                let known: BTreeSet<SessionId> = reality.sessions.iter().copied().collect();
                let new: Vec<SessionId> = reality.rows().difference(&known).copied().collect();
                assert_eq!(new.len(), 1, "a login writes exactly one row");
                reality.sessions.extend(new);
                None
            }
            Step::LogOut { browser } => Some(reality.post(browser, "/log-out")),
            Step::Renew { browser } => Some(reality.post(browser, "/renew")),
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
            assert_eq!(found, expected, "who is it, after {step:?}?");
        }
        reality
    }

    fn check_invariants(reality: &Self, _: &Model) {
        let expected: BTreeSet<SessionId> =
            reality.model.rows.keys().map(|session| reality.sessions[*session]).collect();
        assert_eq!(reality.rows(), expected, "the rows that are left");
        let jars = reality.model.browsers.iter().chain(&reality.model.loot);
        for (jar, client) in jars.zip(reality.browsers.iter().chain(&reality.loot)) {
            assert_eq!(client.cookie("_app_key").is_some(), jar.session.is_some(), "the session cookie");
            let remembered = client.cookie("_app_web_user_remember_me").is_some();
            assert_eq!(remembered, jar.remember_me.is_some(), "the remember-me cookie");
        }
    }
}
