//! The reasons for exceptions in `deny.toml` still hold.

use super::sources::read;

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

/// RUSTSEC-2023-0071 concerns private keys. `rsa` is a dependency of `webauthn-rs-core`, which only verifies with
/// public keys.
#[test]
fn only_passkeys_depend_on_rsa() {
    assert!(read("deny.toml").contains("RUSTSEC-2023-0071"), "without the exception, delete this test");
    assert_eq!(dependents("rsa"), ["crypto-glue"]);
    assert_eq!(dependents("crypto-glue"), ["webauthn-attestation-ca", "webauthn-rs-core"]);
    assert_eq!(dependents("webauthn-rs-core"), ["webauthn-rs"]);
}
