//! Checks of settings without connecting to anything.

use std::net::IpAddr;

use ipnet::IpNet;
use sigra::{Config, SecretKeyBase};
use url::{Host, Url};

use super::{finding::Finding, variables::Variables};
use crate::{manifest::Manifest, plan::choices::Place};

/// The longest time that the application accepts, in seconds: 10 years.
const LONGEST: u64 = 10 * 365 * 24 * 60 * 60;
const TIMES: [&str; 8] = [
    "SESSION_TTL",
    "SESSION_IDLE_TIMEOUT",
    "SESSION_REISSUE_AGE",
    "SUDO_TTL",
    "RESET_TTL",
    "CONFIRM_TTL",
    "AUDIT_RETENTION",
    "BINDING_TTL",
];
/// Times that can also be 0.
const TIMES_OR_NONE: [&str; 2] = ["UNCONFIRMED_TTL", "DELETION_GRACE"];

pub fn check(manifest: &Manifest, env: &Variables) -> Vec<Finding> {
    vec![
        app_env(manifest, env),
        secret(env),
        address(env),
        cookies(manifest, env),
        proxies(env),
        limits(env),
        times(env),
    ]
}

fn app_env(manifest: &Manifest, env: &Variables) -> Finding {
    let is_installed = manifest.choices.place == Place::Existing;
    let exposed = if is_installed { "read all emails" } else { "log in as the demo user" };
    match (env.kind(), reached_from_elsewhere(env)) {
        (None, _) if is_installed => Finding::bad(
            "environment",
            "APP_ENV is not set: accounts do not start",
            "APP_ENV=dev to develop, APP_ENV=test in tests, or APP_ENV=prod to serve others",
        ),
        (None, Some(reached)) => Finding::bad(
            "environment",
            format!("APP_ENV is not set, which means dev, but {reached}: the application does not start"),
            "APP_ENV=prod, or APP_ENV=dev if this is for development",
        ),
        (Some(Ok("dev")), Some(reached)) => Finding::warning(
            "environment",
            format!("APP_ENV is dev, but {reached}: anyone who can connect can {exposed}"),
            "APP_ENV=prod, unless this is for development",
        ),
        (None, None) => Finding::good("environment", "APP_ENV is not set: dev"),
        (Some(Ok(name)), _) => Finding::good("environment", format!("APP_ENV is {name}")),
        (Some(Err(other)), _) => {
            Finding::bad("environment", format!("APP_ENV is `{other}`"), "set it to dev, test or prod")
        }
    }
}

/// Returns the setting that makes the application reachable from other machines, or over TLS.
fn reached_from_elsewhere(env: &Variables) -> Option<String> {
    let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    let is_here = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => is_loopback(ip.into()),
        Some(Host::Ipv6(ip)) => is_loopback(ip.into()),
        None => false,
    };
    let url = env.get("PUBLIC_URL").and_then(|url| Url::parse(&url).ok());
    let host = env.get("HOST").and_then(|host| host.parse().ok());
    match (url, host) {
        (Some(url), _) if url.scheme() == "https" || !is_here(&url) => {
            Some(format!("PUBLIC_URL is {}", url.origin().ascii_serialization()))
        }
        (_, Some(host)) if !is_loopback(host) => Some(format!("HOST is {host}")),
        _ => None,
    }
}

fn secret(env: &Variables) -> Finding {
    const FIX: &str = "SECRET_KEY_BASE=$(cargo sigra gen secret)";
    const PREDICTABLE: &str = "SECRET_KEY_BASE is predictable: it has too few different characters, or repeats itself";
    let Some(secret) = env.get("SECRET_KEY_BASE") else {
        return if env.is_prod() {
            Finding::bad("secret", "SECRET_KEY_BASE is not set", FIX)
        } else {
            Finding::good("secret", "SECRET_KEY_BASE is not set: outside prod, one is generated")
        };
    };
    match SecretKeyBase::new(secret) {
        Err(error) => Finding::bad("secret", format!("SECRET_KEY_BASE is too short: {error}"), FIX),
        Ok(secret) if !secret.is_predictable() => Finding::good("secret", "SECRET_KEY_BASE is long enough"),
        Ok(_) if env.is_prod() => Finding::bad("secret", PREDICTABLE, FIX),
        Ok(_) => Finding::warning("secret", format!("{PREDICTABLE}. Prod refuses it"), FIX),
    }
}

