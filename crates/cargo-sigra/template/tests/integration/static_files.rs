//! Styles, scripts and icons.

use std::{fs, path::Path};

use crate::support::Host;
use axum::{body::Body, http::Request};
use sigra::testing::{TestClient, TestHost, TestResponse, assert_status};

/// Returns the paths of the static files that a page refers to.
fn referred(page: &str) -> Vec<&str> {
    page.split('"').filter(|text| text.starts_with("/static/")).collect()
}

async fn ask_again(client: &TestClient, path: &str, tag: &str) -> TestResponse {
    let request = Request::get(path).header("if-none-match", tag);
    client.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn the_path_of_a_file_changes_with_its_content_so_browsers_keep_it_for_a_year() {
    let host = Host::new().await;
    let visitor = host.client();
    let page = visitor.get("/users/log-in").await.text();
    let paths = referred(&page);
    assert!(paths.iter().any(|path| path.ends_with(".css")) && paths.len() > 2, "{paths:?}");
    for path in paths {
        let file = visitor.get(path).await;
        assert_status(&file, 200);
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        assert_eq!(file.header("set-cookie"), None, "{path}");
        let tag = file.header("etag").expect("a tag").to_owned();
        assert!(path.contains(tag.trim_matches('"')), "{path} {tag}");
    }
}

#[tokio::test]
async fn a_file_is_revalidated_if_its_path_has_no_hash_or_that_of_another_version() {
    let host = Host::new().await;
    let visitor = host.client();
    for path in ["/static/app.css", "/static/app-0123456789abcdef.css", "/robots.txt", "/favicon.ico"] {
        let file = visitor.get(path).await;
        assert_status(&file, 200);
        assert_eq!(file.header("cache-control"), Some("public, no-cache"), "{path}");
        let tag = file.header("etag").expect("a tag").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
            let again = ask_again(&visitor, path, &known).await;
            assert_status(&again, 304);
            assert_eq!((again.text().as_str(), again.header("etag")), ("", Some(&*tag)), "{path}");
        }
        assert_status(&ask_again(&visitor, path, "\"other\"").await, 200);
    }
}

#[tokio::test]
async fn the_type_of_a_file_fits_its_name() {
    let host = Host::new().await;
    for (path, content_type) in [
        ("/static/app.css", "text/css; charset=utf-8"),
        ("/static/forms.js", "text/javascript; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/favicon.ico", "image/svg+xml"),
        ("/robots.txt", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(host.client().get(path).await.header("content-type"), Some(content_type), "{path}");
    }
}

#[tokio::test]
async fn only_files_in_the_folder_are_served() {
    let host = Host::new().await;
    for name in ["none.css", "app", "..%2fCargo.toml", "..%2f.env", "%2fetc%2fpasswd", "..%5cCargo.toml", "a%00.css"] {
        assert_status(&host.client().get(&format!("/static/{name}")).await, 404);
    }
}

#[test]
fn templates_refer_only_to_files_that_exist() {
    let (mut found, folder) = (0, Path::new(env!("CARGO_MANIFEST_DIR")));
    for template in fs::read_dir(folder.join("templates")).expect("a folder").flatten() {
        let Ok(text) = fs::read_to_string(template.path()) else { continue };
        for named in text.split("assets::path(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(folder.join("static").join(named).exists(), "{named} in {template:?}");
            found += 1;
        }
        assert!(referred(&text).is_empty(), "{template:?} has the path of a static file without its hash");
    }
    assert!(found >= 3);
}
