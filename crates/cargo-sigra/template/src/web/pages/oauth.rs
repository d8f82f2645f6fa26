//! Logging in with an account at a provider, such as Google, and registering with one.

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use sigra::{
    CookieSession, Flash, Scope,
    oauth::{Callback, FlowError, FlowPurpose, Linked, OauthError, Provider},
    session::ReturnTo,
};

use super::{
    check_email::{self, Link},
    form::Form,
    last_login_method::{LastLoginMethod, provider_method},
};
use crate::{
    accounts::{AccountError, Accounts, FieldErrors, ProviderOutcome, User},
    web::{
        error::{NOT_FOUND, Result},
        forms::{PendingRegistration, ProviderLogin},
        layout::{Layout, Page},
        user_auth,
    },
};

/// The ways to log in, in the settings.
pub const METHODS_PATH: &str = "/users/settings/log-in-methods";

/// Where a user who has logged in decides whether to link the identity that waits.
pub const LINK_PATH: &str = "/users/settings/log-in-methods/link";

/// The page about an account at a provider that isn't linked to an account here.
const PENDING_PATH: &str = "/users/register/provider";

/// A button that leads to a provider.
pub struct ProviderButton {
    pub name: String,
    pub label: String,
    /// Whether it leads to the provider of the last login in this browser.
    pub is_last: bool,
}

impl From<&Provider> for ProviderButton {
    fn from(provider: &Provider) -> Self {
        Self { name: provider.name().to_owned(), label: provider.label().to_owned(), is_last: false }
    }
}

/// Returns a button for each provider, and marks the one of the last login in this browser.
pub fn buttons(accounts: &Accounts, last_login_method: &str) -> Vec<ProviderButton> {
    let is_last = |provider: &Provider| provider_method(provider.name()) == last_login_method;
    let button = |provider| ProviderButton { is_last: is_last(provider), ..provider.into() };
    accounts.policy().providers.iter().map(button).collect()
}

/// Says why a login at a provider failed, with a link back.
#[derive(Template)]
#[template(path = "provider_problem.html")]
struct ProblemPage {
    layout: Layout,
    what: String,
    back: &'static str,
}

/// Asks for an email address, or for a login to the account that the identity may be linked to.
#[derive(Template)]
#[template(path = "provider_pending.html")]
struct PendingPage {
    layout: Layout,
    id: String,
    label: String,
    email: String,
    /// Whether the provider has proven that the visitor owns the address of an account.
    has_account: bool,
    problems: FieldErrors,
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(provider): Path<String>,
    Form(form): Form<ProviderLogin>,
) -> Result<Response> {
    begin(&accounts, &session, scope.as_ref(), &provider, FlowPurpose::LogIn(form.remember_me)).await
}

/// Reauthenticates a user at a provider, for sudo mode.
pub async fn sudo(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(provider): Path<String>,
) -> Result<Response> {
    begin(&accounts, &session, Some(&scope), &provider, FlowPurpose::Reauthenticate(&scope)).await
}

/// Redirects to a provider.
pub async fn begin(
    accounts: &Accounts,
    session: &CookieSession,
    scope: Option<&Scope<User>>,
    provider: &str,
    purpose: FlowPurpose<'_, User>,
) -> Result<Response> {
    match accounts.begin_provider_flow(session, provider, purpose).await {
        Ok(url) => Ok(Redirect::to(&url).into_response()),
        Err(error) => problem(accounts, session, scope, provider, error),
    }
}

/// The redirect URI of a provider. An invalid request gets a page with a link back, never a server error.
pub async fn callback(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(provider): Path<String>,
    last_login_method: LastLoginMethod,
    callback: Result<Query<Callback>, QueryRejection>,
) -> Result<Response> {
    let Query(callback) = callback.unwrap_or_default();
    match accounts.complete_provider_flow(&session, scope.as_ref(), &provider, &callback).await {
        Ok(outcome) => respond(&accounts, &session, scope.as_ref(), &last_login_method, &provider, outcome),
        Err(error) => problem(&accounts, &session, scope.as_ref(), &provider, error),
    }
}

/// Redirects a provider's form (`response_mode=form_post`) to the callback, as a `GET`: the form comes from another
/// site, and so without cookies. Changes nothing.
pub async fn form_post_callback(Path(provider): Path<String>, form: String) -> Response {
    let form = url::form_urlencoded::parse(form.as_bytes());
    let passed = form.filter(|(name, _)| ["code", "state", "iss", "error"].contains(&name.as_ref()));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(passed).finish();
    let provider: String = url::form_urlencoded::byte_serialize(provider.as_bytes()).collect();
    Redirect::to(&format!("/users/auth/{provider}/callback?{query}")).into_response()
}

fn respond(
    accounts: &Accounts,
    session: &CookieSession,
    scope: Option<&Scope<User>>,
    last_login_method: &LastLoginMethod,
    provider: &str,
    outcome: ProviderOutcome,
) -> Result<Response> {
    match outcome {
        ProviderOutcome::LogIn { next_step, took_over } => {
            let redirect = user_auth::redirect_after_log_in(session, next_step)?;
            if took_over {
                session.put_flash(Flash::Info, t!("Your email address is confirmed. Someone else may have registered this account with it before, so we logged them out and removed their password."))?;
            }
            Ok((last_login_method.remember_provider(provider), redirect).into_response())
        }
        ProviderOutcome::LogInToLink | ProviderOutcome::AskForEmail => Ok(Redirect::to(PENDING_PATH).into_response()),
        ProviderOutcome::Link(linked) => {
            put_link_result(accounts, session, provider, linked)?;
            Ok(Redirect::to(METHODS_PATH).into_response())
        }
        ProviderOutcome::Sudo => Ok(user_auth::redirect_back(session, user_auth::AFTER_LOGIN_PATH).into_response()),
        ProviderOutcome::SudoRefused => {
            session.put_flash(Flash::Error, t!("That isn't an account that you have linked. Try again."))?;
            Ok(Redirect::to(user_auth::SUDO_PATH).into_response())
        }
        ProviderOutcome::RegistrationClosed => {
            let provider = accounts.provider_label(provider);
            let what = t!(
                "No account here is linked to this {provider} account, and registration is closed. If you have an account, log in another way, then link it in your settings.",
                provider
            );
            Ok(problem_page(session, scope, what))
        }
        ProviderOutcome::Inactive => Ok(problem_page(session, scope, t!("This account can't be used.").to_owned())),
    }
}

