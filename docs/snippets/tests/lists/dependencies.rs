//! What `deny.toml` says of dependencies that it makes an exception for.

use super::sources::read;

/// The packages of `Cargo.lock` that depend on this one.
fn dependents(package: &str) -> Vec<String> {
    let lock = read("Cargo.lock");
    let packages = lock.split("[[package]]").skip(1).filter(|entry| {
        let dependencies = entry.split("dependencies = [").nth(1).unwrap_or_default();
        dependencies.lines().any(|line| line.trim().trim_matches(['"', ',']).split(' ').next() == Some(package))
    });
    let name = |entry: &str| entry.split("name = \"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    packages.filter_map(name).collect()
}

/// RUSTSEC-2023-0071 is about private keys. `rsa` comes with `webauthn-rs-core`, which only verifies by public ones.
#[test]
fn rsa_comes_with_passkeys_alone() {
    assert!(read("deny.toml").contains("RUSTSEC-2023-0071"), "without the exception, this test can go");
    assert_eq!(dependents("rsa"), ["crypto-glue"]);
    assert_eq!(dependents("crypto-glue"), ["webauthn-attestation-ca", "webauthn-rs-core"]);
    assert_eq!(dependents("webauthn-rs-core"), ["webauthn-rs"]);
}
