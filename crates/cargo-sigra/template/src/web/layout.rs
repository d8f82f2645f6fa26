//! What all pages share.

use askama::Template;
use axum::{
    Extension,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use sigra::{CookieSession, Flash, IdempotencyKey, Problem, Scope, session::FlashMessage};

use super::error::{Error, Result, detail_of, title_of};
// <languages>
use super::languages;
// </languages>
use crate::accounts::{Accounts, User};
// <languages>
use crate::languages::Language;
// </languages>

tokio::task_local! {
    /// Whether visitors can register, for the navigation of every page.
    static CAN_REGISTER: bool;
}

/// Sets whether visitors can register, for the pages of a request.
pub async fn set_can_register(State(accounts): State<Accounts>, request: Request, next: Next) -> Response {
    CAN_REGISTER.scope(accounts.policy().registration_open, next.run(request)).await
}

/// What the layout shows: the title, the flash messages, and the logged-in user.
pub struct Layout {
    pub title: &'static str,
    pub flash: Vec<FlashMessage>,
    pub email: Option<String>,
    pub has_nav: bool,
    /// Whether links lead to the registration.
    pub can_register: bool,
    /// Whether a form is shown again with what is wrong. The page's title says so.
    pub has_problems: bool,
    /// A hidden field of every form: a form that is sent twice is processed once. Forms work without it, too.
    pub idempotency_key: String,
    /// The path that the navigation marks as the current page. Empty for none.
    pub active_path: &'static str,
    // <languages>
    pub language: &'static Language,
    /// Where someone who changes the language stays.
    pub path: String,
    // </languages>
}

impl Layout {
    pub fn new(title: &'static str, session: &CookieSession, scope: Option<&Scope<User>>) -> Self {
        let email = scope.map(|scope| scope.user().email.clone());
        Self { flash: session.take_flash(), email, has_nav: true, ..Self::without_session(title) }
    }

    // <mfa>
    /// For pages of users who can't go anywhere else yet.
    pub fn without_nav(title: &'static str, session: &CookieSession) -> Self {
        Self { flash: session.take_flash(), ..Self::without_session(title) }
    }
    // </mfa>

    /// Sets the path that the navigation marks as the current page.
    pub fn active_path(mut self, path: &'static str) -> Self {
        self.active_path = path;
        self
    }

    /// Adds an error that concerns the whole form.
    pub fn alert(mut self, problem: &Problem) -> Self {
        let text = detail_of(problem).unwrap_or_else(|| title_of(problem).to_owned());
        self.flash.push(FlashMessage::new(Flash::Error, text));
        self.with_problems(true)
    }

    /// Sets whether fields have errors.
    pub fn with_problems(mut self, has_problems: bool) -> Self {
        self.has_problems |= has_problems;
        self
    }

    /// For pages that may be shown while the database is unreachable.
    pub fn without_session(title: &'static str) -> Self {
        let idempotency_key = IdempotencyKey::generate().map(|key| key.to_string()).unwrap_or_default();
        Self {
            title,
            flash: Vec::new(),
            email: None,
            has_nav: false,
            can_register: can_register(),
            has_problems: false,
            idempotency_key,
            active_path: "",
            // <languages>
            language: crate::languages::current(),
            path: languages::current_path(),
            // </languages>
        }
    }

    /// Returns the letters of the user's avatar: `AL` for `ada.lovelace@example.com`.
    pub fn initials(&self) -> String {
        let name = self.email.as_deref().unwrap_or_default().split('@').next().unwrap_or_default();
        let words = name.split(|c: char| !c.is_alphanumeric()).filter_map(|word| word.chars().next());
        words.take(2).flat_map(char::to_uppercase).collect()
    }
}

/// Returns whether visitors can register.
pub fn can_register() -> bool {
    CAN_REGISTER.try_with(|can_register| *can_register).unwrap_or(true)
}

/// Returns the problem to show [above the form](Layout::alert) after too many attempts. Any other error fails the
/// request.
pub fn too_many_attempts(error: sigra::Error) -> Result<Problem> {
    match error {
        sigra::Error::TooManyAttempts { retry_after } => Ok(Problem::too_many_requests(retry_after)),
        error => Err(error.into()),
    }
}

/// A template as a response.
pub struct Page<T>(pub T);

impl<T: Template> Page<T> {
    /// Shows a form again with errors beside its fields.
    pub fn unprocessable(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, self).into_response()
    }

    /// Shows a form again because of a temporary [problem](Layout::alert).
    pub fn retry_later(self, problem: Problem) -> Response {
        let retry_after = problem.retry_after_header().map(|wait| [(header::RETRY_AFTER, wait)]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_avatar_has_the_initials_of_the_email_address() {
        for (email, initials) in
            [("ada.lovelace@example.com", "AL"), ("demo@example.com", "D"), ("é-ö_x@example.com", "ÉÖ")]
        {
            let layout = Layout { email: Some(email.to_owned()), ..Layout::without_session("Home") };
            assert_eq!(layout.initials(), initials);
        }
    }

    // <languages>
    #[derive(Template)]
    #[template(path = "layout.html")]
    struct Bare {
        layout: Layout,
    }

    #[test]
    fn a_page_says_its_language_and_the_direction_of_its_script() {
        for (tag, direction) in [("de", "ltr"), ("ar", "rtl"), ("he-IL", "rtl")] {
            let language: &'static Language = Box::leak(Box::new(Language::for_tests(tag)));
            let layout = crate::languages::with_language_sync(language, || Layout::without_session("Home"));
            let page = Bare { layout }.render().expect("a page");
            assert!(page.contains(&format!("<html lang=\"{tag}\" dir=\"{direction}\">")), "{page}");
        }
    }
    // </languages>
}
