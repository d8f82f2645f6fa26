//! How the form of a page is read.

use axum::{
    extract::{FromRequest, RawForm, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sigra::Problem;
use url::form_urlencoded;

/// Extracts a form. Its field `user[email]` fills the field `email` of the struct, as JSON would.
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
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(sent) {
        let value = Value::String(value.into_owned());
        // Refuse duplicate fields: another parser may pick the other value.
        if fields.insert(field(&name).to_owned(), value).is_some() {
            return None;
        }
    }
    serde_json::from_value(Value::Object(fields)).ok()
}

/// Returns `email` for `user[email]`.
fn field(name: &str) -> &str {
    match name.split_once('[') {
        Some(("user" | "passkey", rest)) => rest.strip_suffix(']').unwrap_or(name),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Sent {
        email: String,
        code: Option<String>,
    }

    #[test]
    fn a_field_has_the_same_name_as_in_json() {
        let sent = |email: &str, code: Option<&str>| Some(Sent { email: email.into(), code: code.map(str::to_owned) });
        assert_eq!(read(b"user[email]=a%20b&user%5Bcode%5D=1&_method=put"), sent("a b", Some("1")));
        assert_eq!(read(b"email=true"), sent("true", None));
        for bad in
            [&b""[..], b"user[email][]=a", b"user[email]=a&user[email]=b", b"user[email]=a&email=b", b"other[email]=a"]
        {
            assert_eq!(read::<Sent>(bad), None);
        }
    }
}
