//! Settings that can't be right fail at start, and secrets aren't shown.

use p256::{
    ecdsa::SigningKey,
    pkcs8::{EncodePrivateKey, LineEnding},
};
use sigra::{
    ConfigError,
    oauth::{Profile, Provider, Providers},
};

/// Returns the content of a `.p8` file.
fn p8() -> String {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

#[track_caller]
fn error_of(provider: Provider) -> ConfigError {
    Providers::new([provider]).expect_err("a mistake")
}

#[test]
fn all_presets_are_accepted() {
    let providers = Providers::new([
        Provider::google("id", "secret"),
        Provider::microsoft("common", "id", "secret"),
        Provider::microsoft(TENANT, "id", "secret").with_name("work"),
        Provider::apple("com.example.app", "TEAM", "KEY", p8()),
        Provider::gitlab("id", "secret"),
        Provider::github("id", "secret"),
        Provider::discord("id", "secret"),
    ])
    .unwrap();
    let names: Vec<&str> = providers.iter().map(Provider::name).collect();
    assert_eq!(names, ["google", "microsoft", "work", "apple", "gitlab", "github", "discord"]);
    let posting: Vec<&str> = providers.iter().filter(|it| it.posts_callback()).map(Provider::name).collect();
    assert_eq!(posting, ["apple"]);
}

#[test]
fn the_key_of_apple_can_have_its_line_breaks_escaped() {
    let one_line = p8().replace('\n', "\\n");
    assert!(!one_line.contains('\n'));
    assert!(Providers::new([Provider::apple("com.example.app", "TEAM", "KEY", one_line)]).is_ok());
}

#[test]
fn a_mistake_is_one_sentence_that_names_the_provider_and_the_fix() {
    let plain = || Provider::oauth2("forge", "https://forge.example", "id", "secret", |_| Some(Profile::new(1)));
    for (provider, expected) in [
        (Provider::google("", "secret"), "client ID is empty"),
        (Provider::google("id", " "), "client secret is empty"),
        (Provider::microsoft("contoso.com", "id", "secret"), "tenant must be"),
        (Provider::microsoft("common", "id", "secret").trust_verified_emails(), "can't be trusted"),
        (Provider::apple("id", "", "KEY", p8()), "team ID"),
        (Provider::apple("id", "TEAM", "KEY", "not a key"), ".p8 file"),
        (Provider::oidc("corp", "corp.example", "id", "secret"), "https URL"),
        (Provider::oidc("corp", "http://corp.example", "id", "secret").http_on_loopback(true), "https URL"),
        (Provider::oidc("corp", "http://127.0.0.1:4100", "id", "secret"), "https URL"),
        (Provider::oidc("corp", "https://corp.example?a=b", "id", "secret"), "https URL"),
        (Provider::google("id", "secret").scopes(["email"]), "openid"),
        (Provider::google("id", "secret").authorization_parameter("state", "mine"), "authorization parameter"),
        (Provider::google("id", "secret").endpoints("https://a.example", "https://b.example"), "metadata"),
        (plain(), "endpoints"),
        (plain().endpoints("https://forge.example/a", "https://forge.example/t"), "profiles"),
        (Provider::github("id", "secret").reauthentication(true), "reauthenticate"),
    ] {
        let name = provider.name().to_owned();
        let message = error_of(provider).to_string();
        assert!(message.starts_with(&format!("the provider `{name}` can't be used: ")), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains('\n') && !message.ends_with('.'), "{message}");
    }
    for name in ["", "Google", "a/b", "..", &"a".repeat(33)] {
        let error = error_of(Provider::google("id", "secret").with_name(name));
        assert_eq!(error, ConfigError::ProviderName(name.to_owned()));
    }
    let twice = Providers::new([Provider::google("a", "b"), Provider::google("c", "d")]);
    assert_eq!(twice.expect_err("a mistake"), ConfigError::SameProvider("google".to_owned()));
}

#[test]
fn invariant_1_debug_shows_no_client_secret() {
    let secret = "a client secret";
    let providers =
        Providers::new([Provider::google("id", secret), Provider::apple("id", "TEAM", "KEY", p8())]).unwrap();
    let debug = format!("{providers:?}");
    assert!(!debug.contains(secret) && !debug.contains("PRIVATE KEY"), "{debug}");
    assert!(debug.contains("https://accounts.google.com"), "{debug}");
}