fn address(env: &Variables) -> Finding {
    const FIX: &str = "set it to the URL that users open, such as https://app.example.com";
    let Some(text) = env.get("PUBLIC_URL") else {
        return if env.is_prod() {
            Finding::bad("address", "PUBLIC_URL is not set", FIX)
        } else {
            Finding::good("address", "PUBLIC_URL is not set: outside prod, links lead to this machine")
        };
    };
    if text.contains('@') {
        return Finding::bad("address", "PUBLIC_URL contains a user name or a password", FIX);
    }
    match Url::parse(&text) {
        Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
            Finding::bad("address", format!("PUBLIC_URL is `{text}`, but can only have scheme, host and port"), FIX)
        }
        Ok(url) if env.is_prod() && url.scheme() != "https" => Finding::bad(
            "address",
            format!("PUBLIC_URL is `{text}`, but browsers send the cookies only over https"),
            FIX,
        ),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Finding::bad("address", format!("PUBLIC_URL is `{text}`, but must begin with http:// or https://"), FIX)
        }
        Ok(_) => Finding::good("address", format!("links begin with {text}")),
        Err(error) => Finding::bad("address", format!("PUBLIC_URL is `{text}`: {error}"), FIX),
    }
}

fn cookies(manifest: &Manifest, env: &Variables) -> Finding {
    let Some(domain) = env.get("COOKIE_DOMAIN") else {
        return Finding::good("cookies", "COOKIE_DOMAIN is not set: only this host gets the cookies");
    };
    let config = SecretKeyBase::generate().map(|secret| Config::new(&manifest.app.ident(), secret));
    let checked = config.map(|config| config.secure_cookies(env.is_prod()).cookie_domain(Some(domain.clone())).check());
    match checked {
        Err(error) => {
            return Finding::bad("cookies", error.to_string(), "try again: the system returned no random bytes");
        }
        Ok(Err(error)) => {
            let found = error.to_string().replace("`Config::cookie_domain`", "COOKIE_DOMAIN");
            return Finding::bad("cookies", found, "set COOKIE_DOMAIN to your own domain, without a scheme");
        }
        Ok(Ok(())) => {}
    }
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    let url = env.get("PUBLIC_URL").and_then(|url| Url::parse(&url).ok());
    let host = url.as_ref().and_then(Url::host_str).unwrap_or(&domain);
    if host == domain || host.ends_with(&format!(".{domain}")) {
        return Finding::good("cookies", format!("all hosts under {domain} share the login"));
    }
    let found =
        format!("the host of PUBLIC_URL, `{host}`, is not in COOKIE_DOMAIN, `{domain}`: browsers refuse the cookies");
    let fix = "use the same domain in both, or unset COOKIE_DOMAIN";
    if env.is_prod() { Finding::bad("cookies", found, fix) } else { Finding::warning("cookies", found, fix) }
}

fn proxies(env: &Variables) -> Finding {
    const FIX: &str = "set TRUSTED_PROXIES to the networks of your proxies, such as 10.0.0.0/8";
    let list = env.get("TRUSTED_PROXIES").unwrap_or_default();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let networks: Vec<Result<IpNet, &str>> = names.map(network).collect();
    if let Some(Err(name)) = networks.iter().find(|network| network.is_err()) {
        return Finding::bad("proxies", format!("TRUSTED_PROXIES has `{name}`, which is not a network"), FIX);
    }
    let networks: Vec<IpNet> = networks.into_iter().flatten().collect();
    let secret = SecretKeyBase::generate();
    let checked = secret.map(|secret| Config::new("my_app", secret).trusted_proxies(networks.iter().copied()).check());
    if let Ok(Err(error)) = checked {
        let found = error.to_string().replace("`Config::trusted_proxies`", "TRUSTED_PROXIES");
        return Finding::bad("proxies", found, FIX);
    }
    let is_local = env.get("HOST").is_none_or(|host| host.parse().is_ok_and(|host: IpAddr| host.is_loopback()));
    match networks.len() {
        0 if env.is_prod() && is_local => Finding::warning(
            "proxies",
            "the application is only reachable from this machine, but trusts no proxy: all users seem to have one IP address",
            "TRUSTED_PROXIES=127.0.0.1/32, if the proxy is on this machine",
        ),
        0 => Finding::good("proxies", "no proxy is trusted"),
        1 => Finding::good("proxies", format!("{} is trusted", networks[0])),
        count => Finding::good("proxies", format!("{count} networks are trusted")),
    }
}

