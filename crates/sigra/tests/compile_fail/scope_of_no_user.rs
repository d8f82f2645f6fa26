//! A scope of something that is no user of the host's.

use axum::extract::FromRequestParts;
use sigra::Scope;

fn is_extractor<T: FromRequestParts<()>>() {}

fn main() {
    is_extractor::<Scope<String>>();
}
