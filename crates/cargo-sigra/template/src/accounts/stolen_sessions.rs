//! Copies of a session's cookies that are used without the key of its device.

use sigra::{Sigra, device_bound::Watch};

use super::{User, user_notifier::UserNotifier};

/// Emails the user when somebody uses a copy, once for each session. The copy doesn't work, so the session continues.
pub fn watch(sigra: &Sigra<User>, notifier: &UserNotifier) -> Watch<User> {
    let notifier = notifier.clone();
    sigra.device_binding().on_use_without_key(move |tx, used| {
        let (notifier, mail) = (notifier.clone(), notifier.stolen_session(&used.user, &used.client));
        Box::pin(async move { notifier.notify_in(tx, &used.user, "stolen session", mail).await })
    })
}