/// Puts the message about the result of linking.
pub fn put_link_result(accounts: &Accounts, session: &CookieSession, provider: &str, linked: Linked) -> Result<()> {
    let provider = accounts.provider_label(provider);
    match linked {
        Linked::Now => session.put_flash(Flash::Info, t!("You can now log in with {provider}.", provider))?,
        Linked::Before => {
            session.put_flash(Flash::Info, t!("You can already log in with this {provider} account.", provider))?;
        }
        Linked::ByAnother => session.put_flash(
            Flash::Error,
            t!("This {provider} account is linked to another account. Unlink it there first.", provider),
        )?,
        Linked::TooMany { max } => session.put_flash(
            Flash::Error,
            t!("You can link at most {max} accounts. Unlink one that you no longer use first.", max),
        )?,
    }
    Ok(())
}

/// Shows why a login at a provider failed. Only an error of ours fails the request.
fn problem(
    accounts: &Accounts,
    session: &CookieSession,
    scope: Option<&Scope<User>>,
    provider: &str,
    error: FlowError,
) -> Result<Response> {
    let provider = accounts.provider_label(provider);
    let what = match error {
        FlowError::Library(sigra::Error::CredentialsChanged | sigra::Error::SessionEnded) => {
            t!("Your account changed in the meantime. Start again.").to_owned()
        }
        FlowError::Library(error) => return Err(error.into()),
        FlowError::Provider(OauthError::UnknownProvider) => return Err(NOT_FOUND.into()),
        FlowError::Provider(error) if error.is_unreachable() => {
            t!("{provider} can't be reached right now. Try again in a moment, or log in another way.", provider)
        }
        FlowError::Denied => t!("You canceled at {provider}. Nothing was changed.", provider),
        FlowError::UnknownFlow => {
            t!("This login has expired, was already completed, or began in another browser. Start again.").to_owned()
        }
        FlowError::OtherSession => t!("You started this in another session. Start again.").to_owned(),
        _ => t!("{provider} sent an invalid response. Start again, or log in another way.", provider),
    };
    Ok(problem_page(session, scope, what))
}

fn problem_page(session: &CookieSession, scope: Option<&Scope<User>>, what: String) -> Response {
    let back = if scope.is_some() { METHODS_PATH } else { user_auth::LOGIN_PATH };
    let layout = Layout::new(t!("The login didn't work"), session, scope);
    (StatusCode::BAD_REQUEST, Page(ProblemPage { layout, what, back })).into_response()
}

/// Shows what can be done with the identity that waits for this browser.
pub async fn new(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
) -> Result<Response> {
    match pending_page(&accounts, &session, scope.as_ref(), None, FieldErrors::default()).await? {
        Some(page) => {
            // The login leads to the page that links it.
            if let Some(path) = ReturnTo::parse(LINK_PATH) {
                session.put_return_to(&path);
            }
            Ok(page.into_response())
        }
        None => Ok(Redirect::to(user_auth::LOGIN_PATH).into_response()),
    }
}

/// Registers with an address that the provider hasn't proven. Responds in the same way for a taken address.
pub async fn register(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Form(form): Form<PendingRegistration>,
) -> Result<Response> {
    match accounts.register_pending_identity(&session, &form.pending, &form.email).await {
        Ok(()) => check_email::redirect(&session, Link::Register, &form.email),
        Err(AccountError::Invalid(problems)) => {
            match pending_page(&accounts, &session, scope.as_ref(), Some(form.email), problems).await? {
                Some(page) => Ok(page.unprocessable()),
                None => Ok(Redirect::to(user_auth::LOGIN_PATH).into_response()),
            }
        }
        Err(AccountError::RegistrationClosed) => Ok(user_auth::refuse_registration(&session)?.into_response()),
        Err(AccountError::InvalidLink) => {
            session.put_flash(Flash::Error, t!("This login has expired. Start again."))?;
            Ok(Redirect::to(user_auth::LOGIN_PATH).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn pending_page(
    accounts: &Accounts,
    session: &CookieSession,
    scope: Option<&Scope<User>>,
    entered: Option<String>,
    problems: FieldErrors,
) -> Result<Option<Page<PendingPage>>> {
    let Some(pending) = accounts.sigra().identities().pending(session).await? else { return Ok(None) };
    let identity = pending.identity;
    if !identity.email_proven && !accounts.policy().registration_open {
        return Ok(None);
    }
    let layout = Layout::new(t!("Almost there"), session, scope).with_problems(!problems.is_empty());
    Ok(Some(Page(PendingPage {
        layout,
        id: pending.id,
        label: accounts.provider_label(&identity.provider),
        has_account: identity.email_proven,
        email: entered.or(identity.email).unwrap_or_default(),
        problems,
    })))
}
