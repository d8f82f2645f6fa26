//! The language: of the user in the settings, and of a visitor at the foot of each page.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, Scope, session::ReturnTo};

use super::form::Form;
use crate::{
    accounts::{Accounts, User},
    config::Settings,
    languages::{self, Language},
    web::{
        error::Result,
        forms::{BrowserLanguageForm, LanguageForm},
        languages::{COOKIE, accept_language},
        layout::{Layout, Page},
    },
};

const PATH: &str = "/users/settings/language";

#[derive(Template)]
#[template(path = "language.html")]
struct LanguagePage {
    layout: Layout,
    /// The user's choice.
    chosen: Option<&'static Language>,
}

impl LanguagePage {
    fn is_chosen(&self, language: &Language) -> bool {
        self.chosen.is_some_and(|chosen| chosen.tag == language.tag)
    }
}

pub async fn edit(session: CookieSession, scope: Scope<User>) -> Page<impl Template> {
    let layout = Layout::new(t!("Language"), &session, Some(&scope)).active_path(PATH);
    Page(LanguagePage { layout, chosen: scope.user().language() })
}

/// Also chooses the language of this browser, so that it stays after the user has logged out.
pub async fn update(
    State(accounts): State<Accounts>,
    State(settings): State<Arc<Settings>>,
    session: CookieSession,
    scope: Scope<User>,
    headers: HeaderMap,
    Form(form): Form<LanguageForm>,
) -> Result<Response> {
    let language = languages::find(&form.language);
    accounts.update_user_language(scope.user(), language).await?;
    // The next page is in it.
    languages::switch_to(language.unwrap_or_else(|| accept_language(&headers)));
    session.put_flash(Flash::Info, t!("Your language was saved."))?;
    let cookie = match language {
        Some(language) => COOKIE.set(&language.tag, &settings),
        None => COOKIE.delete(&settings),
    };
    Ok((cookie, Redirect::to(PATH)).into_response())
}

/// Chooses the language of this browser, and returns to the page where it was chosen.
pub async fn choose(State(settings): State<Arc<Settings>>, Form(form): Form<BrowserLanguageForm>) -> Response {
    let path = ReturnTo::parse(&form.return_to);
    let target = Redirect::to(path.as_ref().map_or("/", ReturnTo::as_str));
    match languages::find(&form.chosen.language) {
        Some(language) => (COOKIE.set(&language.tag, &settings), target).into_response(),
        None => target.into_response(),
    }
}