/// Parses a network, or a single IP address.
fn network(name: &str) -> Result<IpNet, &str> {
    name.parse().or_else(|_| name.parse().map(|ip: IpAddr| ip.into())).map_err(|_| name)
}

fn limits(env: &Variables) -> Finding {
    match env.get("RATE_LIMITS").as_deref() {
        None | Some("on") => Finding::good("limits", "login attempts are limited"),
        Some("off") if !env.is_prod() => Finding::good("limits", "RATE_LIMITS is off, which prod refuses"),
        Some("off") => Finding::bad("limits", "RATE_LIMITS is off: passwords can be guessed", "unset RATE_LIMITS"),
        Some(other) => Finding::bad("limits", format!("RATE_LIMITS is `{other}`"), "set it to on or off"),
    }
}

fn times(env: &Variables) -> Finding {
    let is_good = |value: &str, least: u64| value.parse::<u64>().is_ok_and(|s| (least..=LONGEST).contains(&s));
    let times = TIMES.iter().map(|name| (name, 1)).chain(TIMES_OR_NONE.iter().map(|name| (name, 0)));
    let mut given = times.filter_map(|(name, least)| Some((name, env.get(name)?, least)));
    match given.find(|(_, value, least)| !is_good(value, *least)) {
        Some((name, value, least)) => {
            let fix = format!("use a whole number of seconds from {least} to 315360000 (10 years)");
            Finding::bad("times", format!("{name} is `{value}`"), fix)
        }
        None => Finding::good("times", "all are whole seconds, or the defaults"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        commands::doctor::finding::Status,
        plan::{Plan, choices::Choices},
        render::files::Files,
        template::read,
    };

    fn of(settings: &[(&str, &str)], name: &str) -> Finding {
        let manifest = Manifest::of(&Plan::default_for_tests(), &Files::new());
        let findings = check(&manifest, &Variables::of(settings));
        findings.into_iter().find(|finding| finding.check == name).expect("the check")
    }

    const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrst";

    #[test]
    fn development_needs_no_settings() {
        let manifest = Manifest::of(&Plan::default_for_tests(), &Files::new());
        let findings = check(&manifest, &Variables::of(&[]));
        assert!(findings.iter().all(|finding| finding.status == Status::Good), "{findings:?}");
        assert_eq!(findings.len(), 7);
    }

    #[test]
    fn accounts_in_an_application_need_app_env() {
        let plan = Plan { choices: Choices { place: Place::Existing, ..Choices::ALL }, ..Plan::default_for_tests() };
        let manifest = Manifest::of(&plan, &Files::new());
        let of = |settings| app_env(&manifest, &Variables::of(settings));
        for settings in [&[][..], &[("HOST", "127.0.0.1")], &[("PUBLIC_URL", "https://app.a.com")]] {
            let finding = of(settings);
            assert_eq!((finding.status, &*finding.found), (Status::Bad, "APP_ENV is not set: accounts do not start"));
        }
        assert_eq!(of(&[("APP_ENV", "dev")]).status, Status::Good);
        let exposed = of(&[("APP_ENV", "dev"), ("HOST", "0.0.0.0")]);
        assert_eq!(exposed.status, Status::Warning);
        assert!(exposed.found.contains("anyone who can connect can read all emails"), "{exposed:?}");
    }

    #[test]
    fn invalid_settings_are_found() {
        let prod = ("APP_ENV", "prod");
        let short = "x".repeat(63);
        let monotonous = "ab".repeat(40);
        for (settings, name, said) in [
            (&[("APP_ENV", "staging")][..], "environment", "`staging`"),
            (&[prod], "secret", "not set"),
            (&[("SECRET_KEY_BASE", &*short)], "secret", "63"),
            (&[prod, ("SECRET_KEY_BASE", &*monotonous)], "secret", "too few different"),
            (&[("PUBLIC_URL", "https://app.a.com")], "environment", "PUBLIC_URL is https://app.a.com"),
            (&[("PUBLIC_URL", "http://app.a.com")], "environment", "PUBLIC_URL is http://app.a.com"),
            (&[("HOST", "0.0.0.0")], "environment", "HOST is 0.0.0.0"),
            (&[prod], "address", "not set"),
            (&[prod, ("PUBLIC_URL", "http://a.com")], "address", "only over https"),
            (&[("PUBLIC_URL", "https://a.com/app")], "address", "can only have"),
            (&[("PUBLIC_URL", "https://a.com/#")], "address", "can only have"),
            (&[("PUBLIC_URL", "https://ada:secret@a.com")], "address", "a password"),
            (&[("PUBLIC_URL", "ftp://a.com")], "address", "must begin with"),
            (&[("PUBLIC_URL", "a.com")], "address", "`a.com`"),
            (&[("COOKIE_DOMAIN", "co.uk")], "cookies", "co.uk"),
            (&[prod, ("COOKIE_DOMAIN", "a.com"), ("PUBLIC_URL", "https://b.com")], "cookies", "`b.com`, is not"),
            (&[prod, ("COOKIE_DOMAIN", "a.com"), ("PUBLIC_URL", "https://ba.com")], "cookies", "`ba.com`, is not"),
            (&[prod, ("COOKIE_DOMAIN", "a.com"), ("PUBLIC_URL", "https://[::1]")], "cookies", "`[::1]`, is not"),
            (&[("TRUSTED_PROXIES", "10.0.0.0/8, proxy")], "proxies", "`proxy`"),
            (&[("TRUSTED_PROXIES", "::/0")], "proxies", "::/0"),
            (&[("TRUSTED_PROXIES", "0.0.0.0/1, 128.0.0.0/1")], "proxies", "0.0.0.0/1"),
            (&[prod, ("RATE_LIMITS", "off")], "limits", "guessed"),
            (&[("SUDO_TTL", "0")], "times", "SUDO_TTL is `0`"),
            (&[("SESSION_TTL", "a week")], "times", "`a week`"),
            (&[("DELETION_GRACE", "315360001")], "times", "DELETION_GRACE"),
        ] {
            let finding = of(settings, name);
            assert_eq!(finding.status, Status::Bad, "{finding:?}");
            assert!(finding.found.contains(said) && finding.fix.is_some(), "{finding:?}");
            assert!(!finding.found.contains(&short) && !finding.found.contains(&monotonous), "no secret is shown");
        }
    }

    #[test]
    fn valid_settings_are_accepted() {
        for (settings, name) in [
            (&[("APP_ENV", "prod"), ("SECRET_KEY_BASE", SECRET)][..], "secret"),
            (&[("APP_ENV", "Production"), ("SECRET_KEY_BASE", SECRET)], "environment"),
            (&[("APP_ENV", "development")], "environment"),
            (&[("APP_ENV", "prod"), ("PUBLIC_URL", "https://app.a.com")], "address"),
            (&[("COOKIE_DOMAIN", "a.com"), ("PUBLIC_URL", "https://app.a.com")], "cookies"),
            (&[("COOKIE_DOMAIN", ".A.com"), ("PUBLIC_URL", "https://app.a.com")], "cookies"),
            (&[("TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8")], "proxies"),
            (&[("TRUSTED_PROXIES", "127.0.0.1, ::1")], "proxies"),
            (&[("PUBLIC_URL", "http://app.localhost:4000"), ("HOST", "::1")], "environment"),
            (&[("APP_ENV", "prod"), ("PUBLIC_URL", "https://app.a.com"), ("HOST", "0.0.0.0")], "environment"),
            (&[("APP_ENV", "prod"), ("HOST", "0.0.0.0")], "proxies"),
            (&[("RATE_LIMITS", "off")], "limits"),
            (&[("SUDO_TTL", "600")], "times"),
        ] {
            let finding = of(settings, name);
            assert_eq!(finding.status, Status::Good, "{finding:?}");
        }
        for (settings, name) in [
            (&[("APP_ENV", "prod")][..], "proxies"),
            (&[("APP_ENV", "dev"), ("HOST", "0.0.0.0")], "environment"),
            (&[("SECRET_KEY_BASE", &*"ab".repeat(40))], "secret"),
            (&[("COOKIE_DOMAIN", "a.com"), ("PUBLIC_URL", "http://localhost:4000")], "cookies"),
        ] {
            let finding = of(settings, name);
            assert_eq!(finding.status, Status::Warning, "{finding:?}");
        }
    }

    #[test]
    fn every_time_that_the_application_reads_is_checked() {
        let read_by = |function: &str| {
            let files = read::embedded().into_iter().filter(|file| file.path.starts_with("src/config"));
            let text: String = files.map(|file| file.text.to_string()).collect();
            let call = format!("{function}(\"");
            let names = text.split(&call).skip(1).filter_map(|rest| rest.split('"').next());
            names.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        assert_eq!(read_by("env.seconds"), TIMES.map(str::to_owned).into());
        assert_eq!(read_by("env.seconds_or_none"), TIMES_OR_NONE.map(str::to_owned).into());
    }
}
