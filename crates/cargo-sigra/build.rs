//! The template is embedded through `embedded/`, which links to its parts: a folder with a `Cargo.toml` of its own
//! would be left out of the published crate. New files there are seen only if the folder is watched.

fn main() {
    for watched in ["embedded", "template"] {
        println!("cargo:rerun-if-changed={watched}");
    }
}
