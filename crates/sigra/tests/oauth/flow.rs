//! A flow from the button to the identity, without pages.

use sigra::{
    Clock,
    oauth::{AuthorizationRequest, AuthorizationResponse, OauthError, ProviderIdentity, Providers},
    testing::{ProviderAccount, ProviderCallback, TestProvider},
};

pub const REDIRECT_URI: &str = "https://localhost/users/auth/corp/callback";

/// The secrets of a flow.
#[derive(Clone)]
pub struct Flow {
    pub nonce: String,
    pub pkce_verifier: String,
    pub reauthenticated_since: Option<time::OffsetDateTime>,
}

impl Flow {
    pub fn new() -> Self {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        Self { nonce: random(), pkce_verifier: random() + &random(), reauthenticated_since: None }
    }

    pub fn reauthenticating(clock: &Clock) -> Self {
        Self { reauthenticated_since: Some(clock.now()), ..Self::new() }
    }

    pub async fn begin(&self, providers: &Providers) -> Result<String, OauthError> {
        let request = AuthorizationRequest {
            redirect_uri: REDIRECT_URI,
            state: "a state",
            nonce: &self.nonce,
            pkce_verifier: &self.pkce_verifier,
            reauthenticate: self.reauthenticated_since.is_some(),
        };
        providers.authorization_url("corp", request).await
    }

    pub async fn end(
        &self,
        providers: &Providers,
        callback: &ProviderCallback,
    ) -> Result<ProviderIdentity, OauthError> {
        assert_eq!(callback.parameter("state").as_deref(), Some("a state"));
        let (code, iss) = (callback.parameter("code").expect("a code"), callback.parameter("iss"));
        let response = AuthorizationResponse {
            code: &code,
            iss: iss.as_deref(),
            redirect_uri: REDIRECT_URI,
            nonce: &self.nonce,
            pkce_verifier: &self.pkce_verifier,
            reauthenticated_since: self.reauthenticated_since,
        };
        providers.identify("corp", response).await
    }
}

/// Logs in once.
pub async fn log_in(providers: &Providers, corp: &TestProvider) -> Result<ProviderIdentity, OauthError> {
    let flow = Flow::new();
    let url = flow.begin(providers).await?;
    flow.end(providers, &corp.approve(&url)).await
}

/// Starts a provider where Jane is logged in, with a clock that only the test advances.
pub async fn corp() -> (TestProvider, Providers, Clock) {
    let clock = Clock::stopped();
    let corp = TestProvider::start().await.clock(clock.clone());
    corp.log_in_as(jane());
    let providers = Providers::new([corp.oidc("corp")]).unwrap().clock(clock.clone());
    (corp, providers, clock)
}

pub fn jane() -> ProviderAccount {
    ProviderAccount::new("248289761001").email("jane@example.com", true)
}
