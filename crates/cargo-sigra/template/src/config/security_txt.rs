//! `security.txt`: whom to tell about a vulnerability (RFC 9116).

use std::str::FromStr;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::Url;

use super::{error::SettingsError, variables::Variables};

const CONTACT: &str = "SECURITY_CONTACT";
const EXPIRES: &str = "SECURITY_TXT_EXPIRES";
const EXAMPLE: &str = "a time such as 2027-06-30T00:00:00Z";

/// A way to report a vulnerability.
struct Contact(Url);

impl FromStr for Contact {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url = Url::parse(text).map_err(drop)?;
        matches!(url.scheme(), "https" | "mailto" | "tel").then_some(Self(url)).ok_or(())
    }
}

/// Returns the text of the file. `None` without a contact.
pub fn security_txt(
    env: &Variables,
    public_url: &Url,
    warnings: &mut Vec<String>,
) -> Result<Option<String>, SettingsError> {
    let expected = "URLs such as mailto:security@example.com or https://example.com/security, separated by commas";
    let contacts = env.list::<Contact>(CONTACT, expected)?;
    let Some(expires) = env.text(EXPIRES)? else {
        return if contacts.is_empty() { Ok(None) } else { Err(SettingsError::NeverExpires) };
    };
    if contacts.is_empty() {
        return Ok(None);
    }
    let time = OffsetDateTime::parse(&expires, &Rfc3339);
    let time = time.map_err(|_| SettingsError::Invalid { name: EXPIRES, value: expires.clone(), expected: EXAMPLE })?;
    if time < OffsetDateTime::now_utc() {
        warnings.push(format!("{EXPIRES} is {expires}: security.txt has expired, so choose a later time"));
    }
    let contacts: String = contacts.iter().map(|Contact(url)| format!("Contact: {url}\n")).collect();
    Ok(Some(format!("{contacts}Expires: {expires}\nCanonical: {public_url}.well-known/security.txt\n")))
}
