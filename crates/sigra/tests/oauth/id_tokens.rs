//! ID tokens that must be refused, and keys that change.

use std::time::Duration;

use sigra::{
    Clock,
    oauth::{OauthError, Providers},
    testing::{ProviderEndpoint, ProviderFault, TestProvider},
};

use crate::flow::{Flow, corp, jane, log_in};

#[tokio::test]
async fn invariant_18_an_id_token_with_any_fault_is_refused_and_the_reason_is_named() {
    let (corp, providers, _) = corp().await;
    for (fault, expected) in [
        (ProviderFault::WrongNonce, OauthError::Nonce),
        (ProviderFault::NoNonce, OauthError::Nonce),
        (ProviderFault::WrongIssuer, OauthError::Issuer),
        (ProviderFault::WrongAudience, OauthError::Audience),
        (ProviderFault::SecondAudience, OauthError::Audience),
        (ProviderFault::WrongAuthorizedParty, OauthError::AuthorizedParty),
        (ProviderFault::WrongSignature, OauthError::Signature),
        (ProviderFault::UnknownKey, OauthError::UnknownKey),
        (ProviderFault::Unsigned, OauthError::Algorithm),
        (ProviderFault::SignedWithClientSecret, OauthError::Algorithm),
        (ProviderFault::Expired, OauthError::Expired),
        (ProviderFault::NotYetIssued, OauthError::IssuedAt),
        (ProviderFault::EmptySubject, OauthError::Subject),
        (ProviderFault::NoIdToken, OauthError::IdTokenMissing),
        (ProviderFault::GarbledIdToken, OauthError::IdToken),
    ] {
        corp.misbehave(fault);
        assert_eq!(log_in(&providers, &corp).await.unwrap_err(), expected, "{fault:?}");
        assert!(!expected.is_unreachable());
    }
    corp.behave();
    assert!(log_in(&providers, &corp).await.is_ok(), "nothing else was wrong");
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute_and_no_more() {
    for (ahead, expected) in [
        (55, None),
        (65, Some(OauthError::IssuedAt)),
        // A token is valid for 300 seconds.
        (-355, None),
        (-365, Some(OauthError::Expired)),
    ] {
        let corp = TestProvider::start().await;
        // They stand still, because seconds decide.
        let (theirs, ours) = (Clock::stopped(), Clock::stopped());
        let later = if ahead > 0_i64 { &theirs } else { &ours };
        later.advance(Duration::from_secs(ahead.unsigned_abs()));
        let corp = corp.clock(theirs);
        corp.log_in_as(jane());
        let providers = Providers::new([corp.oidc("corp")]).unwrap().clock(ours);
        assert_eq!(log_in(&providers, &corp).await.err(), expected, "{ahead} seconds");
    }
}

#[tokio::test]
async fn an_id_token_of_another_flow_is_refused() {
    let (corp, providers, _) = corp().await;
    let (own, other) = (Flow::new(), Flow::new());
    let callback = corp.approve(&other.begin(&providers).await.unwrap());
    let mixed = Flow { nonce: own.nonce.clone(), ..other };
    assert_eq!(mixed.end(&providers, &callback).await.unwrap_err(), OauthError::Nonce);
}

#[tokio::test]
async fn a_stolen_code_is_worthless_without_the_verifier_of_its_flow() {
    let (corp, providers, _) = corp().await;
    let (victim, thief) = (Flow::new(), Flow::new());
    let callback = corp.approve(&victim.begin(&providers).await.unwrap());
    assert_eq!(thief.end(&providers, &callback).await.unwrap_err(), OauthError::Refused("invalid_grant"));
}

#[tokio::test]
async fn a_code_works_once() {
    let (corp, providers, _) = corp().await;
    let flow = Flow::new();
    let callback = corp.approve(&flow.begin(&providers).await.unwrap());
    assert!(flow.end(&providers, &callback).await.is_ok());
    assert_eq!(flow.end(&providers, &callback).await.unwrap_err(), OauthError::Refused("invalid_grant"));
}

#[tokio::test]
async fn a_reauthentication_counts_only_if_the_user_authenticated_after_the_flow_began() {
    let (corp, providers, clock) = corp().await;
    let run = async || {
        let flow = Flow::reauthenticating(&clock);
        let url = flow.begin(&providers).await.unwrap();
        assert!(url.contains("prompt=login") && url.contains("max_age=0"), "{url}");
        flow.end(&providers, &corp.approve(&url)).await
    };
    assert_eq!(run().await.unwrap().auth_time.unwrap().unix_timestamp(), clock.now().unix_timestamp());
    for fault in [ProviderFault::OldLogin, ProviderFault::NoAuthTime] {
        corp.misbehave(fault);
        assert_eq!(run().await.unwrap_err(), OauthError::AuthTime, "{fault:?}");
    }
    let flow = Flow::new();
    corp.misbehave(ProviderFault::OldLogin);
    let url = flow.begin(&providers).await.unwrap();
    assert!(!url.contains("prompt"), "{url}");
    assert!(flow.end(&providers, &corp.approve(&url)).await.is_ok(), "an ordinary login may use an old one");
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_fetched_when_it_is_first_used() {
    let (corp, providers, clock) = corp().await;
    log_in(&providers, &corp).await.unwrap();
    log_in(&providers, &corp).await.unwrap();
    assert_eq!(corp.requests(ProviderEndpoint::Keys), 1, "keys are cached");
    corp.rotate_keys();
    log_in(&providers, &corp).await.unwrap();
    assert_eq!(corp.requests(ProviderEndpoint::Keys), 2);
    clock.advance(Duration::from_secs(61));
    corp.rotate_keys();
    log_in(&providers, &corp).await.unwrap();
    assert_eq!(corp.requests(ProviderEndpoint::Keys), 3);
}

#[tokio::test]
async fn id_tokens_with_unknown_keys_cause_at_most_one_request_a_minute() {
    let (corp, providers, clock) = corp().await;
    corp.misbehave(ProviderFault::UnknownKey);
    let one = || log_in(&providers, &corp);
    let _ = tokio::join!(one(), one(), one(), one(), one(), one(), one(), one());
    for _ in 0..3 {
        assert_eq!(one().await.unwrap_err(), OauthError::UnknownKey);
    }
    assert_eq!(corp.requests(ProviderEndpoint::Keys), 2, "at first, and once more");
    clock.advance(Duration::from_secs(61));
    assert_eq!(one().await.unwrap_err(), OauthError::UnknownKey);
    assert_eq!(corp.requests(ProviderEndpoint::Keys), 3);
}
