//! Requests to a router in this process, without a network.

use axum::{
    Router,
    body::Body,
    http::{
        HeaderValue, Method, Request, Response, Uri,
        header::{AUTHORIZATION, COOKIE, HOST, SET_COOKIE},
    },
};
use http_body_util::BodyExt as _;
use sigra::{config::DeviceBound, testing::DeviceKey};
use tower::ServiceExt;

use crate::Result;

/// A request that is sent many times.
#[derive(Clone, Debug)]
pub struct Repeated {
    method: Method,
    uri: Uri,
    cookies: Option<HeaderValue>,
    authorization: Option<HeaderValue>,
}

impl Repeated {
    /// A request without cookies.
    pub fn new(method: Method, path: &str) -> Result<Self> {
        Ok(Self { method, uri: path.parse()?, cookies: None, authorization: None })
    }

    #[must_use]
    pub fn with_cookies(mut self, cookies: HeaderValue) -> Self {
        self.cookies = Some(cookies);
        self
    }

    #[must_use]
    pub fn with_authorization(mut self, authorization: HeaderValue) -> Self {
        self.authorization = Some(authorization);
        self
    }

    /// Sends it. Fails unless the response is 200.
    pub async fn send(&self, router: &Router) -> Result<Response<Body>> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(HOST, HeaderValue::from_static("127.0.0.1"));
        if let Some(cookies) = &self.cookies {
            request.headers_mut().insert(COOKIE, cookies.clone());
        }
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let response = router.clone().oneshot(request).await?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(format!("{} {}: the response is {status}, not 200", self.method, self.uri).into()),
        }
    }
}

/// Logs in the first users, and returns a `GET /me` for each.
pub async fn logged_in(router: &Router, users: u32) -> Result<Vec<Repeated>> {
    let mut requests = Vec::new();
    for number in 1..=users {
        let cookies = cookies_of(router, &format!("/log-in/{number}")).await?;
        requests.push(Repeated::new(Method::GET, "/me")?.with_cookies(cookies));
    }
    Ok(requests)
}

/// Logs in the first users, creates a token for each, and returns a `GET /bearer/me` with it.
pub async fn with_tokens(router: &Router, users: u32) -> Result<Vec<Repeated>> {
    let mut requests = Vec::new();
    for number in 1..=users {
        let cookies = cookies_of(router, &format!("/log-in/{number}")).await?;
        let created = Repeated::new(Method::POST, "/tokens")?.with_cookies(cookies).send(router).await?;
        let token = created.into_body().collect().await?.to_bytes();
        let authorization = HeaderValue::from_bytes(&[b"Bearer ", &token[..]].concat())?;
        requests.push(Repeated::new(Method::GET, "/bearer/me")?.with_authorization(authorization));
    }
    Ok(requests)
}

/// The same, with sessions that are bound to a device.
pub async fn bound(router: &Router, users: u32) -> Result<Vec<Repeated>> {
    let mut requests = Vec::new();
    for number in 1..=users {
        let response = Repeated::new(Method::POST, &format!("/log-in/{number}"))?.send(router).await?;
        let offer = response.headers().get("secure-session-registration").ok_or("no offer to bind the session")?;
        let challenge = offer.to_str()?.split("challenge=\"").nth(1).and_then(|rest| rest.split('"').next());
        let jwt = DeviceKey::generate().registration(challenge.ok_or("no challenge in the offer")?);
        let mut cookies = cookies_in(&response)?;
        let register = Request::post(DeviceBound::PATH)
            .header(HOST, "127.0.0.1")
            .header(COOKIE, cookies.join("; "))
            .header("secure-session-response", jwt)
            .body(Body::empty())?;
        let registered = router.clone().oneshot(register).await?;
        cookies.extend(cookies_in(&registered)?);
        if registered.status() != 200 || cookies.len() < 2 {
            return Err(format!("the session was not bound: {}", registered.status()).into());
        }
        requests.push(Repeated::new(Method::GET, "/me")?.with_cookies(cookies.join("; ").parse()?));
    }
    Ok(requests)
}

/// Sends a `POST`, and returns the cookies that its response sets, as a browser sends them: not those that it deletes.
pub async fn cookies_of(router: &Router, path: &str) -> Result<HeaderValue> {
    let response = Repeated::new(Method::POST, path)?.send(router).await?;
    Ok(cookies_in(&response)?.join("; ").parse()?)
}

/// Returns the cookies that a response sets, without those that it deletes.
fn cookies_in(response: &Response<Body>) -> Result<Vec<String>> {
    let mut cookies = Vec::new();
    for cookie in response.headers().get_all(SET_COOKIE) {
        let pair = cookie.to_str()?.split(';').next();
        cookies.extend(pair.filter(|pair| !pair.ends_with('=')).map(str::to_owned));
    }
    Ok(cookies)
}
