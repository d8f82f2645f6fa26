//! What people read in the terminal, word for word. `TRYCMD=overwrite` writes it anew.

#[test]
fn the_terminal_says_what_is_written_here() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd").case("tests/cmd/*.toml");
}
