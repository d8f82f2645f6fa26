//! Pages for the applications of others.

use axum::response::Html;

pub async fn about() -> Html<&'static str> {
    Html("<h1>About</h1>")
}
