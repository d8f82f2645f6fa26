//! Ctrl-C, and who else ends programs: what has been begun is undone first.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

static HAS_COME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on, a signal does not end this program: it is asked whether there was one.
pub fn watch() {
    HAS_COME.get_or_init(|| {
        let has_come = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Without it, a signal ends the program at once.
            let _ = flag::register(signal, Arc::clone(&has_come));
        }
        has_come
    });
}

/// Whether this program was told to stop while it watched.
pub fn has_come() -> bool {
    HAS_COME.get().is_some_and(|has_come| has_come.load(Ordering::Relaxed))
}
