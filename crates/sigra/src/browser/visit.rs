use http::{HeaderMap, HeaderValue, Method, request::Parts};

/// What the browser does with the response to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// It shows the response as a page in a tab.
    Page,
    /// It uses the response as part of a page or in a script: an image, a stream, a frame, a fragment.
    Part,
    /// It doesn't show the response, or not yet: to a `HEAD`, or a page that is prefetched.
    Unseen,
}

/// Headers of requests for a page that may never be shown. Turbo can't set the first, and sends the second.
const SPECULATION: [&str; 5] = ["sec-purpose", "x-sec-purpose", "purpose", "x-purpose", "x-moz"];

/// Headers of scripts that put the response into the current page.
const FRAGMENTS: [&str; 4] = ["hx-request", "turbo-frame", "x-up-version", "x-pjax"];

impl Visit {
    /// Decides by Fetch Metadata (W3C), which browsers send over TLS and to localhost, and otherwise by `Accept`.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        let sent = |name: &str| headers.get(name).map(HeaderValue::as_bytes).filter(|value| !value.is_empty());
        if method == Method::HEAD || SPECULATION.iter().any(|name| sent(name).is_some_and(is_speculative)) {
            return Self::Unseen;
        }
        // A script that follows a link instead of the browser sends `hx-boosted`.
        let is_fragment = FRAGMENTS.iter().any(|name| sent(name).is_some()) && sent("hx-boosted").is_none();
        let is_script = sent("x-requested-with") == Some(b"XMLHttpRequest");
        let is_top_level = sent("sec-fetch-mode").is_none_or(|mode| mode == b"navigate")
            && sent("sec-fetch-dest").is_none_or(|dest| dest == b"document");
        let accepts_html = sent("accept").is_some_and(|accept| contains(accept, b"text/html"));
        let is_page = sent("hx-boosted").is_some() || (is_top_level && accepts_html);
        if is_page && !is_fragment && !is_script { Self::Page } else { Self::Part }
    }

    /// Returns whether a person opens a page, so that they can be redirected back to it.
    pub fn is_page_opened(parts: &Parts) -> bool {
        parts.method == Method::GET && Self::of(&parts.method, &parts.headers) == Self::Page
    }
}

fn is_speculative(purpose: &[u8]) -> bool {
    [&b"prefetch"[..], b"prerender", b"preview"].iter().any(|word| contains(purpose, word))
}

fn contains(value: &[u8], word: &[u8]) -> bool {
    value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    const NAVIGATION: (&str, &str) = ("sec-fetch-mode", "navigate");

    fn visit(method: Method, headers: &[(&'static str, &'static str)]) -> Visit {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Visit::of(&method, &headers.iter().map(header).collect())
    }

    #[test]
    fn a_response_that_is_shown_in_a_tab_is_a_page() {
        for headers in [
            &[BROWSER][..],
            &[BROWSER, NAVIGATION],
            &[BROWSER, NAVIGATION, ("sec-fetch-dest", "document")],
            &[BROWSER, ("x-requested-with", "com.example.app")],
            &[("accept", "*/*"), ("hx-request", "true"), ("hx-boosted", "true"), ("sec-fetch-mode", "cors")],
        ] {
            assert_eq!(visit(Method::GET, headers), Visit::Page, "{headers:?}");
            assert_eq!(visit(Method::POST, headers), Visit::Page, "{headers:?}");
            assert_eq!(visit(Method::HEAD, headers), Visit::Unseen, "{headers:?}");
        }
    }

    #[test]
    fn pictures_streams_frames_and_fragments_are_parts_of_a_page() {
        for headers in [
            &[][..],
            &[("accept", "*/*")],
            &[("accept", "application/json")],
            &[("accept", "image/avif,image/webp,*/*;q=0.8")],
            &[("accept", "text/css,*/*;q=0.1")],
            &[("accept", "text/event-stream")],
            &[("accept", "*/*"), ("hx-request", "true")],
            &[BROWSER, ("hx-request", "true")],
            &[BROWSER, ("turbo-frame", "cart")],
            &[BROWSER, ("x-requested-with", "XMLHttpRequest")],
            &[BROWSER, ("sec-fetch-mode", "cors")],
            &[BROWSER, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
            &[BROWSER, NAVIGATION, ("sec-fetch-dest", "iframe")],
            &[BROWSER, ("sec-fetch-dest", "iframe")],
            &[BROWSER, NAVIGATION, ("sec-fetch-dest", "object")],
            &[("accept", "application/json"), NAVIGATION],
        ] {
            assert_eq!(visit(Method::GET, headers), Visit::Part, "{headers:?}");
        }
    }

    #[test]
    fn a_prefetched_page_is_unseen() {
        for speculation in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "prefetch;anonymous-client-ip"),
            ("x-sec-purpose", "prefetch"),
            ("purpose", "prefetch"),
            ("x-purpose", "preview"),
            ("x-moz", "Prefetch"),
        ] {
            assert_eq!(visit(Method::GET, &[BROWSER, NAVIGATION, speculation]), Visit::Unseen, "{speculation:?}");
        }
    }
}
