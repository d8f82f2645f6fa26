//! Recent activity in the user's account.

use std::net::IpAddr;

use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use sigra::{Scope, audit::AuditEvent};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{Accounts, User, UserId},
    devices,
    web::error::Result,
};

#[derive(Deserialize)]
pub struct ActivityQuery {
    before: Option<Uuid>,
}

/// A page of events, newest first.
#[derive(Serialize)]
pub struct Activity {
    events: Vec<Event>,
    /// The value of `before` for the next page.
    older: Option<Uuid>,
}

#[derive(Serialize)]
struct Event {
    /// One of the names in `sigra::telemetry` and `sigra::audit`.
    action: String,
    /// How often it happened within the hour that followed.
    times: u64,
    #[serde(with = "time::serde::rfc3339")]
    inserted_at: OffsetDateTime,
    device: Option<String>,
    ip: Option<IpAddr>,
    // <oauth>
    /// The name of the provider, if it was at one.
    provider: Option<String>,
    // </oauth>
}

impl From<&AuditEvent<UserId>> for Event {
    fn from(event: &AuditEvent<UserId>) -> Self {
        let device = event.client.user_agent.as_deref().map(|agent| devices::describe(Some(agent)));
        Self {
            action: event.action.clone(),
            times: event.times(),
            inserted_at: event.inserted_at,
            device,
            ip: event.client.ip,
            // <oauth>
            provider: event.metadata["provider"].as_str().map(str::to_owned),
            // </oauth>
        }
    }
}

pub async fn index(
    State(accounts): State<Accounts>,
    scope: Scope<User>,
    Query(query): Query<ActivityQuery>,
) -> Result<Json<Activity>> {
    let activity = accounts.list_user_activity(scope.user(), query.before).await?;
    Ok(Json(Activity { events: activity.events.iter().map(Event::from).collect(), older: activity.older }))
}
