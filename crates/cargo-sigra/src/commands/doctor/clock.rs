//! Whether this machine's clock can be believed: sessions and links are good for so long.

use std::time::Duration;

use time::OffsetDateTime;

use super::finding::Finding;

/// A difference that harms nobody.
const TOLERANCE: Duration = Duration::from_secs(5);

const FIX: &str = "let the clock be set by NTP: `timedatectl set-ntp true`";

/// `database` is the time of its server, if that is another machine; `newest` when the newest token was made.
pub fn check(now: OffsetDateTime, database: Option<OffsetDateTime>, newest: Option<OffsetDateTime>) -> Finding {
    if let Some(ahead) = newest.map(|newest| newest - now).filter(|ahead| *ahead > TOLERANCE) {
        let found = format!("the newest session is {} seconds from now: the clock was set back", ahead.whole_seconds());
        return Finding::bad("clock", found, FIX);
    }
    match database.map(|database| (now - database).abs()) {
        Some(apart) if apart > TOLERANCE => {
            let found = format!("it and the database's are {} seconds apart", apart.whole_seconds());
            Finding::bad("clock", found, FIX)
        }
        Some(_) => Finding::good("clock", "it and the database's agree"),
        None => Finding::good("clock", "no session is from the future"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Status;

    #[test]
    fn a_clock_that_is_wrong_is_found() {
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
