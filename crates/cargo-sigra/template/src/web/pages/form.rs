//! How the form of a page is read.

use axum::{
    extract::{FromRequest, RawForm, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::de::{DeserializeOwned, value::MapDeserializer};
use serde_json::Value;
use sigra::Problem;
use url::form_urlencoded;

/// Extracts a form. Its field `user[email]` fills the field `email` of the struct, as JSON would. Other fields are
/// ignored. A field of the struct that is sent twice is an error: another parser might pick the other value.
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let RawForm(sent) = RawForm::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        match read(&sent) {
            Some(form) => Ok(Self(form)),
            None => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY).into_response()),
        }
    }
}

fn read<T: DeserializeOwned>(sent: &[u8]) -> Option<T> {
    let sent = form_urlencoded::parse(sent);
    let fields = sent.filter_map(|(name, value)| Some((field(&name)?.to_owned(), Value::String(value.into_owned()))));
    T::deserialize(MapDeserializer::<_, serde_json::Error>::new(fields)).ok()
}

/// Returns `email` for `user[email]`. The names of fields that no person fills in begin with `_`.
fn field(name: &str) -> Option<&str> {
    match name.split_once('[') {
        Some(("user" | "passkey", rest)) => rest.strip_suffix(']'),
        _ => Some(name).filter(|name| name.starts_with('_')),
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
        assert_eq!(read(b"user[email]=a%20b&user%5Bcode%5D=1&_key=2"), sent("a b", Some("1"), Some("2")));
        for bad in [&b""[..], b"user[email][]=a", b"email=a", b"other[email]=a", b"user[email"] {
            assert_eq!(read::<Sent>(bad), None);
        }
    }

    #[test]
    fn a_field_that_is_sent_twice_is_refused_unless_it_is_unknown() {
        for twice in
            ["user[email]=a", "user[email]=b", "passkey[email]=b", "user[code]=1&user[code]=2", "_key=1&_key=1"]
        {
            assert_eq!(read::<Sent>(format!("user[email]=a&{twice}").as_bytes()), None, "{twice}");
        }
        for unknown in ["email=b", "other=1&other=2", "user[other]=1&user[other]=1", "_other=1&_other=2"] {
            assert_eq!(read(format!("user[email]=a&{unknown}").as_bytes()), sent("a", None, None), "{unknown}");
        }
    }
}
