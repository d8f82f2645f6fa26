//! What all pages share.

use askama::Template;
use axum::{
    Extension,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use sigra::{CookieSession, Flash, IdempotencyKey, Problem, Scope, session::FlashMessage};

use super::error::Error;
use crate::accounts::User;

/// What the layout shows: the title, the waiting messages, and who is logged in.
pub struct Layout {
    pub title: &'static str,
    pub flash: Vec<FlashMessage>,
    pub email: Option<String>,
    pub has_nav: bool,
    /// Goes into every form: sent twice, it is done once. Without one a form works too.
    pub idempotency_key: String,
}

impl Layout {
    pub fn new(title: &'static str, session: &CookieSession, scope: Option<&Scope<User>>) -> Self {
        let email = scope.map(|scope| scope.user().email.clone());
        Self { flash: session.take_flash(), email, has_nav: true, ..Self::without_session(title) }
    }

    // <mfa>
    /// For pages of who has nowhere else to go.
    pub fn without_nav(title: &'static str, session: &CookieSession) -> Self {
        Self { flash: session.take_flash(), ..Self::without_session(title) }
    }
    // </mfa>

    /// Says what is wrong with the form as a whole.
    pub fn alert(mut self, problem: &Problem) -> Self {
        let text = problem.detail().unwrap_or_else(|| problem.title().to_owned());
        self.flash.push(FlashMessage::new(Flash::Error, text));
        self
    }

    /// For pages that may be shown when nobody can be asked who is logged in.
    pub fn without_session(title: &'static str) -> Self {
        let idempotency_key = IdempotencyKey::generate().map(|key| key.to_string()).unwrap_or_default();
        Self { title, flash: Vec::new(), email: None, has_nav: false, idempotency_key }
    }
}

/// A template as a response.
pub struct Page<T>(pub T);

impl<T: Template> Page<T> {
    /// A form that is shown again, with what is wrong beside its fields.
    pub fn refused(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, self).into_response()
    }

    /// A form that is shown again, because of a [problem](Layout::alert) that passes.
    pub fn later(self, problem: Problem) -> Response {
        let retry_after = problem.retry_after().map(|wait| [(header::RETRY_AFTER, wait)]);
        (problem.status(), retry_after.unwrap_or([(header::RETRY_AFTER, 1.into())]), Extension(problem), self)
            .into_response()
    }
}

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => Html(html).into_response(),
            Err(error) => Error::from(error).into_response(),
        }
    }
}
