//! The sweep that ends live connections whose session is no longer live.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::time::timeout;

#[cfg(feature = "device-bound")]
use crate::{
    base::clock::{millis, to_ms},
    in_process::connections::Ending,
};
use crate::{
    in_process::connections::Sweeping,
    model::{
        session::{SessionId, SessionRow},
        user::AuthUser,
    },
    sigra::Sigra,
};

/// The longest time between sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// The shortest time between sweeps, however much changes.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// The maximum number of sessions in one query.
const SWEEP_BATCH: usize = 500;

/// How long the database may take to respond to a sweep.
const SWEEP_PATIENCE: Duration = Duration::from_secs(5);

/// Starts the sweep, unless it runs.
pub(super) fn ensure_swept<U: AuthUser>(sigra: &Sigra<U>) {
    if let Some(sweeping) = sigra.parts.live.begin_sweeping() {
        tokio::spawn(sweep(sigra.clone(), sweeping));
    }
}

/// Ends connections whose session is no longer live, until there are no connections.
async fn sweep<U: AuthUser>(sigra: Sigra<U>, mut sweeping: Sweeping) {
    loop {
        drop(timeout(SWEEP_INTERVAL, sigra.changed()).await);
        tokio::time::sleep(SWEEP_PAUSE).await;
        let ids = sweeping.connections.to_sweep();
        if ids.is_empty() {
            sweeping.is_over = true;
            return;
        }
        // In its own task, so that the next sweep runs even if this one panics.
        if tokio::spawn(sweep_once(sigra.clone(), ids)).await.is_err() {
            tracing::error!(target: "sigra", "live connections can't be checked: see the panic above");
        }
        sweeping.connections.end_unchecked(sigra.parts.config.live.without_database);
    }
}

async fn sweep_once<U: AuthUser>(sigra: Sigra<U>, ids: Vec<SessionId>) {
    for batch in ids.chunks(SWEEP_BATCH) {
        match timeout(SWEEP_PATIENCE, sigra.find_sessions(batch)).await {
            Ok(Ok(found)) => {
                let live = found.iter().filter(|(session, user)| is_live(&sigra, session, user));
                let live: Vec<SessionId> = live.map(|(session, _)| session.id).collect();
                let ended: Vec<SessionId> = batch.iter().filter(|id| !live.contains(id)).copied().collect();
                sigra.parts.live.note_live(&live);
                sigra.parts.live.end(&ended);
                #[cfg(feature = "device-bound")]
                {
                    let unproven = found.iter().filter(|(session, user)| !is_proven_lately(&sigra, session, user));
                    let unproven: Vec<SessionId> = unproven.map(|(session, _)| session.id).collect();
                    sigra.parts.live.end_because(&unproven, Ending::Unproven);
                }
            }
            Ok(Err(error)) => tracing::warn!(target: "sigra", %error, "live connections can't be checked"),
            Err(_) => tracing::warn!(target: "sigra", "live connections can't be checked: the database took too long"),
        }
    }
}

/// Returns whether a session is live. A panic of the host's [`AuthUser`] counts as no.
fn is_live<U: AuthUser>(sigra: &Sigra<U>, session: &SessionRow, user: &U) -> bool {
    catch_unwind(AssertUnwindSafe(|| sigra.gives_full_access(session, user))).unwrap_or(false)
}

/// Returns whether the device of a bound session has proved its key in the time that two bound cookies live. Another
/// process may have seen the proof: then it updated `last_used_at`, to within five minutes. A session that had to be
/// bound and isn't counts as unproven, and so does one whose user's [`AuthUser`] panics.
#[cfg(feature = "device-bound")]
fn is_proven_lately<U: AuthUser>(sigra: &Sigra<U>, session: &SessionRow, user: &U) -> bool {
    let config = &sigra.parts.config;
    let Some(settings) = &config.device_bound else { return true };
    let Some(binding) = &session.binding else {
        let is_overdue = catch_unwind(AssertUnwindSafe(|| sigra.is_binding_overdue(session, user))).unwrap_or(true);
        return !sigra.is_binding_enforced() || !is_overdue;
    };
    let seen = sigra.parts.live.proven_ms(session.id).unwrap_or(i64::MIN);
    let proven_ms = seen.max(to_ms(session.last_used_at)).max(to_ms(binding.bound_at));
    let limit = millis(settings.ttl).saturating_mul(2);
    !sigra.is_binding_enforced() || config.clock.now_ms() < proven_ms.saturating_add(limit)
}
