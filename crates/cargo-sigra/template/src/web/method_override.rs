//! HTML forms support only GET and POST. A form names any other method in its field `_method`.

use axum::{
    RequestExt,
    body::Bytes,
    extract::Request,
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use url::form_urlencoded;

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Turns a `POST` of a form with `_method=delete` (or `put`, `patch`) into that method. All of them are unsafe methods,
/// so this bypasses no check that a `POST` has to pass.
pub async fn method_override(request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !is_form(&request) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    // Read the body with its parts: the limit of its size is in the extensions.
    let form: Bytes = match Request::from_parts(parts.clone(), body).extract().await {
        Ok(form) => form,
        Err(rejection) => return rejection.into_response(),
    };
    if let Some(method) = overridden(&form) {
        parts.method = method;
    }
    next.run(Request::from_parts(parts, form.into())).await
}

fn is_form(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    content_type.get(..FORM.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(FORM))
}

fn overridden(form: &[u8]) -> Option<Method> {
    let (_, method) = form_urlencoded::parse(form).find(|(name, _)| name == "_method")?;
    match method.to_ascii_lowercase().as_str() {
        "delete" => Some(Method::DELETE),
        "put" => Some(Method::PUT),
        "patch" => Some(Method::PATCH),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unsafe_methods_can_be_meant() {
        assert_eq!(overridden(b"a=b&_method=delete"), Some(Method::DELETE));
        assert_eq!(overridden(b"_method=PUT"), Some(Method::PUT));
        for form in [&b"_method=get"[..], b"_method=head", b"_method=", b"method=delete", b"", b"\xff\0&&=="] {
            assert_eq!(overridden(form), None);
        }
    }
}
