//! The JWT in which a browser signs a challenge with the key of its device.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use serde::Deserialize;

use crate::model::binding::{BindingKey, KEY};

/// The maximum length of the JWT in bytes. Those of browsers have about 500.
const MAX_JWT: usize = 4096;

/// The length of a coordinate of P-256, in bytes.
const COORDINATE: usize = 32;

/// A JWT of a browser, whose signature isn't verified yet.
pub(super) struct SignedChallenge<'a> {
    /// What is signed.
    signed: &'a [u8],
    signature: Signature,
    /// The key in the header.
    jwk: Option<Jwk>,
    claims: Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    jwk: Option<Jwk>,
    /// Extensions that must be understood (RFC 7515 section 4.1.11). None are.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    aud: Option<String>,
}

impl<'a> SignedChallenge<'a> {
    /// Parses a compact JWS (RFC 7515 section 3.1) with the algorithm ES256 and the type `dbsc+jwt`.
    pub fn parse(jwt: &'a [u8]) -> Option<Self> {
        let jwt = str::from_utf8(jwt).ok().filter(|jwt| jwt.len() <= MAX_JWT)?;
        let (signed, signature) = jwt.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.alg != "ES256" || header.typ != "dbsc+jwt" || header.crit.is_some() {
            return None;
        }
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        Some(Self { signed: signed.as_bytes(), signature, jwk: header.jwk, claims })
    }

    /// Returns the challenge that it says it signs.
    pub fn challenge(&self) -> &str {
        &self.claims.jti
    }

    /// Returns whether it is meant for one of these URLs, or doesn't say for which.
    pub fn is_meant_for(&self, urls: &[&str]) -> bool {
        self.claims.aud.as_deref().is_none_or(|aud| urls.contains(&aud))
    }

