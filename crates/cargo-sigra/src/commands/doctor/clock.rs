//! Checks this machine's clock, because sessions and links expire by it.

use std::time::Duration;

use time::OffsetDateTime;

use super::finding::Finding;

/// The largest harmless difference.
const TOLERANCE: Duration = Duration::from_secs(5);

const FIX: &str = "set the clock by NTP: `timedatectl set-ntp true`";

/// Checks the clock. `database` is the time of the database server, if that is another machine; `newest` is when the
/// newest session was created.
pub fn check(now: OffsetDateTime, database: Option<OffsetDateTime>, newest: Option<OffsetDateTime>) -> Finding {
    if let Some(ahead) = newest.map(|newest| newest - now).filter(|ahead| *ahead > TOLERANCE) {
        let found = format!(
            "the newest session is from {} seconds in the future: the clock was set back",
            ahead.whole_seconds()
        );
        return Finding::bad("clock", found, FIX);
    }
    match database.map(|database| (now - database).abs()) {
        Some(apart) if apart > TOLERANCE => {
            let found = format!("it differs from the database's clock by {} seconds", apart.whole_seconds());
            Finding::bad("clock", found, FIX)
        }
        Some(_) => Finding::good("clock", "it agrees with the database's clock"),
        None => Finding::good("clock", "no session is from the future"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Status;

    #[test]
    fn a_wrong_clock_is_found() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let minute = Duration::from_secs(60);
        for (database, newest, status) in [
            (None, None, Status::Good),
            (Some(now - TOLERANCE), Some(now - minute), Status::Good),
            (Some(now + minute), None, Status::Bad),
            (Some(now - minute), None, Status::Bad),
            (None, Some(now + minute), Status::Bad),
        ] {
            assert_eq!(check(now, database, newest).status, status);
        }
    }
}
