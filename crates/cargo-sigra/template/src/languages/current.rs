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
pub fn with_language<F: Future>(language: &'static Language, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(Cell::new(language), future)
}

/// Keeps the current language for a future that runs after the request.
pub fn with_current_language<F: Future>(future: F) -> impl Future<Output = F::Output> {
    with_language(current(), future)
}

/// Calls a function in a language.
pub fn with_language_sync<T>(language: &'static Language, write: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(Cell::new(language), write)
}

/// Continues the request in another language, such as that of the user who logged in.
pub fn switch_to(language: &'static Language) {
    // Outside of a request there is nothing to switch.
    let _ = CURRENT.try_with(|current| current.set(language));
}
