//! The output of the commands, word for word. `TRYCMD=overwrite` updates it.

use std::process::Command;

#[test]
fn a_secret_is_new_and_accepted_by_the_library() {
    let secret = || {
        let printed = Command::new(env!("CARGO_BIN_EXE_cargo-sigra")).args(["gen", "secret"]).output();
        let text = String::from_utf8(printed.expect("the generator").stdout).expect("text");
        text.strip_suffix('\n').expect("one line").to_owned()
    };
    let (one, two) = (secret(), secret());
    assert_ne!(one, two);
    for secret in [one, two] {
        sigra::SecretKeyBase::new(secret).expect("a secret");
    }
}

#[test]
fn the_output_matches_the_snapshots() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd").case("tests/cmd/*.toml");
}
