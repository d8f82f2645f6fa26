//! Settings that can be judged without asking anybody.

use std::net::IpAddr;

use ipnet::IpNet;
use sigra::{Config, SecretKeyBase};
use url::Url;

use super::{Finding, environment::Environment};
use crate::manifest::Manifest;

/// So few different characters are no secret, however long.
const VARIETY: usize = 16;

/// Times in seconds.
const TIMES: [&str; 7] = [
    "SESSION_TTL",
    "SESSION_IDLE_TIMEOUT",
    "SESSION_REISSUE_AGE",
    "SUDO_TTL",
    "RESET_TTL",
    "CONFIRM_TTL",
    "DELETION_GRACE",
];

pub fn check(manifest: &Manifest, env: &Environment) -> Vec<Finding> {
    vec![environment(env), secret(env), address(env), cookies(manifest, env), proxies(env), limits(env), times(env)]
}

fn environment(env: &Environment) -> Finding {
    match env.get("APP_ENV").as_deref() {
        None => Finding::good("environment", "APP_ENV is not set: dev"),
        Some(name @ ("dev" | "test" | "prod")) => Finding::good("environment", format!("APP_ENV is {name}")),
        Some(other) => Finding::bad("environment", format!("APP_ENV is `{other}`"), "set it to dev, test or prod"),
    }
}

fn secret(env: &Environment) -> Finding {
    const MEND: &str = "SECRET_KEY_BASE=$(cargo sigra gen secret)";
    let Some(secret) = env.get("SECRET_KEY_BASE") else {
        return match env.is_prod() {
            true => Finding::bad("secret", "SECRET_KEY_BASE is not set", MEND),
            false => Finding::good("secret", "SECRET_KEY_BASE is not set: outside of prod one is made"),
        };
    };
    let mut letters: Vec<char> = secret.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    match SecretKeyBase::new(secret) {
        Err(error) => Finding::bad("secret", error.to_string(), MEND),
        Ok(_) if letters.len() < VARIETY => {
            Finding::bad("secret", format!("SECRET_KEY_BASE has only {} different characters", letters.len()), MEND)
        }
        Ok(_) => Finding::good("secret", "SECRET_KEY_BASE is long enough"),
    }
}

fn address(env: &Environment) -> Finding {
    const MEND: &str = "set it to the address that users type, such as https://app.example.com";
    let Some(text) = env.get("PUBLIC_URL") else {
        return match env.is_prod() {
            true => Finding::bad("address", "PUBLIC_URL is not set", MEND),
            false => Finding::good("address", "PUBLIC_URL is not set: links lead to where it listens"),
        };
    };
    match Url::parse(&text) {
        Ok(url) if !url.has_host() || url.path() != "/" || url.query().is_some() => {
            Finding::bad("address", format!("PUBLIC_URL is `{text}`, which has a path or no host"), MEND)
        }
        Ok(url) if env.is_prod() && url.scheme() != "https" => Finding::bad(
            "address",
            format!("PUBLIC_URL is `{text}`, and browsers send the cookies by https alone"),
            MEND,
        ),
        Ok(url) if !url.scheme().starts_with("http") => {
            Finding::bad("address", format!("PUBLIC_URL is `{text}`, which is no web address"), MEND)
        }
        Ok(_) => Finding::good("address", format!("links lead to {text}")),
        Err(error) => Finding::bad("address", format!("PUBLIC_URL is `{text}`: {error}"), MEND),
    }
}

fn cookies(manifest: &Manifest, env: &Environment) -> Finding {
    let Some(domain) = env.get("COOKIE_DOMAIN") else {
        return Finding::good("cookies", "COOKIE_DOMAIN is not set: cookies are this host's alone");
    };
    let config = SecretKeyBase::generate().map(|secret| Config::new(&manifest.app.ident(), secret));
    let checked = config.map(|config| config.secure(env.is_prod()).cookie_domain(Some(domain.clone())).check());
    match checked {
        Err(error) => return Finding::bad("cookies", error.to_string(), "ask again: the system gives no random bytes"),
        Ok(Err(error)) => {
            return Finding::bad("cookies", error.to_string(), "name a domain of your own, without a scheme");
        }
        Ok(Ok(())) => {}
    }
    let host =
        env.get("PUBLIC_URL").and_then(|url| Url::parse(&url).ok()).and_then(|url| url.domain().map(str::to_owned));
    let is_below = |host: &String| *host == domain || host.ends_with(&format!(".{domain}"));
    match host {
        Some(host) if !is_below(&host) => Finding::bad(
            "cookies",
            format!(
                "COOKIE_DOMAIN is `{domain}`, and PUBLIC_URL's host `{host}` is not in it: browsers refuse the cookies"
            ),
            "set both to the same domain, or leave COOKIE_DOMAIN out",
        ),
        _ => Finding::good("cookies", format!("all hosts below {domain} share the log-in")),
    }
}

