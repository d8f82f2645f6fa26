//! The parameters of a request.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::oauth_server::refusal::Refusal;

/// The longest value, in bytes.
const MAX_VALUE: usize = 4096;

/// The parameters of a request, each at most once (RFC 6749 section 3.1). One without a value counts as left out.
pub(super) struct Parameters(BTreeMap<String, Zeroizing<String>>);

impl Parameters {
    /// Parses a query or a form.
    pub fn parse(encoded: &[u8]) -> Result<Self, Refusal> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            if value.len() > MAX_VALUE {
                return Err(Refusal::invalid_request("a parameter is too long"));
            }
            if parameters.insert(name.into_owned(), Zeroizing::new(value.into_owned())).is_some() {
                return Err(Refusal::invalid_request("a parameter is there twice"));
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Self(parameters))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    pub fn require(&self, name: &str, missing: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or(Refusal::invalid_request(missing))
    }
}

/// Shows the names only.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How a client names itself, and what it presents.
pub(super) struct Presented {
    pub client: String,
    pub secret: Option<Zeroizing<String>>,
}

impl Presented {
    /// Reads the header `Authorization` or the parameters. Both at once are refused (RFC 6749 section 2.3).
    pub fn of(headers: &HeaderMap, parameters: &Parameters) -> Result<Self, Refusal> {
        let in_body = (parameters.get("client_id"), parameters.get("client_secret"));
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        match (values.next(), in_body) {
            (None, (None, _)) => Err(Refusal::invalid_client()),
            (None, (Some(client), secret)) => {
                let secret = secret.map(|secret| Zeroizing::new(secret.to_owned()));
                Ok(Self { client: client.to_owned(), secret })
            }
            (Some(header), (named, None)) if values.next().is_none() => {
                let basic = header.to_str().ok().and_then(basic).ok_or(Refusal::invalid_client())?;
                match named {
                    Some(named) if named != basic.client => {
                        Err(Refusal::invalid_request("the request names two clients"))
                    }
                    _ => Ok(basic),
                }
            }
            (Some(_), _) => Err(Refusal::invalid_request("a client authenticates once, in the header or in the body")),
        }
    }
}

/// Reads an id and a secret, which are form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Option<Presented> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?);
    let (client, secret) = decoded.split_once(':')?;
    let decode = |text: &str| {
        let field = format!("{text}=");
        form_urlencoded::parse(field.as_bytes()).next().map(|(name, _)| name.into_owned())
    };
    Some(Presented { client: decode(client)?, secret: Some(Zeroizing::new(decode(secret)?)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Parameters> {
        Parameters::parse(text.as_bytes()).ok()
    }

    #[test]
    fn a_parameter_that_is_there_twice_is_refused_and_an_empty_one_is_left_out() {
        let parameters = parse("a=1&b=&c=%20x").expect("parameters");
        assert_eq!((parameters.get("a"), parameters.get("b"), parameters.get("c")), (Some("1"), None, Some(" x")));
        for twice in ["a=1&a=1", "a=1&a=", "a&a", "resource=x&resource=y"] {
            assert!(parse(twice).is_none(), "{twice}");
        }
        assert!(parse(&format!("a={}", "x".repeat(MAX_VALUE + 1))).is_none());
        assert_eq!(format!("{:?}", parse("code=secret").expect("parameters")), r#"{"code"}"#);
    }

    #[test]
    fn a_client_authenticates_once() {
        let of = |authorization: &[&str], form: &str| {
            let values = authorization.iter().map(|value| (header::AUTHORIZATION, value.parse().expect("a value")));
            let headers: HeaderMap = values.collect();
            let presented = Presented::of(&headers, &parse(form).expect("parameters"));
            presented.map(|found| (found.client, found.secret.map(|secret| secret.to_string()))).map_err(|no| no.error)
        };
        let found = |client: &str, secret: Option<&str>| Ok((client.to_owned(), secret.map(str::to_owned)));
        let basic = format!("Basic {}", STANDARD.encode("a%3Ab:p%20q"));
        assert_eq!(of(&[], "client_id=a"), found("a", None));
        assert_eq!(of(&[], "client_id=a&client_secret=s"), found("a", Some("s")));
        assert_eq!(of(&[&basic], ""), found("a:b", Some("p q")));
        assert_eq!(of(&[&basic], "client_id=a%3Ab"), found("a:b", Some("p q")));
        assert_eq!(of(&[&basic], "client_id=other"), Err("invalid_request"));
        assert_eq!(of(&[&basic], "client_secret=s"), Err("invalid_request"));
        assert_eq!(of(&[&basic, &basic], ""), Err("invalid_request"));
        for bad in ["Basic", "Basic x", "Bearer abc", "Basic YQ=="] {
            assert_eq!(of(&[bad], ""), Err("invalid_client"), "{bad}");
        }
        assert_eq!(of(&[], ""), Err("invalid_client"));
    }
}
