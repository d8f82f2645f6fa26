//! Verifies ID tokens (OpenID Connect Core section 3.1.3.7).

use chrono::DateTime;
use openidconnect::{
    AdditionalClaims, ClaimsVerificationError, ClientId, IdToken, IdTokenVerifier, IssuerUrl, JsonWebKey,
    JsonWebKeySet, Nonce, SignatureVerificationError,
    core::{
        CoreGenderClaim, CoreJsonWebKey, CoreJsonWebKeyType, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    },
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use crate::oauth::error::OauthError;

/// How far the clock of a provider may be wrong, in seconds.
const LEEWAY: i64 = 60;

/// The accepted algorithms, all with public keys. `none` and the HMACs of a client secret are never accepted.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What stands for a user's tenant in the issuer of Microsoft's common endpoints.
pub(crate) const TENANT: &str = "{tenantid}";

/// A provider's keys.
#[derive(Debug)]
pub(crate) struct Keys(Vec<Key>);

/// A key, and the issuer that Microsoft restricts it to.
#[derive(Clone, Debug)]
struct Key {
    key: CoreJsonWebKey,
    issuer: Option<String>,
}

/// A key set (RFC 7517 section 5).
#[derive(Deserialize)]
pub(crate) struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl From<KeySet> for Keys {
    /// Keys that aren't understood are skipped, as RFC 7517 section 5 says, and so are symmetric keys.
    fn from(set: KeySet) -> Self {
        let keys = set.keys.into_iter().filter_map(|value| {
            let issuer = value.get("issuer").and_then(|issuer| issuer.as_str()).map(str::to_owned);
            let key: CoreJsonWebKey = serde_json::from_value(value).ok()?;
            (*key.key_type() != CoreJsonWebKeyType::Symmetric).then_some(Key { key, issuer })
        });
        Self(keys.collect())
    }
}

impl Keys {
    /// Returns the keys that may sign for an issuer of a tenant.
    fn of(&self, issuer: &str, tenant: Option<&str>) -> JsonWebKeySet<CoreJsonWebKey> {
        let may_sign = |key: &&Key| {
            let restricted = key.issuer.as_ref().zip(tenant);
            restricted.is_none_or(|(template, tenant)| template.replace(TENANT, tenant) == issuer)
        };
        JsonWebKeySet::new(self.0.iter().filter(may_sign).map(|key| key.key.clone()).collect())
    }
}

/// Claims beyond those of the standard.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct MoreClaims {
    /// The domain of a Google Workspace.
    hd: Option<String>,
    /// The tenant of a Microsoft account.
    tid: Option<String>,
}

impl AdditionalClaims for MoreClaims {}

type SignedToken = IdToken<MoreClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

/// What an ID token must say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// The issuer, or its template with [`TENANT`].
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub now: OffsetDateTime,
    /// When the flow began, if the user had to authenticate again.
    pub reauthenticated_since: Option<OffsetDateTime>,
}

/// What an ID token says, after it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub issuer: String,
    pub subject: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub hosted_domain: Option<String>,
    pub auth_time: Option<OffsetDateTime>,
}

/// Verifies an ID token and returns its claims.
pub(crate) fn verify(token: &str, keys: &Keys, expected: Expected<'_>) -> Result<Claims, OauthError> {
    let tenant = expected.issuer.contains(TENANT).then(|| unverified_tenant(token)).transpose()?;
    let issuer =
        tenant.as_ref().map_or_else(|| expected.issuer.to_owned(), |tenant| expected.issuer.replace(TENANT, tenant));
    let keys = keys.of(&issuer, tenant.as_deref());
    let now = expected.now.unix_timestamp();
    let verifier = IdTokenVerifier::new_public_client(
        ClientId::new(expected.client_id.to_owned()),
        IssuerUrl::new(issuer.clone()).map_err(|_| OauthError::Issuer)?,
        keys,
    )
    .set_allowed_algs(ALGORITHMS)
    .set_time_fn(move || DateTime::from_timestamp(now - LEEWAY, 0).unwrap_or_default());

    let token: SignedToken = token.parse().map_err(|_| OauthError::IdToken)?;
    let has_nonce = |nonce: Option<&Nonce>| {
        let is_same = nonce.is_some_and(|nonce| nonce.secret().as_bytes().ct_eq(expected.nonce.as_bytes()).into());
        if is_same && !expected.nonce.is_empty() { Ok(()) } else { Err(String::new()) }
    };
    let claims = token.into_claims(&verifier, has_nonce).map_err(|error| reason(&error))?;
    if claims.issuer().as_str() != issuer {
        return Err(OauthError::Issuer);
    }
    // OpenID Connect Core section 3.1.3.7, items 4 and 5. A second audience was refused above.
    if claims.authorized_party().is_some_and(|party| party.as_str() != expected.client_id) {
        return Err(OauthError::AuthorizedParty);
    }
    let auth_time = claims.auth_time().map(|at| at.timestamp());
    check_times(claims.issue_time().timestamp(), auth_time, expected)?;
    Ok(Claims {
        issuer,
        subject: claims.subject().as_str().to_owned(),
        email: claims.email().map(|email| email.as_str().to_owned()),
        email_verified: claims.email_verified() == Some(true),
        hosted_domain: claims.additional_claims().hd.clone(),
        auth_time: auth_time.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok()),
    })
}

