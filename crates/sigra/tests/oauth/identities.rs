//! Which identity a provider's responses lead to.

use sigra::{
    oauth::{OauthError, ProviderIdentity, Providers},
    testing::{ProviderAccount, ProviderFault, TestProvider},
};

use crate::flow::{Flow, corp, jane, log_in};

async fn identity_of(corp: &TestProvider, providers: &Providers, account: ProviderAccount) -> ProviderIdentity {
    corp.log_in_as(account);
    log_in(providers, corp).await.unwrap()
}

#[tokio::test]
async fn an_identity_is_named_by_issuer_and_subject_and_its_address_is_a_label() {
    let (corp, providers, _) = corp().await;
    let identity = identity_of(&corp, &providers, jane()).await;
    assert_eq!((&*identity.provider, &*identity.issuer), ("corp", corp.issuer()));
    assert_eq!((&*identity.subject, identity.email.as_deref()), ("248289761001", Some("jane@example.com")));
    assert!(!identity.email_proven, "the host hasn't declared the provider trustworthy");
    assert!(identity.tokens.is_none());
}

#[tokio::test]
async fn an_address_is_proven_only_if_the_provider_verified_it_and_the_host_trusts_that() {
    let corp = TestProvider::start().await;
    for (provider, account, expected) in [
        (corp.oidc("corp"), jane(), false),
        (corp.oidc("corp").trust_verified_emails(), jane(), true),
        (corp.oidc("corp").trust_verified_emails(), ProviderAccount::new("1").email("jane@example.com", false), false),
        (corp.oidc("corp").trust_verified_emails(), jane().email_in_profile(), true),
        (corp.oauth2("corp"), jane(), false),
        (corp.oauth2("corp").trust_verified_emails(), jane(), true),
    ] {
        let providers = Providers::new([provider]).unwrap();
        let identity = identity_of(&corp, &providers, account.clone()).await;
        assert_eq!(identity.email.as_deref(), Some("jane@example.com"));
        assert_eq!(identity.email_proven, expected, "{account:?}");
    }
}

#[tokio::test]
async fn an_account_without_an_address_is_an_identity_too() {
    let (corp, providers, _) = corp().await;
    for account in [ProviderAccount::new("1"), ProviderAccount::new("1").email("", true)] {
        let identity = identity_of(&corp, &providers, account).await;
        assert_eq!((identity.email, identity.email_proven), (None, false));
    }
    for nonsense in ["jane", "@example.com", "jane@", "jane@exa mple.com", "jane@example.com\u{0}"] {
        let identity = identity_of(&corp, &providers, ProviderAccount::new("1").email(nonsense, true)).await;
        assert_eq!(identity.email, None, "{nonsense:?}");
    }
}

#[tokio::test]
async fn a_subject_that_is_empty_or_too_long_is_an_error() {
    let corp = TestProvider::start().await;
    for provider in [corp.oidc("corp"), corp.oauth2("corp")] {
        let providers = Providers::new([provider]).unwrap();
        for subject in [String::new(), "1".repeat(256), "1\u{0}".to_owned()] {
            corp.log_in_as(ProviderAccount::new(subject));
            assert_eq!(log_in(&providers, &corp).await.unwrap_err(), OauthError::Subject);
        }
    }
}

#[tokio::test]
async fn the_profile_of_another_user_is_refused() {
    let (corp, providers, _) = corp().await;
    corp.log_in_as(jane().email_in_profile());
    corp.misbehave(ProviderFault::ProfileOfAnotherUser);
    assert_eq!(log_in(&providers, &corp).await.unwrap_err(), OauthError::ProfileSubject);
}

#[tokio::test]
async fn tokens_are_kept_only_if_the_host_opts_in_and_debug_never_shows_them() {
    let corp = TestProvider::start().await;
    let providers = Providers::new([corp.oidc("corp").keep_tokens()]).unwrap();
    let identity = identity_of(&corp, &providers, jane()).await;
    let tokens = identity.tokens.as_ref().expect("tokens");
    assert!(tokens.expires_at.is_some());
    let debug = format!("{identity:?}");
    assert!(!debug.contains(&**tokens.access_token), "{debug}");
    assert!(!debug.contains(&***tokens.refresh_token.as_ref().expect("a refresh token")), "{debug}");
}

#[tokio::test]
async fn users_can_not_reauthenticate_where_nothing_says_when_they_did() {
    let corp = TestProvider::start().await;
    let providers = Providers::new([corp.oauth2("corp")]).unwrap();
    let flow = Flow::reauthenticating(&sigra::Clock::system());
    assert_eq!(flow.begin(&providers).await.unwrap_err(), OauthError::CannotReauthenticate);
}
