//! The user's access tokens, for scripts and other programs: creating and revoking them.

use std::net::IpAddr;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Serialize;
use sigra::{CookieSession, Sudo, api_tokens::ApiToken, bearer::RegisteredPermission};
use time::OffsetDateTime;
use uuid::Uuid;

use super::problems::no_content_or_404;
use crate::{
    accounts::{Accounts, ApiTokenRequest, User, permissions},
    web::error::Result,
};

#[derive(Serialize)]
pub struct Tokens {
    tokens: Vec<Token>,
    /// What a token can allow.
    permissions: Vec<Permission>,
    can_create: bool,
}

#[derive(Serialize)]
pub(super) struct Permission {
    name: &'static str,
    description: &'static str,
}

impl From<&RegisteredPermission> for Permission {
    fn from(permission: &RegisteredPermission) -> Self {
        Self { name: permission.name, description: permissions::describe(permission) }
    }
}

/// A token. It contains neither the secret nor its hash.
#[derive(Serialize)]
struct Token {
    id: Uuid,
    name: String,
    hint: String,
    permissions: Vec<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    expired: bool,
    #[serde(with = "time::serde::rfc3339::option")]
    last_used_at: Option<OffsetDateTime>,
    last_used_ip: Option<IpAddr>,
    #[serde(with = "time::serde::rfc3339")]
    inserted_at: OffsetDateTime,
}

impl Token {
    fn new(token: ApiToken, now: OffsetDateTime) -> Self {
        Self {
            id: token.id,
            expired: token.is_expired(now),
            name: token.name,
            hint: token.hint,
            permissions: token.permissions.iter().map(str::to_owned).collect(),
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            last_used_ip: token.last_used_ip,
            inserted_at: token.inserted_at,
        }
    }
}

/// A new token.
#[derive(Serialize)]
pub struct Created {
    /// The secret, to show once. It can't be read later.
    secret: String,
    #[serde(flatten)]
    token: Token,
}

pub async fn index(State(accounts): State<Accounts>, Sudo(scope): Sudo<User>) -> Result<Json<Tokens>> {
    let (api_tokens, now) = (accounts.sigra().api_tokens(), accounts.sigra().now());
    let tokens = api_tokens.list(&scope).await?;
    Ok(Json(Tokens {
        can_create: api_tokens.can_create(&tokens),
        tokens: tokens.into_iter().map(|token| Token::new(token, now)).collect(),
        permissions: api_tokens.permissions().iter().map(|permission| (&permission).into()).collect(),
    }))
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Json(request): Json<ApiTokenRequest>,
) -> Result<(StatusCode, Json<Created>)> {
    let created = accounts.create_api_token(&sudo, &session.client(), &request).await?;
    let secret = created.secret.as_str().to_owned();
    let token = Token::new(created.token, accounts.sigra().now());
    Ok((StatusCode::CREATED, Json(Created { secret, token })))
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Ok(no_content_or_404(accounts.sigra().api_tokens().revoke(&scope, id, &session.client()).await?))
}
