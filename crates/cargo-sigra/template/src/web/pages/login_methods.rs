//! "Ways to log in": what opens the account, when it was last used, and linking and unlinking accounts at providers.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, LoginMethod, Scope, Sudo, oauth::FlowPurpose};
use uuid::Uuid;

use super::{
    form::Form,
    oauth::{self, METHODS_PATH, ProviderButton},
};
use crate::{
    accounts::{Accounts, User},
    dates::{Timestamp, timestamp},
    web::{
        error::{NOT_FOUND, Result},
        forms::Pending,
        layout::{Layout, Page},
    },
};

#[derive(Template)]
#[template(path = "login_methods.html")]
struct MethodsPage {
    layout: Layout,
    email: String,
    has_password: bool,
    password_used: Option<Timestamp>,
    // <magic_link>
    link_used: Option<Timestamp>,
    // </magic_link>
    // <passkeys>
    passkeys: Vec<(String, Timestamp)>,
    has_passkeys: bool,
    // </passkeys>
    identities: Vec<Linked>,
    providers: Vec<ProviderButton>,
}

/// An account at a provider.
struct Linked {
    id: Uuid,
    label: String,
    email: Option<String>,
    used: Timestamp,
}

#[derive(Template)]
#[template(path = "link_identity.html")]
struct LinkIdentityPage {
    layout: Layout,
    id: String,
    label: String,
    at_provider: Option<String>,
    email: String,
}

pub async fn index(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
) -> Result<Page<impl Template>> {
    let user = scope.user();
    let audit = accounts.sigra().audit();
    let identities = accounts.sigra().identities().list(&user.id).await?;
    let identities = identities.into_iter().map(|identity| Linked {
        id: identity.id,
        label: accounts.provider_label(&identity.provider),
        email: identity.email,
        used: timestamp(identity.last_used_at),
    });
    // <passkeys>
    let passkeys = accounts.sigra().mfa().list(&user.id).await?.passkeys;
    // </passkeys>
    Ok(Page(MethodsPage {
        layout: Layout::new(t!("Ways to log in"), &session, Some(&scope)).active_path(METHODS_PATH),
        email: user.email.clone(),
        has_password: user.hashed_password.is_some(),
        password_used: audit.last_login(&user.id, LoginMethod::Password).await?.map(timestamp),
        // <magic_link>
        link_used: audit.last_login(&user.id, LoginMethod::Link).await?.map(timestamp),
        // </magic_link>
        // <passkeys>
        passkeys: passkeys.into_iter().map(|passkey| (passkey.name, timestamp(passkey.last_used_at))).collect(),
        has_passkeys: accounts.policy().passkey_domain.is_some(),
        // </passkeys>
        identities: identities.collect(),
        providers: oauth::buttons(&accounts, ""),
    }))
}

/// Begins to link an account at a provider.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(provider): Path<String>,
) -> Result<Response> {
    oauth::begin(&accounts, &session, Some(sudo.scope()), &provider, FlowPurpose::Link(&sudo)).await
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    match accounts.unlink_identity(&session, &sudo, id).await {
        Ok(Some(identity)) => {
            let provider = accounts.provider_label(&identity.provider);
            session.put_flash(Flash::Info, t!("You can no longer log in with this {provider} account.", provider))?;
        }
        Ok(None) => return Err(NOT_FOUND.into()),
        Err(sigra::Error::LastLoginMethod) => session.put_flash(
            Flash::Error,
            t!("This is your only way to log in. Set a password first, or link another account."),
        )?,
        Err(error) => return Err(error.into()),
    }
    Ok(Redirect::to(METHODS_PATH).into_response())
}

/// Asks whether to link the identity that has been waiting since before the login.
pub async fn edit(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
) -> Result<Response> {
    let Some(pending) = accounts.sigra().identities().pending(&session).await? else {
        return Ok(Redirect::to(METHODS_PATH).into_response());
    };
    let page = LinkIdentityPage {
        layout: Layout::new(t!("Link an account"), &session, Some(&scope)),
        id: pending.id,
        label: accounts.provider_label(&pending.identity.provider),
        at_provider: pending.identity.email,
        email: scope.user().email.clone(),
    };
    Ok(Page(page).into_response())
}

pub async fn link(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Form(form): Form<Pending>,
) -> Result<Response> {
    match accounts.link_pending_identity(&session, &sudo, &form.pending).await? {
        Some((pending, linked)) => oauth::put_link_result(&accounts, &session, &pending.identity.provider, linked)?,
        None => session.put_flash(Flash::Error, t!("This login has expired. Start again."))?,
    }
    Ok(Redirect::to(METHODS_PATH).into_response())
}

/// Forgets the identity that waits.
pub async fn forget(State(accounts): State<Accounts>, session: CookieSession, _: Scope<User>) -> Result<Response> {
    accounts.sigra().identities().forget_pending(&session).await?;
    Ok(Redirect::to(METHODS_PATH).into_response())
}
