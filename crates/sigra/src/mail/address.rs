//! Email addresses, in the one form that is stored and sent to.

use idna::{
    AsciiDenyList,
    uts46::{DnsLength, Hyphens, Uts46},
};

use crate::base::characters::is_invisible;

/// The longest email address, in bytes: a path has 256, including its angle brackets (RFC 5321 section 4.5.3.1.3).
const MAX_LEN: usize = 254;

/// The longest part before the @, in bytes (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_LEN: usize = 64;

/// Returns an email address in the one form in which it is stored, looked up and sent to. `None` if no email can be
/// delivered to it, so that a form can refuse it at once.
///
/// Surrounding spaces are trimmed, and ASCII letters become lowercase. The domain becomes ASCII, as browsers and mail
/// servers have it (UTS 46): `bücher.example` and `xn--bcher-kva.example` are the same. Before the @, other letters
/// stay as they are, because Unicode case folding makes different addresses equal (CVE-2019-19844).
///
/// The address must be one that RFC 5321 can deliver to and RFC 6531 can express: words separated by dots before the @,
/// without quotes; a domain with a dot in it, or `localhost`; no IP address.
///
/// ```
/// use sigra::mail::normalize_address;
///
/// assert_eq!(normalize_address(" Ada@B\u{fc}cher.example ").as_deref(), Some("ada@xn--bcher-kva.example"));
/// assert_eq!(normalize_address("ada@example..com"), None);
/// assert_eq!(normalize_address("<ada@example.com>"), None);
/// ```
#[must_use]
pub fn normalize_address(address: &str) -> Option<String> {
    let (local, domain) = address.trim().rsplit_once('@')?;
    let is_local = local.len() <= MAX_LOCAL_LEN && local.split('.').all(is_word);
    let domain = domain_in_ascii(domain)?;
    let address = format!("{}@{domain}", local.to_ascii_lowercase());
    (is_local && address.len() <= MAX_LEN).then_some(address)
}

/// Returns the domain of an email address as the domain name system has it.
pub(super) fn domain_in_ascii(domain: &str) -> Option<String> {
    let domain =
        Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    let domain = domain.ok()?.into_owned();
    // A last label of digits makes it an IP address (RFC 1123 section 2.1).
    let is_named = match domain.rsplit_once('.') {
        Some((_, top)) => !top.bytes().all(|byte| byte.is_ascii_digit()),
        None => domain == "localhost",
    };
    is_named.then_some(domain)
}

/// Returns whether the word is an atom (RFC 5322 section 3.2.3), which can have letters beyond ASCII (RFC 6532 section
/// 3.2).
fn is_word(word: &str) -> bool {
    let is_atext = |c: char| match c {
        _ if c.is_ascii() => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
        _ => !c.is_whitespace() && !c.is_control() && !is_invisible(c),
    };
    !word.is_empty() && word.chars().all(is_atext)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn undeliverable_addresses_are_refused() {
        let long = ["a".repeat(65) + "@example.com", "ada@".to_owned() + &"a".repeat(64) + ".com"];
        let too_long = format!("ada@{}com", "a23456789.".repeat(25));
        for address in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.com",
            "a@b@example.com",
            "ada@example..com",
            "ada@.example.com",
            "ada@example.com.",
            "ada@-example.com",
            "ada@example-.com",
            "<ada@example.com>",
            "Ada <ada@example.com>",
            "ada@example.com;",
            "ada@example.com,bob@example.com",
            "ada;bob@example.com",
            ".ada@example.com",
            "ada.@example.com",
            "a..da@example.com",
            "a da@example.com",
            "ada@exa mple.com",
            "ada\0@example.com",
            "ada\r\nBcc: bob@example.com",
            "ada\u{200b}@example.com",
            "ada\u{a0}x@example.com",
            "\u{202e}ada@example.com",
            "ada(x)@example.com",
            "ada@example.com(x)",
            "\"ada\"@example.com",
            "ada:x@example.com",
            "ada\\@example.com",
            "ada[x]@example.com",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "ada@1.2",
            "ada@example",
            "ada@exa_mple.com",
            "ada@xn--a.example",
            "ada@%65xample.com",
            "ada\u{ff20}example.com",
            &long[0],
            &long[1],
            &too_long,
        ] {
            assert_eq!(normalize_address(address), None, "{address:?}");
        }
    }

    #[test]
    fn each_address_has_one_normalized_form() {
        for (typed, stored) in [
            (" Ada@Example.COM\t", "ada@example.com"),
            ("o'brien+news@mail.example.co.uk", "o'brien+news@mail.example.co.uk"),
            ("a@localhost", "a@localhost"),
            ("ada@b\u{fc}cher.example", "ada@xn--bcher-kva.example"),
            ("ada@B\u{dc}CHER.example", "ada@xn--bcher-kva.example"),
            ("ada@bu\u{308}cher.example", "ada@xn--bcher-kva.example"),
            ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
            ("ada@\u{4f8b}\u{3048}\u{3002}jp", "ada@xn--r8jz45g.jp"),
            ("ada@fa\u{df}.de", "ada@xn--fa-hia.de"),
        ] {
            assert_eq!(normalize_address(typed).as_deref(), Some(stored), "{typed}");
        }
        let longest = format!("{}@{}com", "a".repeat(64), "a23456789.".repeat(18));
        assert_eq!(normalize_address(&longest), Some(longest));
    }

    /// CVE-2019-19844: letters that fold into others must stay themselves.
    #[test]
    fn lookalike_addresses_stay_different() {
        for address in ["m\u{131}ke@example.com", "mi\u{212a}e@example.com", "mike\u{130}@example.com"] {
            assert_eq!(normalize_address(address).as_deref(), Some(address));
        }
    }

    proptest! {
        #[test]
        fn normalizing_twice_changes_nothing(address in "\\PC{0,12}@\\PC{0,12}|[a-zA-Z.+-]{1,8}@[a-zA-Z.\u{fc}-]{1,8}\\.[a-z]{2}") {
            if let Some(once) = normalize_address(&address) {
                prop_assert_eq!(normalize_address(&once), Some(once.clone()));
                if once.is_ascii() {
                    prop_assert!(once.parse::<lettre::Address>().is_ok(), "{}", once);
                }
            }
        }
    }
}
