//! Passkeys in forms: a script puts the browser's answer into a hidden field, as JSON.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};

/// What a form holds that a script has filled in. Nothing, if there was no script.
pub fn from_json<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(json) => serde_json::from_str(json).map(Some).map_err(D::Error::custom),
    }
}
