//! The handle for device-bound sessions.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, PoisonError},
};

use crate::{
    base::error::Error,
    model::{
        device_bound::{OnUseWithoutKey, UsedWithoutKey},
        transaction::Transaction,
        user::AuthUser,
    },
    sigra::{Sigra, handle},
};

handle! {
    /// Binds sessions to devices. Returned by [`Sigra::device_binding`].
    DeviceBinding,
    /// Returns the handle for [device-bound sessions](crate::device_bound), whose two routes call it.
    device_binding
}

impl<U: AuthUser> DeviceBinding<'_, U> {
    /// Sets what to do when the token of a bound session is used without its key, in the transaction that records it:
    /// send the user an email, for example. It is called at most once for each session, and not if the browser says why
    /// it couldn't renew the bound cookie. An error rolls the transaction back, and the next request tries again.
    ///
    /// It is called as long as the returned [`Watch`] exists. Keep it next to the `Sigra`. A second call replaces the
    /// first.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{Sigra, device_bound::Watch, mail::{Mail, Mailer}};
    ///
    /// fn notify(sigra: &Sigra<User>, mailer: Mailer) -> Watch<User> {
    ///     sigra.device_binding().on_use_without_key(move |tx, used| {
    ///         let (mailer, text) = (mailer.clone(), "Somebody used a copy of your cookies, and was refused.");
    ///         let mail = Mail::new(&used.user.email, "Your cookies were copied", text);
    ///         Box::pin(async move { mailer.send_in(tx, mail).await })
    ///     })
    /// }
    /// ```
    pub fn on_use_without_key(
        self,
        act: impl for<'a> Fn(
            &'a mut Transaction<U>,
            &'a UsedWithoutKey<U>,
        ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>
        + Send
        + Sync
        + 'static,
    ) -> Watch<U> {
        let act: OnUseWithoutKey<U> = Arc::new(act);
        *self.sigra.parts.on_use_without_key.lock().unwrap_or_else(PoisonError::into_inner) =
            Arc::downgrade(&act).into();
        Watch(act)
    }
}

/// Keeps what was set with [`DeviceBinding::on_use_without_key`].
#[must_use = "it is called only as long as this exists"]
#[derive(Clone)]
pub struct Watch<U: AuthUser>(#[allow(dead_code, reason = "it is only kept")] OnUseWithoutKey<U>);

impl<U: AuthUser> fmt::Debug for Watch<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
