//! Handles Ctrl-C and requests to stop, so that unfinished work can be undone first.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

static HAS_COME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Catches signals from now on. They no longer end this program, which must call `has_come`.
pub fn watch() {
    HAS_COME.get_or_init(|| {
        let has_come = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // If this fails, a signal ends the program immediately.
            let _ = flag::register(signal, Arc::clone(&has_come));
        }
        has_come
    });
}

/// Returns whether a signal was caught.
pub fn has_come() -> bool {
    HAS_COME.get().is_some_and(|has_come| has_come.load(Ordering::Relaxed))
}
