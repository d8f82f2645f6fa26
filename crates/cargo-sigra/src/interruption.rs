//! Ctrl-C, and who else ends programs: while files are written, they wait until all is as it was before.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// Whether this program was told to stop, since this was made.
pub struct Interruption(Arc<AtomicBool>);

impl Interruption {
    pub fn watch() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Without it, a signal ends the program at once.
            let _ = flag::register(signal, Arc::clone(&flag));
        }
        Self(flag)
    }

    pub fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
