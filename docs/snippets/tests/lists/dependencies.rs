//! The reasons for exceptions in `deny.toml` still hold.

use super::sources::{files, read};

/// Returns the packages of `Cargo.lock` that depend on this one.
fn dependents(package: &str) -> Vec<String> {
    let lock = read("Cargo.lock");
    let packages = lock.split("[[package]]").skip(1).filter(|entry| {
        let dependencies = entry.split("dependencies = [").nth(1).unwrap_or_default();
        dependencies.lines().any(|line| line.trim().trim_matches(['"', ',']).split(' ').next() == Some(package))
    });
    let name = |entry: &str| entry.split("name = \"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    packages.filter_map(name).collect()
}

/// RUSTSEC-2023-0071 concerns private keys. `webauthn-rs-core` and `openidconnect` verify with public keys. The latter
/// can also sign with a private key, which the library doesn't.
#[test]
fn only_what_verifies_passkeys_and_id_tokens_depends_on_rsa() {
    assert!(read("deny.toml").contains("RUSTSEC-2023-0071"), "without the exception, delete this test");
    assert_eq!(dependents("rsa"), ["crypto-glue", "openidconnect"]);
    assert_eq!(dependents("crypto-glue"), ["webauthn-attestation-ca", "webauthn-rs-core"]);
    assert_eq!(dependents("webauthn-rs-core"), ["webauthn-rs"]);
    assert_eq!(dependents("openidconnect"), ["sigra"]);
    for source in files("crates/sigra/src", ".rs") {
        assert!(!source.contains("RsaPrivateSigningKey"));
    }
}
