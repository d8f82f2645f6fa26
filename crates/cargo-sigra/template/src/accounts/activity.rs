//! The recent activity of an account, from the audit trail.

use sigra::audit::AuditEvent;
use uuid::Uuid;

use super::{Accounts, User, UserId};

/// The number of events on a page.
const PAGE_SIZE: u32 = 20;

/// A page of events, newest first.
#[derive(Debug)]
pub struct Activity {
    pub events: Vec<AuditEvent<UserId>>,
    /// Pass this event to get the next page. `None` on the last page.
    pub older: Option<Uuid>,
}

impl Accounts {
    /// Returns the latest events of an account, or those before a given one.
    pub async fn list_user_activity(&self, user: &User, before: Option<Uuid>) -> Result<Activity, sigra::Error> {
        let events = self.sigra.audit().list(&user.id, before, PAGE_SIZE).await?;
        let older = events.last().filter(|_| events.len() == PAGE_SIZE as usize).map(|event| event.id);
        Ok(Activity { events, older })
    }
}
