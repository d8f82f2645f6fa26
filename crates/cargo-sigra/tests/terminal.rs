//! What people read in the terminal, word for word. `TRYCMD=overwrite` writes it anew.

use std::process::Command;

#[test]
fn a_secret_is_new_and_one_that_the_library_takes() {
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
fn the_terminal_says_what_is_written_here() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd").case("tests/cmd/*.toml");
}
