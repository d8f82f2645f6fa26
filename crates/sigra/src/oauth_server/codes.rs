//! Exchanging an authorization code for tokens.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    base::{
        error::Error,
        token::{FlowToken, TokenHash},
    },
    model::{
        audit::{self, Audit},
        client::Client,
        oauth_client::OauthClient,
        oauth_grant::OnNewGrant,
        oauth_lifetimes::CODE_TTL,
        session::{SessionId, SessionRow},
        transaction::Transaction,
        user::{AuthUser, Connection},
        window::Window,
    },
    oauth_server::{
        handle::OauthServer,
        issue::{Given, Tokens},
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
    },
    sigra::transact,
    store::{self, CodeRow},
};

const INVALID: Refusal = Refusal::invalid_grant("the code is unknown, expired, used, or was issued for something else")
    .because("unknown_code");

/// What became of a code.
enum Exchange {
    Issued(Tokens),
    /// It is invalid, and is used up. If somebody had exchanged it before, what they got has ended.
    Refused(Refusal),
    /// The user has given access to the maximum number of programs since they were asked.
    TooMany,
}

impl<U: AuthUser> OauthServer<'_, U> {
    /// Exchanges a code (RFC 6749 section 4.1.3). A code is tried once: it is used up even if the attempt fails. Of one
    /// that comes again, somebody has a copy, so what it was exchanged for ends (section 4.1.2).
    pub(super) async fn exchange(
        self,
        client: &OauthClient,
        parameters: &Parameters,
        program: &Client,
        mut also: Option<OnNewGrant<U>>,
    ) -> Result<Tokens, EndpointError> {
        let code = parameters.require("code", "code is missing")?;
        let verifier = parameters.require("code_verifier", "code_verifier is missing: every client needs PKCE")?;
        let code = FlowToken::parse(code).ok_or(INVALID)?.hash();
        let attempt = Attempt {
            client,
            verifier,
            redirect_uri: parameters.get("redirect_uri"),
            resource: parameters
                .get("resource")
                .map(|resource| self.resource_for(client, Some(resource)))
                .transpose()?,
        };
        // Nobody needs an account to send codes, and on SQLite, a transaction keeps other writers waiting.
        let known = store::oauth_codes::find::<U>(&mut *self.sigra.pool().acquire().await?, code).await?;
        known.ok_or(INVALID)?;
        let exchanged = transact!(self.sigra, if also.is_some(), tx => {
            self.exchange_in(tx, code, &attempt, program, &mut also).await
        })?;
        match exchanged {
            Exchange::Issued(tokens) => Ok(tokens),
            Exchange::Refused(refusal) => Err(refusal.into()),
            Exchange::TooMany => Err(Refusal::too_many_programs("invalid_grant").into()),
        }
    }

    async fn exchange_in(
        self,
        tx: &mut Transaction<U>,
        code: TokenHash,
        attempt: &Attempt<'_>,
        program: &Client,
        also: &mut Option<OnNewGrant<U>>,
    ) -> Result<Exchange, Error> {
        let Some(user) = store::oauth_codes::lock_owner::<U>(tx, code).await? else {
            return Ok(Exchange::Refused(INVALID));
        };
        // Only now, because the row may have changed while its user was locked.
        let Some(row) = store::oauth_codes::find::<U>(tx, code).await? else { return Ok(Exchange::Refused(INVALID)) };
        if row.consumed_at.is_some() {
            self.end_reused(tx, &row, program).await?;
            return Ok(Exchange::Refused(INVALID.because("used_code")));
        }
        let now = self.sigra.now();
        let session = match self.check_code(tx, &row, attempt, program).await? {
            Ok(session) => session,
            Err(refusal) => {
                store::oauth_codes::consume::<U>(tx, code, None, now).await?;
                return Ok(Exchange::Refused(refusal));
            }
        };
        let given = Given {
            user: &user,
            session: &session,
            client: attempt.client,
            permissions: &row.permissions,
            resource: &row.resource,
            browser: row.user_agent.as_deref(),
            was_asked: !attempt.client.skips_consent,
        };
        let (grant, exchange) = match self.give(tx, given, program, also).await {
            Err(Error::TooManyPrograms { .. }) => (None, Exchange::TooMany),
            given => given.map(|(grant, tokens)| (Some(grant), Exchange::Issued(tokens)))?,
        };
        store::oauth_codes::consume::<U>(tx, code, grant, now).await?;
        Ok(exchange)
    }

    /// Returns the session that gave access, if the code is still valid and this is what it was issued for. If it was
    /// issued for something else, somebody has a copy of it, which the user can see in the audit trail.
    async fn check_code(
        self,
        tx: &mut Transaction<U>,
        row: &CodeRow<U::Id>,
        attempt: &Attempt<'_>,
        program: &Client,
    ) -> Result<Result<SessionRow, Refusal>, Error> {
        if let Some(reason) = attempt.mismatch(row) {
            let metadata = serde_json::json!({ "client": row.client, "reason": reason });
            let audit = Audit::new(audit::PROGRAM_REFUSED).of(row.user.clone()).from(program).with(metadata);
            self.sigra.audit().record_in(tx, &audit).await?;
            return Ok(Err(INVALID.because(reason)));
        }
        if !Window::of(CODE_TTL, self.sigra.now()).contains(row.inserted_at) {
            return Ok(Err(INVALID.because("expired_code")));
        }
        Ok(self.live_session(tx, row.session).await?.ok_or(INVALID.because("login_ended")))
    }

    /// Ends what a code was exchanged for, because it came again.
    async fn end_reused(self, tx: &mut Transaction<U>, row: &CodeRow<U::Id>, program: &Client) -> Result<(), Error> {
        match row.grant {
            Some(grant) => self.end_family(tx, grant, &row.user, program).await,
            None => Ok(()),
        }
    }

    /// Returns the session that gave access, if its user is logged in with all that they need.
    pub(super) async fn live_session(
        self,
        conn: &mut Connection<U>,
        id: SessionId,
    ) -> Result<Option<SessionRow>, Error> {
        let found = store::sessions::find::<U>(conn, &[id]).await?.into_iter().next();
        Ok(found.filter(|(session, user)| self.sigra.gives_full_access(session, user)).map(|(session, _)| session))
    }
}

