//! Styles, scripts and icons: the files in `static/`.
//!
//! They are part of the program. A debug build reads them from the disk at each request instead, so that a change shows
//! when you reload the page.

use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::{Embed, EmbeddedFile};

use super::error::NOT_FOUND;

/// A path that contains the hash of the file always has the same content.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Clients ask at each use whether the file has changed.
const REVALIDATE: &str = "public, no-cache";

#[derive(Embed)]
#[folder = "static/"]
struct Files;

/// Returns the path of a file, with a hash of its content: `/static/app-0123456789abcdef.css`. Templates call it.
pub fn path(name: &str) -> String {
    match (Files::get(name), name.rsplit_once('.')) {
        (Some(file), Some((stem, extension))) => format!("/static/{stem}-{}.{extension}", hash(&file)),
        _ => format!("/static/{name}"),
    }
}

pub async fn show(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match find(&name) {
        Some((file, caching)) => respond(file, caching, &headers),
        None => NOT_FOUND.into_response(),
    }
}

// <app>
/// Browsers ask for this path when they show something that isn't a page.
pub async fn favicon(headers: HeaderMap) -> Response {
    show(Path("icon.svg".to_owned()), headers).await
}

pub async fn robots_txt(headers: HeaderMap) -> Response {
    show(Path("robots.txt".to_owned()), headers).await
}
// </app>

/// Finds a file by its name, with or without a hash in it.
fn find(name: &str) -> Option<(EmbeddedFile, &'static str)> {
    if let Some(file) = Files::get(name) {
        return Some((file, REVALIDATE));
    }
    let (stem, extension) = name.rsplit_once('.')?;
    let (stem, wanted) = stem.rsplit_once('-')?;
    let file = Files::get(&format!("{stem}.{extension}"))?;
    // While a new version is deployed, a page of one version may load its files from the other.
    let caching = if hash(&file) == wanted { IMMUTABLE } else { REVALIDATE };
    Some((file, caching))
}

fn respond(file: EmbeddedFile, caching: &'static str, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hash(&file));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    let shared = [(header::CACHE_CONTROL, caching.to_owned()), (header::ETAG, tag.clone())];
    if known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, shared).into_response();
    }
    let mut content_type = file.metadata.mimetype().to_owned();
    if content_type.starts_with("text/") {
        content_type.push_str("; charset=utf-8");
    }
    (shared, [(header::CONTENT_TYPE, content_type)], file.data).into_response()
}

/// Returns 64 bits of the file's SHA-256 hash, in hexadecimal digits.
fn hash(file: &EmbeddedFile) -> String {
    file.metadata.sha256_hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
