//! The token endpoint.

use std::pin::Pin;

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};

use crate::{
    base::error::Error,
    model::{
        client::{Client, Sender},
        oauth_client::OauthClient,
        oauth_grant::{NewGrant, OnNewGrant},
        transaction::Transaction,
        user::AuthUser,
    },
    oauth_server::{
        endpoint::read_form,
        handle::OauthServer,
        issue::Tokens,
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
        response::preflight,
    },
    sigra::Sigra,
};

impl<U: AuthUser> OauthServer<'_, U> {
    /// The endpoint `/oauth/token` (RFC 6749 section 3.2): exchanges an authorization code, a refresh token or a device
    /// code for an access token and the next refresh token. Pages of every origin can call it; it reads no cookies.
    pub async fn token(self, request: Request) -> Response {
        self.token_with(request, |_, _| Box::pin(async { Ok(()) })).await
    }

    /// Like [`token`](Self::token), but runs `also` in the transaction in which a program gets access: to [send an
    /// email](crate::mail::Mailer::send_in) that informs the user, for example. It doesn't run for a refresh.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use axum::{extract::Request, response::Response};
    /// use sigra::{Sigra, mail::{Mail, Mailer}};
    ///
    /// async fn token(sigra: &Sigra<User>, mailer: Mailer, request: Request) -> Response {
    ///     sigra
    ///         .oauth_server()
    ///         .token_with(request, move |tx, new| {
    ///             let text = format!("{} can use your account now.", new.grant.client_name);
    ///             let mail = Mail::new(&new.user.email, "A program got access to your account", text);
    ///             Box::pin(async move { mailer.send_in(tx, mail).await })
    ///         })
    ///         .await
    /// }
    /// ```
    pub async fn token_with(
        self,
        request: Request,
        also: impl for<'a> FnOnce(
            &'a mut Transaction<U>,
            &'a NewGrant<U>,
        ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>
        + Send
        + 'static,
    ) -> Response {
        self.answer_token(request, Box::new(also)).await.unwrap_or_else(|error| error.into_response())
    }

    async fn answer_token(self, request: Request, also: OnNewGrant<U>) -> Result<Response, EndpointError> {
        let program = Sender::of(&request, &self.sigra.parts.config.requests.trusted_proxies).client();
        let (headers, parameters) = read_form(request).await?;
        let answer = async move |sigra: Sigra<U>| {
            let server = sigra.oauth_server();
            let client = server.authenticate(&headers, &parameters).await?;
            let issued = server.issue_to(&client, &parameters, &program, also).await;
            issued.map(|tokens| tokens.to_response()).map_err(|error| error.of(&client))
        };
        Ok(self.to_the_end(answer).await)
    }

    async fn issue_to(
        self,
        client: &OauthClient,
        parameters: &Parameters,
        program: &Client,
        also: OnNewGrant<U>,
    ) -> Result<Tokens, EndpointError> {
        match parameters.require("grant_type", "grant_type is missing")? {
            "authorization_code" => self.exchange(client, parameters, program, Some(also)).await,
            "refresh_token" => self.refresh(client, parameters, program).await,
            DEVICE_CODE => self.poll(client, parameters, program, Some(also)).await,
            _ => Err(Refusal::new("unsupported_grant_type", "the grant type isn't supported").into()),
        }
    }

    /// The response to `OPTIONS` at the endpoints for programs: pages of every origin can call them.
    #[must_use]
    pub fn preflight(self) -> Response {
        preflight()
    }
}

/// The grant type of RFC 8628 section 3.4.
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
