//! The client of a request: its IP address and its browser.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::extract::ConnectInfo;
use http::{HeaderMap, HeaderValue, Request, header};
use ipnet::IpNet;
use woothee::parser::Parser;

/// The maximum length of a user agent that is kept, in bytes.
const MAX_USER_AGENT: usize = 512;

/// How often an unreadable header is logged at most. A proxy that sends one does so with every request.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The IP address and the user agent of a request, as a session and an audit event keep them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The IP address, if the server knows it.
    pub ip: Option<IpAddr>,
    /// The header `User-Agent`, cut to 512 bytes.
    pub user_agent: Option<String>,
}

impl Client {
    /// Creates a client, for work outside of a request.
    ///
    /// ```
    /// let client = sigra::Client::new([192, 0, 2, 1], "curl/8.5");
    /// assert_eq!(client.user_agent.as_deref(), Some("curl/8.5"));
    /// ```
    #[must_use]
    pub fn new(ip: impl Into<IpAddr>, user_agent: impl Into<String>) -> Self {
        Self { ip: Some(ip.into()), user_agent: Some(user_agent.into()) }
    }
}

/// The client of a request, read as far as that costs nothing, because most requests never need it.
#[derive(Clone)]
pub(crate) struct Sender {
    pub ip: Option<IpAddr>,
    user_agent: Option<HeaderValue>,
}

impl Sender {
    /// Reads the sender from a request.
    ///
    /// The IP address is the peer's ([`ConnectInfo`]). If the peer is a trusted proxy, it is the last one in
    /// `X-Forwarded-For` that isn't a trusted proxy's. What an untrusted peer claims is ignored.
    pub fn of<B>(request: &Request<B>, trusted_proxies: &[IpNet]) -> Self {
        let peer =
            request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
        Self {
            ip: peer.map(|peer| forwarded_for(peer, request.headers(), trusted_proxies)),
            user_agent: request.headers().get(header::USER_AGENT).cloned(),
        }
    }

    pub fn client(&self) -> Client {
        Client {
            ip: self.ip,
            user_agent: self.user_agent.as_ref().map(|value| {
                // Decode only what is kept, and the rest of a character that the limit may cut.
                let bytes = &value.as_bytes()[..value.len().min(MAX_USER_AGENT + 4)];
                let lossy = String::from_utf8_lossy(bytes);
                lossy[..lossy.floor_char_boundary(MAX_USER_AGENT)].to_owned()
            }),
        }
    }
}

/// How many addresses of a header are read at most. Only an attacker would send more.
const MAX_HOPS: usize = 32;

fn forwarded_for(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted_proxies.iter().any(|network| network.contains(ip));
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let mut hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')).take(MAX_HOPS);
    let mut client = peer;
    while is_trusted(&client) {
        let Some(hop) = hops.next() else { break };
        match parse_hop(hop) {
            Some(ip) => client = ip,
            None => {
                report_unreadable(client);
                break;
            }
        }
    }
    client
}

/// Parses an IP address as proxies write it: by itself, with a port, or in brackets, which IPv6 needs before a port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let bracketed = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let alone = bracketed.unwrap_or(hop).parse::<IpAddr>().ok();
    let ip = alone.or_else(|| hop.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))?;
    Some(ip.to_canonical())
}

/// Logs that a header can't be read, at most once a minute. The value isn't logged, because it can be anything.
fn report_unreadable(proxy: IpAddr) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
        *last = Some(Instant::now());
        tracing::warn!(
            target: "sigra", %proxy,
            "a trusted proxy's X-Forwarded-For can't be read, so the proxy counts as the client: configure the proxy to \
             append IP addresses"
        );
    }
}

/// A browser and its operating system, by names that users know.
///
/// ```
/// use sigra::client::Device;
///
/// let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// assert_eq!(Device::from_user_agent(firefox).to_string(), "Firefox on Linux");
/// assert_eq!(Device::from_user_agent("").to_string(), "Unknown browser");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device<'a> {
    /// The browser's name.
    pub browser: Option<&'a str>,
    /// The operating system's name.
    pub system: Option<&'a str>,
}

impl<'a> Device<'a> {
    /// Parses a user agent. Use the names only for display, because a browser can claim any.
    #[must_use]
    pub fn from_user_agent(user_agent: &'a str) -> Self {
        let known =
            |name: &'a str| Some(name).filter(|name| !name.is_empty() && *name != woothee::woothee::VALUE_UNKNOWN);
        match Parser::new().parse(user_agent) {
            Some(found) => Self { browser: known(found.name), system: known(found.os).map(system_name) },
            None => Self { browser: None, system: None },
        }
    }
}

