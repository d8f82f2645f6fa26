//! Binds a session to the device it began on. Browsers that support it send these requests by themselves: the response
//! to a login offers it, and every few minutes the browser proves that it still has the key of the device.

use axum::{extract::State, http::HeaderMap};
use sigra::{CookieSession, Scope, device_bound::BindingResponse};

use super::error::Result;
use crate::accounts::{Accounts, User};

/// Binds the session to the key that the browser created.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    headers: HeaderMap,
) -> Result<BindingResponse> {
    Ok(accounts.sigra().device_binding().register(&session, &scope, &headers).await?)
}

/// Renews the bound cookie. It takes no scope, because that requires the cookie.
pub async fn refresh(
    State(accounts): State<Accounts>,
    session: CookieSession,
    headers: HeaderMap,
) -> Result<BindingResponse> {
    Ok(accounts.sigra().device_binding().refresh(&session, &headers).await?)
}
