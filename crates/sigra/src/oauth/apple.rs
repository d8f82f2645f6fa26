//! Apple's client secret: a JWT that is signed with the key of the developer account.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer},
    pkcs8::DecodePrivateKey,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use time::OffsetDateTime;

/// How long a client secret is valid, in seconds. One is made for each request.
const LIFETIME: i64 = 5 * 60;

/// A key of the Apple Developer account, from a `.p8` file.
#[derive(Clone, Debug)]
pub(super) struct AppleKey {
    pub team_id: String,
    pub key_id: String,
    pub pem: SecretString,
}

impl AppleKey {
    /// Returns whether the PEM has a key for ES256.
    pub fn is_valid(&self) -> bool {
        self.signing_key().is_some()
    }

    /// Returns a client secret:
    /// <https://developer.apple.com/documentation/accountorganizationaldatasharing/creating-a-client-secret>.
    pub fn client_secret(&self, client_id: &str, now: OffsetDateTime) -> Option<SecretString> {
        let now = now.unix_timestamp();
        let header = json!({ "alg": "ES256", "kid": self.key_id });
        let claims = json!({
            "iss": self.team_id,
            "iat": now,
            "exp": now + LIFETIME,
            "aud": "https://appleid.apple.com",
            "sub": client_id,
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature: Signature = self.signing_key()?.sign(signed.as_bytes());
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())).into())
    }

    fn signing_key(&self) -> Option<SigningKey> {
        SigningKey::from_pkcs8_pem(self.pem.expose_secret().trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use p256::{
        ecdsa::signature::Verifier,
        pkcs8::{EncodePrivateKey, LineEnding},
    };
    use serde_json::Value;

    use super::*;

    #[test]
    fn apple_gets_a_secret_that_its_key_has_signed_and_that_expires_after_five_minutes() {
        let signing_key = SigningKey::from_slice(&[7; 32]).unwrap();
        let pem = signing_key.to_pkcs8_pem(LineEnding::CRLF).unwrap().to_string();
        let key = AppleKey { team_id: "TEAM".to_owned(), key_id: "KEY".to_owned(), pem: format!("\n{pem}\n").into() };
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let secret = key.client_secret("com.example.web", now).unwrap();
        let [header, claims, signature] = secret.expose_secret().split('.').collect::<Vec<_>>()[..] else { panic!() };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)).unwrap();
        assert_eq!(json(header), json!({ "alg": "ES256", "kid": "KEY" }));
        let expected = json!({
            "iss": "TEAM",
            "iat": 1_700_000_000,
            "exp": 1_700_000_300,
            "aud": "https://appleid.apple.com",
            "sub": "com.example.web",
        });
        assert_eq!(json(claims), expected);
        let signature = Signature::from_slice(&decode(signature)).unwrap();
        assert!(signing_key.verifying_key().verify(format!("{header}.{claims}").as_bytes(), &signature).is_ok());
    }
}
