//! The current language.

use std::{cell::Cell, future::Future};

use super::language::{ENGLISH, Language};

tokio::task_local! {
    static CURRENT: Cell<&'static Language>;
}

/// Returns the current language: that of the request, or English outside of requests.
pub fn current() -> &'static Language {
    CURRENT.try_with(Cell::get).unwrap_or(&ENGLISH)
}

/// Runs a future in a language.
pub fn within<F: Future>(language: &'static Language, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(Cell::new(language), future)
}

/// Runs a future in the current language, even after the request.
pub fn kept<F: Future>(future: F) -> impl Future<Output = F::Output> {
    within(current(), future)
}

/// Calls a function in a language.
pub fn speaking<T>(language: &'static Language, write: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(Cell::new(language), write)
}

/// Continues the request in another language, such as that of the user who logged in.
pub fn switch_to(language: &'static Language) {
    // Outside of a request there is nothing to switch.
    let _ = CURRENT.try_with(|current| current.set(language));
}
