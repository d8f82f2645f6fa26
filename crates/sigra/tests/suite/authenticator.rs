//! An authenticator in software: it does what a phone does, and what a dishonest one could do.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Flags: the user was present, and verified by a PIN or a fingerprint (WebAuthn section 6.1).
const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const HAS_KEY: u8 = 64;

#[derive(Clone)]
pub struct Authenticator {
    pub origin: &'static str,
    pub domain: &'static str,
    pub verifies: bool,
    /// What its browser says about a new passkey: whether it can be found without an email address.
    pub is_discoverable: Option<bool>,
    pub counter: u32,
    pub credential_id: Vec<u8>,
    pub user_handle: Value,
    pub key: SigningKey,
}

impl Authenticator {
    pub fn new() -> Self {
        Self {
            origin: "https://localhost",
            domain: "localhost",
            verifies: true,
            is_discoverable: None,
            counter: 1,
            credential_id: uuid::Uuid::new_v4().as_bytes().to_vec(),
            user_handle: Value::Null,
            key: SigningKey::from_slice(uuid_pair().as_slice()).expect("a key"),
        }
    }

    /// Answers a challenge that asks for a new passkey.
    pub fn register(&mut self, challenge: &Value) -> Value {
        let challenge = &challenge["publicKey"];
        self.user_handle = challenge["user"]["id"].clone();
        let mut data = self.data(HAS_KEY);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.credential_id.len()).unwrap().to_be_bytes());
        data.extend(&self.credential_id);
        data.extend(self.public_key());
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).expect("short"));
        object.extend(data);
        let mut answer = self.answer(json!({
            "clientDataJSON": encode(&self.client_data("webauthn.create", challenge)),
            "attestationObject": encode(&object),
        }));
        if let Some(is_discoverable) = self.is_discoverable {
            answer["clientExtensionResults"] = json!({ "credProps": { "rk": is_discoverable } });
        }
        answer
    }

    /// Answers a challenge that asks for a signature.
    pub fn sign(&mut self, challenge: &Value) -> Value {
        self.counter += 1;
        let client_data = self.client_data("webauthn.get", &challenge["publicKey"]);
        let data = self.data(0);
        let signed = [data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature: Signature = self.key.sign(&signed);
        self.answer(json!({
            "clientDataJSON": encode(&client_data),
            "authenticatorData": encode(&data),
            "signature": encode(signature.to_der().as_bytes()),
            "userHandle": self.user_handle,
        }))
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let verified = if self.verifies { VERIFIED } else { 0 };
        let mut data = Sha256::digest(self.domain).to_vec();
        data.push(PRESENT | verified | flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// A COSE key (RFC 9053 section 7.1.1).
    fn public_key(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let mut key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".to_vec();
        key.extend(point.x().expect("a point"));
        key.extend(b"\x22\x58\x20");
        key.extend(point.y().expect("a point"));
        key
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> Vec<u8> {
        let challenge = &challenge["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false }).to_string().into()
    }

    fn answer(&self, response: Value) -> Value {
        let id = encode(&self.credential_id);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {} })
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn uuid_pair() -> Vec<u8> {
    [*uuid::Uuid::new_v4().as_bytes(), *uuid::Uuid::new_v4().as_bytes()].concat()
}