/// What a client presents with a code.
struct Attempt<'a> {
    client: &'a OauthClient,
    verifier: &'a str,
    redirect_uri: Option<&'a str>,
    resource: Option<String>,
}

impl Attempt<'_> {
    /// Returns what differs from what the code was issued for.
    fn mismatch<Id>(&self, row: &CodeRow<Id>) -> Option<&'static str> {
        let fits = [
            ("wrong_client", self.client.id == row.client),
            ("wrong_redirect_uri", self.redirect_uri.is_none_or(|uri| uri == row.redirect_uri)),
            ("wrong_resource", self.resource.as_ref().is_none_or(|resource| *resource == row.resource)),
            ("wrong_verifier", is_verifier_of(self.verifier, &row.challenge)),
        ];
        fits.into_iter().find(|(_, fits)| !fits).map(|(reason, _)| reason)
    }
}

/// Returns whether a verifier is that of a challenge (RFC 7636 section 4.6).
fn is_verifier_of(verifier: &str, challenge: &str) -> bool {
    let is_verifier = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    is_verifier && hash.as_bytes().ct_eq(challenge.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn a_verifier_fits_the_challenge_of_its_sha_256() {
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_verifier_of(verifier, challenge));
        assert!(!is_verifier_of(&verifier.replace('d', "e"), challenge));
        assert!(!is_verifier_of(challenge, challenge), "plain");
        let short = "a".repeat(42);
        assert!(!is_verifier_of(&short, &URL_SAFE_NO_PAD.encode(Sha256::digest(short.as_bytes()))));
    }
}
