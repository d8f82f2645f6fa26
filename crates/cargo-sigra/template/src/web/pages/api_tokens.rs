//! The user's access tokens, for scripts and other programs: creating and revoking them.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, Scope, Sudo, api_tokens::ApiToken, bearer::RegisteredPermission};
use uuid::Uuid;

use super::form::Form;
use crate::{
    accounts::{AccountError, Accounts, ApiTokenRequest, FieldErrors, User, permissions},
    dates::{Timestamp, timestamp},
    web::{
        error::{NOT_FOUND, Result},
        layout::{Layout, Page},
    },
};

pub const PATH: &str = "/users/settings/tokens";

/// The page shows a token.
const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

#[derive(Template)]
#[template(path = "api_tokens.html")]
struct TokensPage {
    layout: Layout,
    tokens: Vec<Token>,
    /// A new token. The page shows it only once.
    created: Option<String>,
    permissions: Vec<RegisteredPermission>,
    can_create: bool,
    request: ApiTokenRequest,
    problems: FieldErrors,
}

impl TokensPage {
    fn has_permission(&self, permission: &RegisteredPermission) -> bool {
        self.request.permissions.iter().any(|name| name == permission.name)
    }

    fn expires_in(&self, days: &str) -> bool {
        self.request.expires_in_days == days
    }

    /// Returns what is wrong with the choice of when the token expires.
    fn period_problem(&self) -> Option<&'static str> {
        self.problems.expires_in_days.filter(|_| !self.expires_in("date"))
    }

    /// Returns what is wrong with the date on which the token expires.
    fn date_problem(&self) -> Option<&'static str> {
        self.problems.expires_in_days.filter(|_| self.expires_in("date"))
    }
}

/// One row of the page. It contains no token and no hash.
struct Token {
    id: Uuid,
    name: String,
    hint: String,
    permissions: Vec<&'static str>,
    created: Timestamp,
    last_used: Option<Timestamp>,
    ip: Option<String>,
    expires: Option<Timestamp>,
    is_expired: bool,
}

impl Token {
    fn new(token: &ApiToken, is_expired: bool) -> Self {
        Self {
            id: token.id,
            name: token.name.clone(),
            hint: token.hint.clone(),
            permissions: permissions::describe_all(&token.permissions),
            created: timestamp(token.inserted_at),
            last_used: token.last_used_at.map(timestamp),
            ip: token.last_used_ip.map(|ip| ip.to_string()),
            expires: token.expires_at.map(timestamp),
            is_expired,
        }
    }
}

pub async fn index(State(accounts): State<Accounts>, session: CookieSession, sudo: Sudo<User>) -> Result<Response> {
    let created = accounts.sigra().api_tokens().take_shown(&session, sudo.scope()).map(|token| token.to_string());
    let request = ApiTokenRequest { expires_in_days: "30".to_owned(), ..ApiTokenRequest::default() };
    let page = page(&accounts, &session, sudo.scope(), request, FieldErrors::default()).await?;
    Ok(([NO_STORE], Page(TokensPage { created, ..page })).into_response())
}

/// Redirects to the page that shows the token, so that a reload of that page creates no other one.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Form(request): Form<ApiTokenRequest>,
) -> Result<Response> {
    match accounts.create_api_token(&sudo, &session.client(), &request).await {
        Ok(created) => {
            accounts.sigra().api_tokens().show_on_next_page(&session, sudo.scope(), &created)?;
            Ok(Redirect::to(PATH).into_response())
        }
        Err(AccountError::Invalid(problems)) => {
            Ok(Page(page(&accounts, &session, sudo.scope(), request, problems).await?).unprocessable())
        }
        Err(AccountError::Sigra(sigra::Error::TooManyApiTokens { max })) => {
            let why = t!("You can have at most {max} tokens. Revoke one that you no longer use first.", max);
            session.put_flash(Flash::Error, why)?;
            Ok(Redirect::to(PATH).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    if !accounts.sigra().api_tokens().revoke(&scope, id, &session.client()).await? {
        return Err(NOT_FOUND.into());
    }
    session.put_flash(Flash::Info, t!("Token revoked."))?;
    Ok(Redirect::to(PATH).into_response())
}

async fn page(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    request: ApiTokenRequest,
    problems: FieldErrors,
) -> Result<TokensPage> {
    let (api_tokens, now) = (accounts.sigra().api_tokens(), accounts.sigra().now());
    let tokens = api_tokens.list(scope).await?;
    Ok(TokensPage {
        layout: Layout::new(t!("Access tokens"), session, Some(scope))
            .active_path(PATH)
            .with_problems(!problems.is_empty()),
        can_create: api_tokens.can_create(&tokens),
        tokens: tokens.iter().map(|token| Token::new(token, token.is_expired(now))).collect(),
        created: None,
        permissions: api_tokens.permissions().iter().collect(),
        request,
        problems,
    })
}
