//! One keep-alive connection, and what a browser sends on it.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Result;

/// No single answer is waited for any longer.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The user whom the servers of the comparison register for a storm of logins.
const SIGN_UP: &str = r#"{"name":"Storm","email":"storm@example.com","password":"correct horse battery staple"}"#;
const SIGN_IN: &str = r#"{"email":"storm@example.com","password":"correct horse battery staple"}"#;

/// The user that the application starts with in development.
const DEMO_LOGIN: &str = "user%5Bemail%5D=demo%40example.com&user%5Bpassword%5D=correct+horse+battery+staple";
const NOBODYS_LOGIN: &str = "user%5Bemail%5D=nobody%40example.com&user%5Bpassword%5D=correct+horse+battery+staple";

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    /// `name=value` of the cookies that it sets.
    pub cookies: Vec<String>,
    pub body: Bytes,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string() })
    }

    pub async fn get(&mut self, path: &str, cookies: Option<&str>) -> Result<Answer> {
        let mut request = Request::get(path).header(HOST, &self.host).header("accept", "text/html");
        if let Some(cookies) = cookies {
            request = request.header(COOKIE, cookies);
        }
        self.send(request.body(Full::default())?).await
    }

    /// Asks as a program does, which names no type that it accepts, with one header more, if any: `Name: value`.
    pub async fn get_with_header(&mut self, path: &str, header: Option<&str>) -> Result<Answer> {
        let mut request = Request::get(path).header(HOST, &self.host);
        if let Some((name, value)) = header.and_then(|header| header.split_once(": ")) {
            request = request.header(name, value);
        }
        self.send(request.body(Full::default())?).await
    }

    /// Sends a form with nothing in it.
    pub async fn post(&mut self, path: &str) -> Result<Answer> {
        self.send(Request::post(path).header(HOST, &self.host).body(Full::default())?).await
    }

    /// The same, as a user who is logged in.
    pub async fn post_with_cookies(&mut self, path: &str, cookies: &str) -> Result<Answer> {
        let request = Request::post(path).header(HOST, &self.host).header(COOKIE, cookies);
        self.send(request.body(Full::default())?).await
    }

    /// Submits the log-in form as the demo user, in a browser of its own.
    pub async fn log_in(&mut self) -> Result<Answer> {
        self.submit_log_in(DEMO_LOGIN, "").await
    }

    /// Submits the log-in form as the demo user, in a browser that keeps these cookies.
    pub async fn log_in_again(&mut self, cookies: &str) -> Result<Answer> {
        self.submit_log_in(DEMO_LOGIN, cookies).await
    }

    /// Submits the log-in form as somebody who is not registered.
    pub async fn log_in_as_nobody(&mut self) -> Result<Answer> {
        self.submit_log_in(NOBODYS_LOGIN, "").await
    }

    /// Submits a form with an address, and a password if there is one.
    pub async fn submit(&mut self, path: &str, email: &str, password: &str) -> Result<Answer> {
        let email = email.replace('@', "%40");
        let password = if password.is_empty() { String::new() } else { format!("&user%5Bpassword%5D={password}") };
        self.submit_form(path, format!("user%5Bemail%5D={email}{password}").into(), "").await
    }

    /// Registers a user with a password, at a server of the comparison.
    pub async fn sign_up(&mut self) -> Result<Answer> {
        self.post_json("/sign-up/email", SIGN_UP).await
    }

    /// Logs in the user who has registered.
    pub async fn sign_in(&mut self) -> Result<Answer> {
        self.post_json("/sign-in/email", SIGN_IN).await
    }

    async fn post_json(&mut self, path: &str, json: &'static str) -> Result<Answer> {
        let request = Request::post(path)
            .header(HOST, &self.host)
            .header(ORIGIN, format!("http://{}", self.host))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(json))?;
        self.send(request).await
    }

    async fn submit_log_in(&mut self, form: &'static str, cookies: &str) -> Result<Answer> {
        self.submit_form("/users/log-in", form.into(), cookies).await
    }

    async fn submit_form(&mut self, path: &str, form: Bytes, cookies: &str) -> Result<Answer> {
        let mut request = Request::post(path)
            .header(HOST, &self.host)
            .header(ORIGIN, format!("http://{}", self.host))
            .header("sec-fetch-site", "same-origin")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        self.send(request.body(Full::from(form))?).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let exchange = async {
            self.sender.ready().await?;
            Answer::read(self.sender.send_request(request).await?).await
        };
        tokio::time::timeout(TIMEOUT, exchange).await?
    }
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Result<Self> {
        let (parts, body) = response.into_parts();
        let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let pair = |cookie: String| cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self {
            status: parts.status.as_u16(),
            location: parts.headers.get(LOCATION).map(text),
            cookies: parts.headers.get_all(SET_COOKIE).iter().map(text).map(pair).collect(),
            body: body.collect().await?.to_bytes(),
        })
    }

    /// What a browser sends back of the cookies that it sets. A cookie without a value is deleted.
    #[must_use]
    pub fn kept_cookies(&self) -> String {
        let kept: Vec<&str> = self.cookies.iter().map(String::as_str).filter(|pair| !pair.ends_with('=')).collect();
        kept.join("; ")
    }

    /// The cookie that a browser is known by.
    #[must_use]
    pub fn device_cookie(&self) -> Option<&str> {
        self.cookies.iter().map(String::as_str).find(|pair| pair.contains("_device="))
    }

    /// Whether it leads a user who has just logged in away from the log-in page.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        self.status == 303 && self.location.as_deref() == Some("/")
    }

    /// Whether it leads back to the log-in page.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.status == 303 && self.location.as_deref() == Some("/users/log-in")
    }
}

/// Logs in, and gives the cookies to send from then on.
pub async fn logged_in_cookies(address: SocketAddr) -> Result<String> {
    let answer = Connection::open(address).await?.log_in().await?;
    if !answer.is_logged_in() {
        return Err(format!("the demo user can't log in: {} to {:?}", answer.status, answer.location).into());
    }
    // The message of welcome is shown once, on a page that is not measured.
    let cookies: Vec<String> = answer.cookies.into_iter().filter(|cookie| !cookie.contains(".flash=")).collect();
    let cookies = cookies.join("; ");
    let page = Connection::open(address).await?.get("/dashboard", Some(&cookies)).await?;
    if page.status != 200 {
        return Err(format!("the dashboard answers {} after a log-in", page.status).into());
    }
    Ok(cookies)
}