fn proxies(env: &Environment) -> Finding {
    const MEND: &str = "set TRUSTED_PROXIES to the networks of your proxies, such as 10.0.0.0/8";
    let list = env.get("TRUSTED_PROXIES").unwrap_or_default();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let networks: Vec<Result<IpNet, &str>> = names.map(|name| name.parse().map_err(|_| name)).collect();
    if let Some(Err(name)) = networks.iter().find(|network| network.is_err()) {
        return Finding::bad("proxies", format!("TRUSTED_PROXIES has `{name}`, which is no network"), MEND);
    }
    let networks: Vec<IpNet> = networks.into_iter().flatten().collect();
    if networks.iter().any(|network| network.prefix_len() == 0) {
        return Finding::bad(
            "proxies",
            "TRUSTED_PROXIES believes everybody: whoever asks can choose their address",
            MEND,
        );
    }
    let is_local = env.get("HOST").is_none_or(|host| host.parse().is_ok_and(|host: IpAddr| host.is_loopback()));
    match networks.len() {
        0 if env.is_prod() && is_local => Finding::warning(
            "proxies",
            "it listens on this machine alone, and believes no proxy: all users seem to have one address",
            "TRUSTED_PROXIES=127.0.0.1/32, if the proxy is on this machine",
        ),
        0 => Finding::good("proxies", "no proxy is believed"),
        1 => Finding::good("proxies", format!("{} is believed", networks[0])),
        count => Finding::good("proxies", format!("{count} networks are believed")),
    }
}

fn limits(env: &Environment) -> Finding {
    match env.get("RATE_LIMITS").as_deref() {
        None | Some("on") => Finding::good("limits", "attempts to log in are limited"),
        Some("off") if !env.is_prod() => Finding::good("limits", "RATE_LIMITS is off, which prod would refuse"),
        Some("off") => Finding::bad("limits", "RATE_LIMITS is off: passwords can be guessed", "leave RATE_LIMITS out"),
        Some(other) => Finding::bad("limits", format!("RATE_LIMITS is `{other}`"), "set it to on or off"),
    }
}

fn times(env: &Environment) -> Finding {
    let is_good = |value: &str| value.parse::<u64>().is_ok_and(|seconds| seconds > 0);
    let given = TIMES.iter().filter_map(|name| Some((name, env.get(name)?)));
    match given.into_iter().find(|(_, value)| !is_good(value)) {
        Some((name, value)) => {
            Finding::bad("times", format!("{name} is `{value}`"), "give a whole number of seconds, at least 1")
        }
        None => Finding::good("times", "all are whole seconds, or left as they are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::Status,
        generate::{Files, Plan},
    };

    fn of(settings: &[(&str, &str)], name: &str) -> Finding {
        let manifest = Manifest::of(&Plan::default_for_tests(), &Files::new());
        let findings = check(&manifest, &Environment::of(settings));
        findings.into_iter().find(|finding| finding.check == name).expect("the check")
    }

    const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrst";

    #[test]
    fn development_needs_no_settings() {
        let manifest = Manifest::of(&Plan::default_for_tests(), &Files::new());
        let findings = check(&manifest, &Environment::of(&[]));
        assert!(findings.iter().all(|finding| finding.status == Status::Good), "{findings:?}");
        assert_eq!(findings.len(), 7);
    }

    #[test]
    fn what_is_wrong_is_found() {
        let prod = ("APP_ENV", "prod");
        let short = "x".repeat(63);
        let monotonous = "ab".repeat(40);
        for (settings, name, said) in [
            (&[("APP_ENV", "production")][..], "environment", "`production`"),
            (&[prod], "secret", "not set"),
            (&[("SECRET_KEY_BASE", &*short)], "secret", "63"),
            (&[("SECRET_KEY_BASE", &*monotonous)], "secret", "2 different"),
            (&[prod], "address", "not set"),
            (&[prod, ("PUBLIC_URL", "http://a.com")], "address", "https alone"),
            (&[("PUBLIC_URL", "https://a.com/app")], "address", "a path"),
            (&[("PUBLIC_URL", "ftp://a.com")], "address", "no web address"),
            (&[("PUBLIC_URL", "a.com")], "address", "`a.com`"),
            (&[("COOKIE_DOMAIN", "co.uk")], "cookies", "co.uk"),
            (&[("COOKIE_DOMAIN", "a.com"), ("PUBLIC_URL", "https://b.com")], "cookies", "`b.com` is not in it"),
            (&[("COOKIE_DOMAIN", "a.com"), ("PUBLIC_URL", "https://ba.com")], "cookies", "`ba.com` is not in it"),
            (&[("TRUSTED_PROXIES", "10.0.0.0/8, proxy")], "proxies", "`proxy`"),
            (&[("TRUSTED_PROXIES", "::/0")], "proxies", "everybody"),
            (&[prod, ("RATE_LIMITS", "off")], "limits", "guessed"),
            (&[("SUDO_TTL", "0")], "times", "SUDO_TTL is `0`"),
            (&[("SESSION_TTL", "a week")], "times", "`a week`"),
        ] {
            let finding = of(settings, name);
            assert_eq!(finding.status, Status::Bad, "{finding:?}");
            assert!(finding.found.contains(said) && finding.mend.is_some(), "{finding:?}");
            assert!(!finding.found.contains(&short) && !finding.found.contains(&monotonous), "no secret is shown");
        }
    }

    #[test]
    fn what_is_right_is_left_alone() {
        for (settings, name) in [
            (&[("APP_ENV", "prod"), ("SECRET_KEY_BASE", SECRET)][..], "secret"),
            (&[("APP_ENV", "prod"), ("PUBLIC_URL", "https://app.a.com")], "address"),
            (&[("COOKIE_DOMAIN", "a.com"), ("PUBLIC_URL", "https://app.a.com")], "cookies"),
            (&[("TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8")], "proxies"),
            (&[("APP_ENV", "prod"), ("HOST", "0.0.0.0")], "proxies"),
            (&[("RATE_LIMITS", "off")], "limits"),
            (&[("SUDO_TTL", "600")], "times"),
        ] {
            let finding = of(settings, name);
            assert_eq!(finding.status, Status::Good, "{finding:?}");
        }
        assert_eq!(of(&[("APP_ENV", "prod")], "proxies").status, Status::Warning);
    }
}