/// Checks when a token was issued, and when its user authenticated, if they had to do so again.
fn check_times(issued_at: i64, auth_time: Option<i64>, expected: Expected<'_>) -> Result<(), OauthError> {
    let latest = expected.now.unix_timestamp() + LEEWAY;
    if issued_at > latest {
        return Err(OauthError::IssuedAt);
    }
    let Some(since) = expected.reauthenticated_since else { return Ok(()) };
    let earliest = since.unix_timestamp() - LEEWAY;
    match auth_time.is_some_and(|at| (earliest..=latest).contains(&at)) {
        true => Ok(()),
        false => Err(OauthError::AuthTime),
    }
}

/// Returns whether an issuer is the expected one, or the expected template with the ID of a tenant.
pub(crate) fn is_issuer(issuer: &str, expected: &str) -> bool {
    match expected.split_once(TENANT) {
        Some((before, after)) => {
            issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(is_tenant_id)
        }
        None => issuer == expected,
    }
}

/// Returns the tenant that an ID token claims to be of, to choose the keys and the issuer that it must have.
fn unverified_tenant(token: &str) -> Result<String, OauthError> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    #[derive(Deserialize)]
    struct Tenant {
        tid: String,
    }
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| OauthError::IdToken)?;
    let Tenant { tid } = serde_json::from_slice(&payload).map_err(|_| OauthError::Issuer)?;
    is_tenant_id(&tid).then_some(tid).ok_or(OauthError::Issuer)
}

/// Returns whether this is the ID of a Microsoft tenant, a UUID with hyphens.
pub(crate) fn is_tenant_id(id: &str) -> bool {
    id.len() == 36 && uuid::Uuid::try_parse(id).is_ok()
}

