//! Times, formatted for people.

use time::{OffsetDateTime, macros::format_description};

/// `9 December 2026`.
pub fn day(at: OffsetDateTime) -> String {
    let format = format_description!("[day padding:none] [month repr:long] [year]");
    at.format(&format).unwrap_or_else(|_| at.to_string())
}

// <pages>
/// A time on a page, in UTC. A script shows it in the user's time zone.
pub struct Moment {
    /// For the attribute `datetime`: `2026-12-09T17:05:30Z`.
    pub machine: String,
    /// `9 Dec 2026, 17:05 UTC`.
    pub text: String,
}

pub fn moment(at: OffsetDateTime) -> Moment {
    let machine = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let text = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
    let at = at.to_offset(time::UtcOffset::UTC);
    let text = at.format(&text).unwrap_or_else(|_| at.to_string());
    Moment { machine: at.format(&machine).unwrap_or_else(|_| text.clone()), text }
}
// </pages>
