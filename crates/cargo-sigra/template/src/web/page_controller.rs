//! Pages that are about no account in particular.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{Problem, Scope};

use crate::accounts::User;

// <app>
use super::{
    Result,
    layout::{Layout, Page},
};
use askama::Template;
use axum::extract::State;
use sigra::{CookieSession, Sigra};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    layout: Layout,
}

pub async fn home(session: CookieSession, scope: Option<Scope<User>>) -> Page<impl Template> {
    Page(HomePage { layout: Layout::new("Home", &session, scope.as_ref()) })
}

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    layout: Layout,
    email: String,
    device: String,
}

pub async fn dashboard(session: CookieSession, scope: Scope<User>) -> Page<impl Template> {
    Page(DashboardPage {
        layout: Layout::new("Dashboard", &session, Some(&scope)),
        email: scope.user().email.clone(),
        device: scope.session().device(),
    })
}

/// For load balancers: 503 while the database can't be reached, or takes nothing that is written.
pub async fn health(State(sigra): State<Sigra<User>>) -> Result<&'static str> {
    sigra.check_health().await?;
    Ok("ok")
}
// </app>

#[derive(Serialize)]
pub struct Me {
    email: String,
}

/// Who is logged in, for programs.
pub async fn me(scope: Option<Scope<User>>) -> std::result::Result<Json<Me>, Problem> {
    let scope = scope.ok_or(Problem::new(StatusCode::UNAUTHORIZED).code("authentication_required"))?;
    Ok(Json(Me { email: scope.user().email.clone() }))
}

pub async fn stylesheet() -> Response {
    asset("text/css; charset=utf-8", include_str!("../../static/app.css"))
}

pub async fn forms_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../static/forms.js"))
}

pub async fn icon() -> Response {
    asset("image/svg+xml", include_str!("../../static/icon.svg"))
}

// <live>
pub async fn live_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../static/live.js"))
}
// </live>

// <passkeys>
pub async fn passkeys_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../static/passkeys.js"))
}
// </passkeys>

// <mfa>
pub async fn print_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../static/print.js"))
}
// </mfa>

fn asset(content_type: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "public, max-age=3600")], body).into_response()
}