fn system_name(os: &str) -> &str {
    match os {
        "Mac OSX" => "macOS",
        "Windows 10" | "Windows 8.1" | "Windows 8" | "Windows 7" => "Windows",
        "ChromeOS" => "ChromeOS",
        other => other,
    }
}

impl std::fmt::Display for Device<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.browser, self.system) {
            (Some(browser), Some(system)) => write!(f, "{browser} on {system}"),
            (Some(browser), None) => f.write_str(browser),
            (None, Some(system)) => write!(f, "Unknown browser on {system}"),
            (None, None) => f.write_str("Unknown browser"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_ip(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut request = Request::builder();
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        let mut request = request.body(()).expect("a request");
        let peer: SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(peer));
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().expect("a network")).collect();
        Sender::of(&request, &trusted).ip.expect("there is a peer").to_string()
    }

    #[test]
    fn invariant_14_forwarded_headers_are_ignored_unless_the_peer_is_trusted() {
        assert_eq!(client_ip("203.0.113.7:1", &["10.0.0.1"], &[]), "203.0.113.7");
        assert_eq!(client_ip("203.0.113.7:1", &["10.0.0.1"], &["192.0.2.0/24"]), "203.0.113.7");
        assert_eq!(client_ip("192.0.2.1:1", &["203.0.113.9"], &["192.0.2.0/24"]), "203.0.113.9");
    }

    #[test]
    fn invariant_14_only_what_trusted_proxies_appended_counts() {
        let trusted = &["192.0.2.0/24"];
        assert_eq!(client_ip("192.0.2.1:1", &["6.6.6.6, 203.0.113.9"], trusted), "203.0.113.9");
        assert_eq!(client_ip("192.0.2.1:1", &["6.6.6.6", "203.0.113.9, 192.0.2.2"], trusted), "203.0.113.9");
        assert_eq!(client_ip("192.0.2.1:1", &["203.0.113.9, nonsense"], trusted), "192.0.2.1");
        assert_eq!(client_ip("[::ffff:192.0.2.1]:1", &["2001:db8::1"], trusted), "2001:db8::1");
    }

    #[test]
    fn invariant_14_clients_are_distinguished_in_every_format_of_a_proxy() {
        let trusted = &["192.0.2.0/24"];
        for (written, client) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:1", "203.0.113.9"),
            ("\t203.0.113.9 ", "203.0.113.9"),
        ] {
            assert_eq!(client_ip("192.0.2.1:1", &[written], trusted), client, "{written:?}");
            assert_eq!(client_ip("192.0.2.1:1", &[&format!("6.6.6.6, {written},192.0.2.7:1")], trusted), client);
        }
        for nonsense in ["", "203.0.113.9:", "203.0.113.9:99999", "2001:db8::1]", "[203.0.113.9", "unknown", "_hidden"]
        {
            assert_eq!(client_ip("192.0.2.1:1", &[nonsense], trusted), "192.0.2.1", "{nonsense:?}");
        }
    }

    /// nginx appends to the value that the client sent.
    #[test]
    fn invariant_14_no_byte_of_a_client_hides_its_address() {
        for before in [&b"\xe9, "[..], b"\xff\xfe,", b"\x80, 6.6.6.6, \xc3, "] {
            let written = [before, b"203.0.113.9"].concat();
            let value = HeaderValue::from_bytes(&written).expect("obs-text");
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static("x-forwarded-for"), value)]);
            let trusted = ["192.0.2.0/24".parse().expect("a network")];
            assert_eq!(forwarded_for([192, 0, 2, 1].into(), &headers, &trusted).to_string(), "203.0.113.9");
        }
    }

    #[test]
    fn a_long_list_of_proxies_costs_no_more_than_a_short_one() {
        let proxies = "192.0.2.2,".repeat(100_000);
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-forwarded-for"),
            format!("203.0.113.9,{proxies}192.0.2.2").parse().expect("a value"),
        )]);
        let trusted = ["192.0.2.0/24".parse().expect("a network")];
        assert_eq!(forwarded_for([192, 0, 2, 1].into(), &headers, &trusted).to_string(), "192.0.2.2");
    }

    #[test]
    fn devices_have_the_names_that_people_use() {
        for (user_agent, device) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            ("\u{0}\u{fffd}<script>", "Unknown browser"),
        ] {
            assert_eq!(Device::from_user_agent(user_agent).to_string(), device);
        }
    }
}
