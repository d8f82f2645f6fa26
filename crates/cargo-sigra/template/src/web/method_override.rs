//! HTML forms can only GET and POST. A form that means another method says so in a field `_method`.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Turns a `POST` of a form with `_method=delete` (or `put`, `patch`) into that method. All of them are
/// unsafe methods, so no check that a `POST` has to pass is avoided in this way.
pub async fn method_override(request: Request, next: Next) -> Response {
    let is_form =
        |value: &HeaderValue| value.as_bytes().get(..FORM.len()).is_some_and(|v| v.eq_ignore_ascii_case(FORM));
    let is_form_post =
        request.method() == Method::POST && request.headers().get(header::CONTENT_TYPE).is_some_and(is_form);
    if !is_form_post {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    // The body limit travels in the extensions, so the body is read with them.
    let mut limited = Request::new(body);
    *limited.extensions_mut() = parts.extensions.clone();
    let form = match Bytes::from_request(limited, &()).await {
        Ok(form) => form,
        Err(rejection) => return rejection.into_response(),
    };
    if let Some(method) = overridden(&form) {
        parts.method = method;
    }
    next.run(Request::from_parts(parts, Body::from(form))).await
}

fn overridden(form: &[u8]) -> Option<Method> {
    let (_, method) = url::form_urlencoded::parse(form).find(|(name, _)| name == "_method")?;
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
