//! Passkeys: adding, renaming and removing them, and logging in with one.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{Checked, CookieSession, Flash, LoginMethod, Scope, Sudo, mfa::MfaEnrollment};
use uuid::Uuid;

use super::{form::Form, last_login_method::LastLoginMethod, mfa};
use crate::{
    accounts::{Accounts, User},
    web::{
        error::{NOT_FOUND, Result},
        forms::{NewPasskey, PasskeyLogin, PasskeyName},
        user_auth,
    },
};

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
    Form(form): Form<NewPasskey>,
) -> Result<Response> {
    if let Some(page) = mfa::backup_codes_again(&accounts, &session, enrollment.scope(), &form.form_key) {
        return Ok(page);
    }
    match accounts.add_passkey(&session, &enrollment, &form.name, form.credential.as_ref()).await {
        Ok(Checked::Valid(enrolled)) => {
            mfa::finish_enrollment(&accounts, &session, &enrollment, &form.form_key, enrolled, t!("Passkey added."))
        }
        Err(sigra::Error::TooManyPasskeys { max }) => {
            let why = t!("You can have at most {max} passkeys. Remove one that you no longer use first.", max);
            session.put_flash(Flash::Error, why)?;
            Ok(Redirect::to(user_auth::MFA_ENROLLMENT_PATH).into_response())
        }
        Err(error) => Err(error.into()),
        Ok(Checked::Invalid) => {
            session.put_flash(Flash::Error, t!("The passkey wasn't added. Try again."))?;
            Ok(Redirect::to(user_auth::MFA_ENROLLMENT_PATH).into_response())
        }
    }
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(id): Path<Uuid>,
    Form(form): Form<PasskeyName>,
) -> Result<Response> {
    if !accounts.sigra().passkeys().rename(&scope.user().id, id, &form.name).await? {
        return Err(NOT_FOUND.into());
    }
    session.put_flash(Flash::Info, t!("Passkey renamed."))?;
    Ok(Redirect::to(user_auth::MFA_ENROLLMENT_PATH).into_response())
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    match accounts.remove_passkey(&session, &sudo, id).await {
        Ok(false) => return Err(NOT_FOUND.into()),
        Ok(true) => session.put_flash(Flash::Info, t!("Passkey removed."))?,
        Err(sigra::Error::SecondFactorRequired) => mfa::put_last_factor_error(&session)?,
        Err(sigra::Error::LastLoginMethod) => {
            let why = t!("This passkey is your only way to log in. Set a password before you remove it.");
            session.put_flash(Flash::Error, why)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Redirect::to(user_auth::MFA_ENROLLMENT_PATH).into_response())
}

pub async fn log_in(
    State(accounts): State<Accounts>,
    session: CookieSession,
    last_login_method: LastLoginMethod,
    Form(form): Form<PasskeyLogin>,
) -> Result<Response> {
    match accounts.log_in_with_passkey(&session, form.credential.as_ref(), form.remember_me).await? {
        Checked::Valid(next_step) => {
            let next = user_auth::redirect_after_log_in(&session, next_step)?;
            Ok((last_login_method.remember(LoginMethod::Passkey), next).into_response())
        }
        Checked::Invalid => {
            session.put_flash(Flash::Error, t!("We don't recognize that passkey. Log in another way."))?;
            Ok(Redirect::to(user_auth::LOGIN_PATH).into_response())
        }
    }
}
