//! Times, formatted for people.

use time::{OffsetDateTime, macros::format_description};

/// `9 December 2026`.
pub fn day(at: OffsetDateTime) -> String {
    let format = format_description!("[day padding:none] [month repr:long] [year]");
    at.format(&format).unwrap_or_else(|_| at.to_string())
}

// <pages>
/// `9 Dec 2026, 17:05 UTC`.
pub fn minute(at: OffsetDateTime) -> String {
    let format = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
    at.format(&format).unwrap_or_else(|_| at.to_string())
}
// </pages>
