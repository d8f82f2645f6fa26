//! The application accepts the settings that the guides to its deployment show.

use my_app::config::{Settings, Variables, database_url::DEFAULT_URL};
use toml_edit::DocumentMut;

use super::{
    sources::read,
    tables::{code, table},
};

const SECRET: &str = "a secret of a test: 0123456789abcdef0123456789abcdef0123456789abcdef";

/// Reads the settings of production, in which these are set too.
fn in_production(given: &[(&str, &str)]) -> Settings {
    let defaults = [
        ("APP_ENV", "prod"),
        ("SECRET_KEY_BASE", SECRET),
        ("PUBLIC_URL", "https://example.com"),
        ("DATABASE_URL", DEFAULT_URL),
    ];
    // The last value of a name wins.
    let all = defaults.iter().chain(given).copied();
    Settings::new(&all.collect::<Variables>()).unwrap_or_else(|error| panic!("{given:?}: {error}"))
}

#[tokio::test]
async fn every_mail_server_of_the_guide_is_accepted_without_a_warning() {
    let servers = table(&read("docs/mail-providers.md"), &["provider", "`SMTP_URL`"]);
    assert!(servers.len() >= 5, "{servers:?}");
    for url in servers.iter().filter_map(|row| code(&row[1]).into_iter().next()) {
        assert_eq!(in_production(&[("SMTP_URL", &url)]).warnings, [""; 0], "{url}");
        sigra::mail::Mailer::from_url(&url, "MyApp <hello@example.com>").unwrap_or_else(|error| panic!("{error}"));
    }
    // Of Amazon SES, as the guide says to write it.
    let url = "smtp://AKIA:a%2Fb%2Bc%3D@email-smtp.eu-central-1.amazonaws.com?tls=required";
    sigra::mail::Mailer::from_url(url, "MyApp <hello@example.com>").expect("a mailer");
}

#[test]
fn the_application_starts_with_the_settings_of_the_guide_to_fly() {
    let guide = read("docs/fly.md");
    let (_, rest) = guide.split_once("```toml\n").expect("fly.toml");
    let (fly, rest) = rest.split_once("```").expect("its end");
    let fly: DocumentMut = fly.parse().expect("TOML");
    let env = fly["env"].as_table().expect("a table").iter();
    let env: Vec<(&str, &str)> = env.map(|(name, value)| (name, value.as_str().expect("a text"))).collect();
    assert!(
        env.contains(&("DATABASE_URL", "sqlite:///data/my_app.db"))
            && fly["mounts"]["destination"].as_str() == Some("/data")
    );
    let (_, rest) = rest.split_once("TRUSTED_PROXIES=\"").expect("the proxies");
    let proxies = rest.split('"').next().expect("a value").replace("<your IPv4>", "192.0.2.7");
    let proxies = proxies.replace("<your IPv6>", "2001:db8::7");

    let mut given: Vec<(&str, &str)> = env.into_iter().filter(|(name, _)| *name != "DATABASE_URL").collect();
    given.push(("TRUSTED_PROXIES", &proxies));
    let settings = in_production(&given);
    let port = fly["http_service"]["internal_port"].as_integer().expect("a number");
    assert_eq!(settings.listen.to_string(), format!("0.0.0.0:{port}"));
    assert_eq!(settings.public_url.as_str(), "https://my-app.fly.dev/");
}

#[test]
fn the_unit_of_the_guide_to_systemd_keeps_the_database_where_the_service_can_write() {
    let guide = read("docs/systemd.md");
    assert!(guide.contains("StateDirectory=my_app\n") && guide.contains("WorkingDirectory=%S/my_app\n"));
    assert!(guide.contains("`DATABASE_URL=sqlite:///var/lib/my_app/my_app.db`"));
}
