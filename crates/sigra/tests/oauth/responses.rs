//! Providers that are down, slow, or answer nonsense.

use std::time::{Duration, Instant};

use sigra::{
    oauth::{OauthError, Providers},
    testing::{ProviderEndpoint, ProviderFault, TestProvider},
};

use crate::flow::{Flow, corp, jane, log_in};

const ENDPOINTS: [ProviderEndpoint; 4] =
    [ProviderEndpoint::Metadata, ProviderEndpoint::Keys, ProviderEndpoint::Token, ProviderEndpoint::Profile];

/// Logs in at a provider that nothing is known of yet, and that misbehaves.
async fn login_page(corp: &TestProvider, fault: ProviderFault) -> OauthError {
    login_within(Duration::from_secs(60), corp, fault).await
}

async fn login_within(timeout: Duration, corp: &TestProvider, fault: ProviderFault) -> OauthError {
    corp.misbehave(fault);
    corp.log_in_as(jane().email_in_profile());
    let providers = Providers::new([corp.oidc("corp")]).unwrap().timeout(timeout);
    log_in(&providers, corp).await.unwrap_err()
}

#[tokio::test]
async fn a_provider_that_is_down_at_start_is_used_once_it_is_up() {
    let (corp, providers, clock) = corp().await;
    corp.go_down();
    let error = log_in(&providers, &corp).await.unwrap_err();
    assert_eq!(error, OauthError::Connect);
    assert!(error.is_unreachable());
    corp.come_up();
    assert_eq!(log_in(&providers, &corp).await.unwrap_err(), OauthError::Connect, "it isn't asked again at once");
    assert_eq!(corp.requests(ProviderEndpoint::Metadata), 0);
    clock.advance(Duration::from_secs(1));
    assert!(log_in(&providers, &corp).await.is_ok());
}

#[tokio::test]
async fn users_log_in_while_the_metadata_of_a_provider_can_not_be_fetched_again() {
    let (corp, providers, clock) = corp().await;
    log_in(&providers, &corp).await.unwrap();
    clock.advance(Duration::from_secs(2 * 3600));
    corp.misbehave(ProviderFault::Failing(ProviderEndpoint::Metadata));
    assert!(log_in(&providers, &corp).await.is_ok());
    assert_eq!(corp.requests(ProviderEndpoint::Metadata), 2);
}

#[tokio::test]
async fn simultaneous_logins_fetch_metadata_and_keys_once() {
    let (corp, providers, _) = corp().await;
    let one = || log_in(&providers, &corp);
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok());
    assert_eq!(corp.requests(ProviderEndpoint::Metadata), 1);
    assert_eq!(corp.requests(ProviderEndpoint::Keys), 1);
}

#[tokio::test]
async fn no_endpoint_can_make_a_login_wait_longer_than_the_timeout() {
    let corp = TestProvider::start().await;
    for endpoint in ENDPOINTS {
        let start = Instant::now();
        let error = login_within(Duration::from_millis(300), &corp, ProviderFault::Slow(endpoint)).await;
        assert_eq!(error, OauthError::TimedOut, "{endpoint:?}");
        assert!(error.is_unreachable());
        // The response would come after a minute.
        assert!(start.elapsed() < Duration::from_secs(30), "{endpoint:?}");
    }
}

#[tokio::test]
async fn no_response_is_read_beyond_256_kib() {
    let corp = TestProvider::start().await;
    for endpoint in ENDPOINTS {
        assert_eq!(login_page(&corp, ProviderFault::Huge(endpoint)).await, OauthError::TooLarge, "{endpoint:?}");
    }
}

#[tokio::test]
async fn redirects_are_never_followed() {
    let corp = TestProvider::start().await;
    for endpoint in ENDPOINTS {
        let error = login_page(&corp, ProviderFault::Redirecting(endpoint)).await;
        assert_eq!(error, OauthError::Redirected, "{endpoint:?}");
    }
    assert_eq!(corp.requests(ProviderEndpoint::Elsewhere), 0);
}

#[tokio::test]
async fn a_response_that_is_not_json_is_refused() {
    let corp = TestProvider::start().await;
    for endpoint in ENDPOINTS {
        assert_eq!(login_page(&corp, ProviderFault::Html(endpoint)).await, OauthError::ContentType, "{endpoint:?}");
        assert_eq!(login_page(&corp, ProviderFault::Nonsense(endpoint)).await, OauthError::Malformed, "{endpoint:?}");
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_said_to_be_unreachable() {
    let corp = TestProvider::start().await;
    for endpoint in ENDPOINTS {
        let error = login_page(&corp, ProviderFault::Failing(endpoint)).await;
        assert_eq!(error, OauthError::Status(503), "{endpoint:?}");
        assert!(error.is_unreachable());
    }
}

#[tokio::test]
async fn invariant_19_metadata_and_callbacks_of_another_issuer_are_refused() {
    let corp = TestProvider::start().await;
    for (fault, expected) in [
        (ProviderFault::WrongMetadataIssuer, OauthError::MetadataIssuer),
        (ProviderFault::WrongCallbackIssuer, OauthError::CallbackIssuer),
        (ProviderFault::NoCallbackIssuer, OauthError::CallbackIssuerMissing),
    ] {
        assert_eq!(login_page(&corp, fault).await, expected, "{fault:?}");
    }
    assert_eq!(corp.requests(ProviderEndpoint::Token), 0, "no code was sent anywhere");
}

#[tokio::test]
async fn a_code_is_never_sent_without_tls() {
    let corp = TestProvider::start().await;
    assert_eq!(login_page(&corp, ProviderFault::InsecureEndpoint).await, OauthError::Insecure);
}

#[tokio::test]
async fn an_unknown_provider_is_an_error() {
    let (corp, _, _) = corp().await;
    let providers = Providers::new([corp.oidc("other")]).unwrap();
    assert_eq!(Flow::new().begin(&providers).await.unwrap_err(), OauthError::UnknownProvider);
}