fn reason(error: &ClaimsVerificationError) -> OauthError {
    match error {
        ClaimsVerificationError::Expired(_) => OauthError::Expired,
        ClaimsVerificationError::InvalidAudience(_) => OauthError::Audience,
        ClaimsVerificationError::InvalidIssuer(_) => OauthError::Issuer,
        ClaimsVerificationError::InvalidNonce(_) => OauthError::Nonce,
        ClaimsVerificationError::InvalidSubject(_) => OauthError::Subject,
        ClaimsVerificationError::SignatureVerification(error) => match error {
            SignatureVerificationError::DisallowedAlg(_)
            | SignatureVerificationError::NoSignature
            | SignatureVerificationError::UnsupportedAlg(_) => OauthError::Algorithm,
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::AmbiguousKeyId(_) => {
                OauthError::UnknownKey
            }
            _ => OauthError::Signature,
        },
        _ => OauthError::IdToken,
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use p256::ecdsa::{Signature, SigningKey, signature::Signer};
    use serde_json::{Value, json};

    use super::*;

    const CONTOSO: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    const OTHER: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
    const COMMON: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

    fn issuer(tenant: &str) -> String {
        COMMON.replace(TENANT, tenant)
    }

    fn key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    /// Returns the key set of a provider, whose key is restricted to an issuer.
    fn keys(issuer: Option<&str>) -> Keys {
        let point = key().verifying_key().to_sec1_point(false);
        let (x, y) = (URL_SAFE_NO_PAD.encode(point.x().unwrap()), URL_SAFE_NO_PAD.encode(point.y().unwrap()));
        let key = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "1", "issuer": issuer });
        serde_json::from_value::<KeySet>(json!({ "keys": [key] })).unwrap().into()
    }

    fn sign(header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature: Signature = key().sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn claims(iss: &str, tid: Option<&str>) -> Value {
        json!({
            "iss": iss, "tid": tid, "sub": "1", "aud": "my_app", "nonce": "a nonce",
            "iat": 1_700_000_000, "exp": 1_700_000_300,
        })
    }

    fn expected(issuer: &str) -> Expected<'_> {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        Expected { issuer, client_id: "my_app", nonce: "a nonce", now, reauthenticated_since: None }
    }

    #[test]
    fn the_issuer_of_a_common_endpoint_is_that_of_the_tokens_tenant_and_so_is_its_key() {
        let header = json!({ "alg": "ES256", "kid": "1" });
        let verify = |keys: &Keys, iss: &str, tid| {
            verify(&sign(&header, &claims(iss, tid)), keys, expected(COMMON)).map(|claims| claims.issuer)
        };
        for keys in [keys(None), keys(Some(COMMON)), keys(Some(&issuer(CONTOSO)))] {
            assert_eq!(verify(&keys, &issuer(CONTOSO), Some(CONTOSO)), Ok(issuer(CONTOSO)));
        }
        for (iss, tid) in [
            (issuer(OTHER), Some(CONTOSO)),
            (issuer(CONTOSO), None),
            (COMMON.to_owned(), Some(TENANT)),
            (issuer("contoso.com"), Some("contoso.com")),
            (issuer("../evil"), Some("../evil")),
            ("https://evil.example/v2.0".to_owned(), Some(CONTOSO)),
        ] {
            assert_eq!(verify(&keys(None), &iss, tid), Err(OauthError::Issuer), "{iss} {tid:?}");
        }
        let of_other = keys(Some(&issuer(OTHER)));
        assert_eq!(verify(&of_other, &issuer(CONTOSO), Some(CONTOSO)), Err(OauthError::UnknownKey));
    }

    #[test]
    fn invariant_18_a_token_with_any_changed_character_is_refused() {
        let iss = "https://provider.example";
        let token = sign(&json!({ "alg": "ES256", "kid": "1" }), &claims(iss, None));
        assert!(verify(&token, &keys(None), expected(iss)).is_ok());
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            // The first bit of a character is used, even if the last bits of the last character aren't.
            let value = alphabet.iter().position(|c| *c == changed[at]);
            changed[at] = value.map_or(b'A', |value| alphabet[value ^ 32]);
            let changed = String::from_utf8(changed).unwrap();
            assert!(verify(&changed, &keys(None), expected(iss)).is_err(), "{at}: {changed}");
        }
        for length in 0..token.len() {
            assert!(verify(&token[..length], &keys(None), expected(iss)).is_err(), "{length}");
        }
    }

    #[test]
    fn a_token_that_is_not_an_id_token_is_refused() {
        let iss = "https://provider.example";
        for (header, expected_error) in [
            // An access token (RFC 9068).
            (json!({ "alg": "ES256", "kid": "1", "typ": "at+jwt" }), OauthError::IdToken),
            (json!({ "alg": "ES256", "kid": "1", "crit": ["exp"] }), OauthError::IdToken),
            (json!({ "alg": "ES256", "kid": "1", "cty": "JWT" }), OauthError::IdToken),
            (json!({ "alg": "HS256", "kid": "1" }), OauthError::Algorithm),
            (json!({ "alg": "none" }), OauthError::Algorithm),
            (json!({ "alg": "None" }), OauthError::IdToken),
            (json!({ "kid": "1" }), OauthError::IdToken),
            (json!({ "alg": "RS256", "kid": "1" }), OauthError::UnknownKey),
        ] {
            let error = verify(&sign(&header, &claims(iss, None)), &keys(None), expected(iss)).unwrap_err();
            assert_eq!(error, expected_error, "{header}");
        }
    }

    #[test]
    fn claims_of_any_type_and_size_cause_no_panic_and_no_identity_of_another() {
        let iss = "https://provider.example";
        let values = [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1e308),
            json!(""),
            json!("1"),
            json!("2026-11-26T00:00:00Z"),
            json!([]),
            json!(["my_app", 1]),
            json!({}),
            json!({ "sub": "2" }),
            json!("\u{0}"),
            json!("x".repeat(1000)),
        ];
        for claim in [
            "iss",
            "sub",
            "aud",
            "azp",
            "exp",
            "iat",
            "nonce",
            "auth_time",
            "email",
            "email_verified",
            "hd",
            "tid",
            "acr",
            "amr",
            "at_hash",
            "address",
            "birthdate",
            "locale",
            "updated_at",
            "name",
            "name#de",
            "gender",
        ] {
            for value in &values {
                let mut claims = claims(iss, None);
                claims[claim] = value.clone();
                let token = sign(&json!({ "alg": "ES256", "kid": "1" }), &claims);
                let since = Some(OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap());
                for reauthenticated_since in [None, since] {
                    let verified = verify(&token, &keys(None), Expected { reauthenticated_since, ..expected(iss) });
                    if let Ok(verified) = verified {
                        assert_eq!(verified.issuer, iss, "{claim} = {value}");
                        assert!(claim == "sub" || verified.subject == "1", "{claim} = {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_key_set_with_strange_and_symmetric_keys_has_only_the_others() {
        let symmetric = json!({ "kty": "oct", "k": "c2VjcmV0" });
        let strange = json!({ "keys": [symmetric, { "kty": "XYZ" }, {}, null, 1, { "kty": "EC" }] });
        let Keys(keys) = serde_json::from_value::<KeySet>(strange).unwrap().into();
        assert_eq!(keys.len(), 1, "the last is one that can't verify anything");
    }

    #[test]
    fn an_empty_nonce_is_never_the_right_one() {
        let iss = "https://provider.example";
        let mut claims = claims(iss, None);
        claims["nonce"] = json!("");
        let token = sign(&json!({ "alg": "ES256", "kid": "1" }), &claims);
        let verified = verify(&token, &keys(None), Expected { nonce: "", ..expected(iss) });
        assert_eq!(verified, Err(OauthError::Nonce));
    }
}
