//! Stored email addresses that no login finds, because they aren't in the form that accounts compare.

use sigra::mail::normalize_address;

use crate::plan::choices::Database;

/// How to correct such rows.
pub const FIX: &str = "update them to what `sigra::mail::normalize_address` returns: without spaces or extra dots, and with the \
     domain in ASCII, such as xn--bcher-kva.example";

/// Selects addresses with unusual characters, or with misplaced dots.
pub fn unusual(users: &str, db: Database) -> String {
    let (email, has_unusual) = match db {
        Database::Sqlite => ("email", "GLOB '*[^a-zA-Z0-9@.+_-]*'"),
        Database::Postgres => ("email::text", "~ '[^a-zA-Z0-9@.+_-]'"),
    };
    format!(
        "SELECT {email} FROM \"{users}\" WHERE {email} {has_unusual} OR {email} LIKE '%..%' OR {email} LIKE '%.' \
         OR {email} LIKE '.%' OR {email} NOT LIKE '%@%.%' LIMIT 10000"
    )
}

/// Returns how many addresses differ from their normal form by more than the case of ASCII letters, which accounts
/// ignore.
pub fn count_lost(addresses: &[String]) -> usize {
    let is_lost = |address: &&String| normalize_address(address) != Some(address.to_ascii_lowercase());
    addresses.iter().filter(is_lost).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_normalized_are_counted() {
        let all = |addresses: &[&str]| addresses.iter().map(|address| (*address).to_owned()).collect::<Vec<_>>();
        let good = ["Ada@Example.com", "o'brien@example.com", "\u{dc}nal@example.com", "ada@localhost"];
        assert_eq!(count_lost(&all(&good)), 0);
        let lost = ["ada@b\u{fc}cher.example", "ada@example.com.", " ada@example.com", "ada"];
        assert_eq!(count_lost(&all(&[&lost[..], &good[..1]].concat())), 4);
    }
}
