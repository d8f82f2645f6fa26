//! The language of the user, for problems and emails.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use sigra::{Problem, Scope};

use crate::{
    accounts::{Accounts, User},
    languages,
    web::error::Result,
};

/// There is no such language.
const UNKNOWN_LANGUAGE: Problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY).code("unknown_language");

#[derive(Serialize)]
pub struct Languages {
    /// The user's. `null`: the first one in `Accept-Language` that there is.
    language: Option<&'static str>,
    languages: Vec<Choice>,
}

#[derive(Serialize)]
struct Choice {
    tag: &'static str,
    name: &'static str,
    direction: &'static str,
}

#[derive(Deserialize)]
pub struct LanguageUpdate {
    language: Option<String>,
}

pub async fn index(scope: Scope<User>) -> Json<Languages> {
    let choices = languages::all().map(|language| Choice {
        tag: &language.tag,
        name: &language.name,
        direction: language.direction(),
    });
    let language = scope.user().language().map(|language| &*language.tag);
    Json(Languages { language, languages: choices.collect() })
}

pub async fn update(
    State(accounts): State<Accounts>,
    scope: Scope<User>,
    Json(body): Json<LanguageUpdate>,
) -> Result<StatusCode> {
    let language = match &body.language {
        Some(tag) => Some(languages::find(tag).ok_or(UNKNOWN_LANGUAGE)?),
        None => None,
    };
    accounts.update_user_language(scope.user(), language).await?;
    Ok(StatusCode::NO_CONTENT)
}
