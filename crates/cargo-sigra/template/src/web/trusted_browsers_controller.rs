//! The browsers that a user trusts without a second factor. They are listed among the devices.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, Scope};
use uuid::Uuid;

use super::{Result, error};
use crate::accounts::{Accounts, User};

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    if !accounts.delete_trusted_browser(scope.user(), id, &session.client()).await? {
        return Ok(error::not_found().await.into_response());
    }
    session.put_flash(Flash::Info, "That browser is no longer trusted.")?;
    Ok(Redirect::to("/users/sessions").into_response())
}
