//! Times, formatted for people.

// <languages>
use time::Month;
// </languages>
// <pages>
use time::macros::format_description;
// </pages>
// <!pages>
// <!languages>
// use time::macros::format_description;
// </!languages>
// </!pages>
use time::OffsetDateTime;

/// `December 9, 2026`.
pub fn day(at: OffsetDateTime) -> String {
    // <languages>
    t!("{month} {day}, {year}", month = month(at.month()), day = at.day(), year = at.year())
    // </languages>
    // <!languages>
    // let format = format_description!("[month repr:long] [day padding:none], [year]");
    // at.format(&format).unwrap_or_else(|_| at.to_string())
    // </!languages>
}

// <languages>
/// The name of a month, as it is within a date.
fn month(month: Month) -> &'static str {
    match month {
        Month::January => t!("January"),
        Month::February => t!("February"),
        Month::March => t!("March"),
        Month::April => t!("April"),
        Month::May => t!("May"),
        Month::June => t!("June"),
        Month::July => t!("July"),
        Month::August => t!("August"),
        Month::September => t!("September"),
        Month::October => t!("October"),
        Month::November => t!("November"),
        Month::December => t!("December"),
    }
}
// </languages>

// <pages>
/// A time for the element `<time>`, in UTC. A script shows it in the user's time zone.
pub struct Timestamp {
    /// The attribute `datetime`: `2026-12-09T17:05:30Z`.
    pub datetime: String,
    /// `December 9, 2026, 17:05 UTC`.
    pub text: String,
}

pub fn timestamp(at: OffsetDateTime) -> Timestamp {
    let datetime = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let clock = format_description!("[hour]:[minute]");
    let at = at.to_offset(time::UtcOffset::UTC);
    let clock = at.format(&clock).unwrap_or_default();
    let text = t!("{day}, {time} UTC", day = day(at), time = clock);
    Timestamp { datetime: at.format(&datetime).unwrap_or_else(|_| text.clone()), text }
}
// </pages>
