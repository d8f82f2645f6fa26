//! How the form of a page is read.

// <api_tokens>
use std::collections::BTreeMap;

// </api_tokens>
use axum::{
    extract::{FromRequest, RawForm, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::de::{DeserializeOwned, value::MapDeserializer};
use serde_json::Value;
use sigra::Problem;
use url::form_urlencoded;

/// The prefixes of fields. For fields such as `project[title]`, add `"project"`.
const PREFIXES: [&str; 3] = ["user", "passkey", "token"];

/// Extracts a form. Its field `user[email]` fills the field `email` of the struct, as JSON would. Other fields are
/// ignored. A field of the struct that is sent twice is an error: another parser might pick the other value.
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let RawForm(sent) = RawForm::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        read(&sent).map(Self).map_err(|error| {
            if let Some(reason) = reason(&error) {
                tracing::debug!(reason, "can't read a form");
            }
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY).into_response()
        })
    }
}

fn read<T: DeserializeOwned>(sent: &[u8]) -> Result<T, serde_json::Error> {
    let mut fields: Vec<(String, Value)> = Vec::new();
    // <api_tokens>
    let mut lists = BTreeMap::<String, Vec<Value>>::new();
    // </api_tokens>
    for (name, value) in form_urlencoded::parse(sent) {
        let value = Value::String(value.into_owned());
        // <api_tokens>
        if let Some(list) = name.strip_suffix("[]") {
            field(list).into_iter().for_each(|list| lists.entry(list.to_owned()).or_default().push(value.clone()));
            continue;
        }
        // </api_tokens>
        fields.extend(field(&name).map(|name| (name.to_owned(), value)));
    }
    // <api_tokens>
    fields.extend(lists.into_iter().map(|(name, values)| (name, Value::Array(values))));
    // </api_tokens>
    T::deserialize(MapDeserializer::<_, serde_json::Error>::new(fields.into_iter()))
}

/// Returns which field is missing or there twice. Other errors can show what the user typed, such as a password.
fn reason(error: &serde_json::Error) -> Option<String> {
    let reason = error.to_string();
    ["missing field", "duplicate field"].iter().any(|known| reason.starts_with(known)).then_some(reason)
}

/// Returns `email` for `user[email]`. Fields that no person fills in have no brackets: `credential`, which an
/// authenticator fills in, and those whose names begin with `_`.
fn field(name: &str) -> Option<&str> {
    match name.split_once('[') {
        Some((prefix, rest)) if PREFIXES.contains(&prefix) => rest.strip_suffix(']'),
        _ => Some(name).filter(|name| name.starts_with('_') || *name == "credential"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Sent {
        email: String,
        #[serde(flatten)]
        answer: Answer,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Answer {
        code: Option<String>,
        #[serde(rename = "_key")]
        key: Option<String>,
    }

    fn sent(email: &str, code: Option<&str>, key: Option<&str>) -> Option<Sent> {
        let answer = Answer { code: code.map(str::to_owned), key: key.map(str::to_owned) };
        Some(Sent { email: email.to_owned(), answer })
    }

    #[test]
    fn a_field_has_the_same_name_as_in_json() {
        assert_eq!(read(b"user[email]=a%20b&user%5Bcode%5D=1&_key=2").ok(), sent("a b", Some("1"), Some("2")));
        for bad in [&b""[..], b"user[email][]=a", b"email=a", b"other[email]=a", b"user[email"] {
            assert!(read::<Sent>(bad).is_err());
        }
        assert_eq!(reason_of::<Sent>(b"other[email]=a").as_deref(), Some("missing field `email`"));
    }

    fn reason_of<T: DeserializeOwned>(sent: &[u8]) -> Option<String> {
        reason(&read::<T>(sent).err().expect("an error"))
    }

    #[derive(serde::Deserialize)]
    struct Numbered {
        #[serde(rename = "code")]
        _code: u32,
    }

    #[test]
    fn a_reason_never_shows_what_the_user_typed() {
        assert_eq!(reason_of::<Numbered>(b"user[code]=hunter2"), None);
        let twice = reason_of::<Numbered>(b"user[code]=1&user[code]=hunter2");
        assert!(!twice.unwrap_or_default().contains("hunter2"));
    }

    // <api_tokens>
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Chosen {
        #[serde(default)]
        names: Vec<String>,
    }

    #[test]
    fn the_fields_of_a_list_fill_it_in_their_order() {
        let names = |sent: &str| read::<Chosen>(sent.as_bytes()).ok().map(|chosen| chosen.names.join(" "));
        assert_eq!(names("token[names][]=b&token%5Bnames%5D%5B%5D=a&other[]=c").as_deref(), Some("b a"));
        assert_eq!(names("").as_deref(), Some(""));
        assert_eq!(names("token[names][]=a&token[names]=b"), None);
    }
    // </api_tokens>

    #[test]
    fn a_field_that_is_sent_twice_is_refused_unless_it_is_unknown() {
        for twice in
            ["user[email]=a", "user[email]=b", "passkey[email]=b", "user[code]=1&user[code]=2", "_key=1&_key=1"]
        {
            let reason = reason_of::<Sent>(format!("user[email]=a&{twice}").as_bytes());
            assert!(reason.is_some_and(|reason| reason.starts_with("duplicate field")), "{twice}");
        }
        for unknown in ["email=b", "other=1&other=2", "user[other]=1&user[other]=1", "_other=1&_other=2"] {
            assert_eq!(read(format!("user[email]=a&{unknown}").as_bytes()).ok(), sent("a", None, None), "{unknown}");
        }
    }
}