    /// Returns the key in the header, if it signed the JWT.
    pub fn own_key(&self) -> Option<BindingKey> {
        let jwk = self.jwk.as_ref().filter(|jwk| jwk.kty == "EC" && jwk.crv == "P-256")?;
        let coordinate = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == COORDINATE);
        // An uncompressed point (SEC 1 section 2.3.3), of which is checked that it is on the curve.
        let point = [&[4][..], &coordinate(&jwk.x)?, &coordinate(&jwk.y)?].concat();
        let key = VerifyingKey::from_sec1_bytes(&point).ok()?;
        let compressed: [u8; KEY] = key.to_sec1_point(true).as_bytes().try_into().ok()?;
        self.is_signed_with(&key).then(|| BindingKey::new(compressed))
    }

    /// Returns whether a session's key signed it.
    pub fn is_signed_by(&self, key: &BindingKey) -> bool {
        VerifyingKey::from_sec1_bytes(key.point()).is_ok_and(|key| self.is_signed_with(&key))
    }

    fn is_signed_with(&self, key: &VerifyingKey) -> bool {
        key.verify(self.signed, &self.signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{SigningKey, signature::Signer};
    use serde_json::{Value, json};

    use super::*;

    fn signing_key(seed: u8) -> SigningKey {
        SigningKey::from_slice(&[seed; 32]).expect("a key")
    }

    fn jwk(key: &SigningKey) -> Value {
        let point = key.verifying_key().to_sec1_point(false);
        let coordinate = |at: usize| URL_SAFE_NO_PAD.encode(&point.as_bytes()[at..at + COORDINATE]);
        json!({ "kty": "EC", "crv": "P-256", "x": coordinate(1), "y": coordinate(1 + COORDINATE) })
    }

    fn jwt(header: &Value, claims: &Value, key: &SigningKey) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature: Signature = key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn header(key: &SigningKey) -> Value {
        json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": jwk(key) })
    }

    #[test]
    fn the_key_of_the_header_is_accepted_if_it_signed_the_token() {
        let (key, other) = (signing_key(7), signing_key(8));
        let good = jwt(&header(&key), &json!({ "jti": "c1" }), &key);
        let parsed = SignedChallenge::parse(good.as_bytes()).expect("a JWT");
        assert_eq!(parsed.challenge(), "c1");
        let bound = parsed.own_key().expect("signed by its own key");
        assert!(parsed.is_signed_by(&bound));

        let by_other = jwt(&header(&key), &json!({ "jti": "c1" }), &other);
        let by_other = SignedChallenge::parse(by_other.as_bytes()).expect("a JWT");
        assert!(by_other.own_key().is_none());
        assert!(!by_other.is_signed_by(&bound));
    }

    #[test]
    fn other_algorithms_types_curves_and_points_are_refused() {
        let key = signing_key(7);
        let claims = json!({ "jti": "c1" });
        let with = |name: &str, value: Value| {
            let mut header = header(&key);
            header[name] = value;
            jwt(&header, &claims, &key)
        };
        for (name, value) in [
            ("alg", json!("none")),
            ("alg", json!("HS256")),
            ("alg", json!("es256")),
            ("alg", json!(null)),
            ("typ", json!("JWT")),
            ("crit", json!(["b64"])),
        ] {
            let jwt = with(name, value.clone());
            assert!(SignedChallenge::parse(jwt.as_bytes()).is_none(), "{name}: {value}");
        }
        let good = jwk(&key);
        let point = |x: &Value, y: &Value, kty: &str, crv: &str| json!({ "kty": kty, "crv": crv, "x": x, "y": y });
        let zero = json!(URL_SAFE_NO_PAD.encode([0; COORDINATE]));
        for jwk in [
            point(&good["x"], &good["y"], "RSA", "P-256"),
            point(&good["x"], &good["y"], "EC", "secp256k1"),
            point(&good["x"], &good["y"], "EC", "P-384"),
            point(&good["y"], &good["x"], "EC", "P-256"),
            point(&zero, &zero, "EC", "P-256"),
            point(&good["x"], &json!(""), "EC", "P-256"),
            point(&json!("****"), &good["y"], "EC", "P-256"),
            Value::Null,
        ] {
            let jwt = with("jwk", jwk.clone());
            assert!(SignedChallenge::parse(jwt.as_bytes()).expect("a JWT").own_key().is_none(), "{jwk}");
        }
    }

    #[test]
    fn a_token_that_is_malformed_or_too_long_is_refused() {
        let key = signing_key(7);
        let good = jwt(&header(&key), &json!({ "jti": "c1" }), &key);
        let [head, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        for bad in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            format!("{head}.{claims}"),
            format!("{head}.{claims}."),
            format!("{head}.{claims}.{}", &signature[2..]),
            format!("{head}.{claims}.{signature}A"),
            format!("{head}.{claims}.{signature}.{signature}"),
            format!("{head}=.{claims}.{signature}"),
            format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode("{}")),
            format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode("[]")),
            format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
            jwt(&header(&key), &json!({ "jti": "c".repeat(MAX_JWT) }), &key),
            "a".repeat(1 << 20),
        ] {
            let parsed = SignedChallenge::parse(bad.as_bytes());
            assert!(parsed.is_none(), "{}", &bad[..bad.len().min(300)]);
        }
        assert!(SignedChallenge::parse(b"\xff.\xff.\xff").is_none());
    }

    #[test]
    fn an_audience_must_be_the_url_of_the_route() {
        let key = signing_key(7);
        let url = "https://app.example.com/users/session/binding";
        for (claims, is_meant) in [
            (json!({ "jti": "c1" }), true),
            (json!({ "jti": "c1", "aud": url }), true),
            (json!({ "jti": "c1", "aud": "https://evil.example/users/session/binding" }), false),
        ] {
            let jwt = jwt(&header(&key), &claims, &key);
            assert_eq!(
                SignedChallenge::parse(jwt.as_bytes()).expect("a JWT").is_meant_for(&[url]),
                is_meant,
                "{claims}"
            );
        }
    }
}
