//! The compiler's messages for common mistakes: they say how to fix them.
#![cfg(all(feature = "sqlite", feature = "testing", feature = "oauth"))]
#![allow(missing_docs)]

#[test]
#[ignore = "builds all dependencies once more, which takes minutes the first time"]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
