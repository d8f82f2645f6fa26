//! Looking up tokens, many in one query.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::pool::PoolConnection;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::own_pool::{OwnPool, READER_CONNECTIONS};
use crate::{
    base::error::Error,
    model::{
        database::no_response,
        user::{AuthUser, Connection},
    },
};

/// The maximum number of lookups in one query.
const BATCH: usize = 64;

/// The maximum number of waiting lookups. With more, waiting would not help.
const QUEUE: usize = 8192;

/// How long the database can take to respond.
const PATIENCE: Duration = Duration::from_secs(2);

/// The age below which a row that can't be read doesn't make a connection count as stale.
const FRESH: Duration = Duration::from_secs(10);

/// A query that finds what tokens belong to. It runs for every request that the cache can't serve.
pub(crate) trait Lookup<U: AuthUser>: Send + Sync + 'static {
    /// What the database knows a token by.
    type Key: Copy + Send + Sync;
    /// What a token belongs to, with its user.
    type Found: Send;

    /// Creates the query, for up to `most` tokens.
    fn new(max: usize) -> Self;

    /// Finds what each token belongs to.
    fn find(&self, conn: &mut Connection<U>, tokens: &[Self::Key])
    -> impl Future<Output = Answers<Self::Found>> + Send;
}

/// The result for each token.
pub(crate) type Answers<F> = sqlx::Result<Vec<sqlx::Result<Option<F>>>>;

/// Looks up what tokens belong to, on its own connections.
///
/// A pool would test each connection that it hands out, which takes another round trip, and a host's slow queries would
/// delay every request. Lookups that arrive while a query runs go into the next query together: many lookups are cheap,
/// and an outage is not followed by a rush.
pub(crate) struct Reader<U: AuthUser, L: Lookup<U>> {
    pool: Arc<OwnPool<U::Database>>,
    host: sqlx::Pool<U::Database>,
    questions: Mutex<Option<mpsc::Sender<Question<U, L>>>>,
}

struct Question<U: AuthUser, L: Lookup<U>> {
    token: L::Key,
    answer: oneshot::Sender<Result<Option<L::Found>, Error>>,
}

impl<U: AuthUser, L: Lookup<U>> Reader<U, L> {
    pub fn new(host: sqlx::Pool<U::Database>, pool: Arc<OwnPool<U::Database>>) -> Self {
        Self { pool, host, questions: Mutex::default() }
    }

    /// Finds what a token belongs to, and its user.
    pub async fn find(&self, token: L::Key) -> Result<Option<L::Found>, Error> {
        if self.host.is_closed() {
            return Err(sqlx::Error::PoolClosed.into());
        }
        let (answer, answered) = oneshot::channel();
        self.questions().try_send(Question { token, answer }).map_err(|_| no_response())?;
        answered.await.unwrap_or_else(|_| Err(no_response().into()))
    }

    /// Returns the queue of lookups. The tasks that serve it start with the first lookup, and again if their runtime
    /// ends.
    fn questions(&self) -> mpsc::Sender<Question<U, L>> {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        match &*questions {
            Some(open) if !open.is_closed() => open.clone(),
            _ => {
                let (sender, receiver) = mpsc::channel(QUEUE);
                let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
                for _ in 0..READER_CONNECTIONS {
                    tokio::spawn(keep_serving::<U, L>(self.pool.clone(), receiver.clone(), self.host.clone()));
                }
                questions.insert(sender).clone()
            }
        }
    }
}

type Questions<U, L> = Arc<tokio::sync::Mutex<mpsc::Receiver<Question<U, L>>>>;

/// Replaces a desk that panicked.
async fn keep_serving<U: AuthUser, L: Lookup<U>>(
    pool: Arc<OwnPool<U::Database>>,
    questions: Questions<U, L>,
    host: sqlx::Pool<U::Database>,
) {
    loop {
        let (pool, lookup) = (pool.clone(), L::new(BATCH));
        let desk = Desk::<U, L> { pool, lookup, connection: None, opened: Instant::now() };
        match tokio::spawn(desk.serve(questions.clone(), host.clone())).await {
            Err(error) if error.is_panic() => tracing::error!(target: "sigra", "looking up tokens panicked"),
            _ => return,
        }
    }
}

/// A task that serves lookups on one connection.
struct Desk<U: AuthUser, L> {
    pool: Arc<OwnPool<U::Database>>,
    lookup: L,
    connection: Option<PoolConnection<U::Database>>,
    /// When the connection was taken.
    opened: Instant,
}

impl<U: AuthUser, L: Lookup<U>> Desk<U, L> {
    /// Serves lookups until every sender is gone, or the host closes its pool.
    async fn serve(mut self, questions: Questions<U, L>, host: sqlx::Pool<U::Database>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut closed = std::pin::pin!(host.close_event());
        loop {
            tokio::select! {
                () = &mut closed => return,
                taken = take(&questions, &mut batch) => if taken == 0 { return },
            }
            // The receiver is gone if the request was dropped.
            batch.retain(|question| !question.answer.is_closed());
            if !batch.is_empty() {
                self.answer(&mut batch).await;
            }
        }
    }

    async fn answer(&mut self, questions: &mut Vec<Question<U, L>>) {
        let tokens: Vec<L::Key> = questions.iter().map(|question| question.token).collect();
        let mut answers = match self.look_up(&tokens).await {
            Ok(found) => found.into_iter().map(|found| found.map_err(Error::from)).collect(),
            Err(error) => {
                let error = Arc::new(error);
                tokens.iter().map(|_| Err(Error::Database(error.clone()))).collect::<Vec<_>>()
            }
        };
        for (question, answer) in questions.drain(..).zip(answers.drain(..)) {
            drop(question.answer.send(answer));
        }
    }

    /// Retries a lookup once on a fresh connection. A kept one may be stale: the server was restarted, or a table got
    /// another column since the statement was prepared. A row that can't be read on a fresh connection either must not
    /// cost another connection for each request.
    async fn look_up(&mut self, tokens: &[L::Key]) -> Answers<L::Found> {
        if let Some(kept) = self.connection.take()
            && let Ok(found) = self.ask(kept, tokens).await
        {
            if found.iter().all(Result::is_ok) || self.opened.elapsed() < FRESH {
                return Ok(found);
            }
            if let Some(stale) = &mut self.connection.take() {
                stale.close_on_drop();
            }
        }
        let fresh = self.pool.reader().await?;
        self.opened = Instant::now();
        self.ask(fresh, tokens).await
    }

    async fn ask(&mut self, mut connection: PoolConnection<U::Database>, tokens: &[L::Key]) -> Answers<L::Found> {
        let found = timeout(PATIENCE, self.lookup.find(&mut connection, tokens)).await;
        let found = found.unwrap_or_else(|_| Err(no_response()));
        match (&found, &*self.pool) {
            (_, OwnPool::Borrowed(_)) => {}
            (Ok(_), OwnPool::Own(_)) => self.connection = Some(connection),
            (Err(_), OwnPool::Own(_)) => connection.close_on_drop(),
        }
        found
    }
}

async fn take<U: AuthUser, L: Lookup<U>>(questions: &Questions<U, L>, batch: &mut Vec<Question<U, L>>) -> usize {
    questions.lock().await.recv_many(batch, BATCH).await
}
