//! A scope of a type that isn't the host's user.

use axum::extract::FromRequestParts;
use sigra::Scope;

fn is_extractor<T: FromRequestParts<()>>() {}

fn main() {
    is_extractor::<Scope<String>>();
}
