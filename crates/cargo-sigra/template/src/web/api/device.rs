//! A program without a browser shows a code. The user enters it in the frontend, and decides. They must have logged in
//! recently: somebody who is talked into entering a code has a moment to think about it.

use std::net::IpAddr;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use sigra::{
    Sudo,
    oauth_server::{DeviceRequest, UserCode},
};
use time::OffsetDateTime;

use super::{api_tokens::Permission, authorize::Client, problems::no_content_or_404};
use crate::{
    accounts::{Accounts, User},
    web::{
        error::{NOT_FOUND, Result},
        forms::{DeviceDecision, UserCodeForm},
    },
};

/// A program that waits for the user who entered its code.
#[derive(Serialize)]
pub struct PendingDevice {
    client: Client,
    permissions: Vec<Permission>,
    /// The part of the application that it will be able to use, unless it will be able to use all of it.
    resource: Option<String>,
    ip: Option<IpAddr>,
    system: Option<&'static str>,
    #[serde(with = "time::serde::rfc3339")]
    inserted_at: OffsetDateTime,
    /// How long it will have access, in seconds.
    lifetime: u64,
}

impl From<DeviceRequest> for PendingDevice {
    fn from(request: DeviceRequest) -> Self {
        Self {
            client: (&request.client).into(),
            permissions: request.permissions.iter().map(Permission::from).collect(),
            resource: request.resource,
            ip: request.ip,
            system: request.system,
            inserted_at: request.inserted_at,
            lifetime: request.lifetime.as_secs(),
        }
    }
}

/// Names the program, for the user to decide. Show a warning too: somebody else may have sent the user the code.
pub async fn create(
    State(accounts): State<Accounts>,
    Sudo(scope): Sudo<User>,
    Json(form): Json<UserCodeForm>,
) -> Result<Json<PendingDevice>> {
    let code = UserCode::parse(&form.user_code).ok_or(NOT_FOUND)?;
    let request = accounts.sigra().oauth_server().enter_user_code(&scope, &code).await?.ok_or(NOT_FOUND)?;
    Ok(Json(request.into()))
}

/// Gives or refuses the program access. Only the session that entered the code can.
pub async fn decide(
    State(accounts): State<Accounts>,
    sudo: Sudo<User>,
    Json(form): Json<DeviceDecision>,
) -> Result<StatusCode> {
    let server = accounts.sigra().oauth_server();
    let code = UserCode::parse(&form.user_code).ok_or(NOT_FOUND)?;
    let decided = match form.decision.is_allowed() {
        true => server.approve_device(&sudo, &code).await?,
        false => server.deny_device(sudo.scope(), &code).await?,
    };
    Ok(no_content_or_404(decided.is_some()))
}
