//! Pages to replace with your own.

use askama::Template;
use sigra::{CookieSession, Scope};

use crate::{
    accounts::User,
    devices,
    web::layout::{Layout, Page},
};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    layout: Layout,
}

pub async fn home(session: CookieSession, scope: Option<Scope<User>>) -> Page<impl Template> {
    Page(HomePage { layout: Layout::new(t!("Home"), &session, scope.as_ref()) })
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
        layout: Layout::new(t!("Dashboard"), &session, Some(&scope)).active_path("/dashboard"),
        email: scope.user().email.clone(),
        device: devices::describe(scope.session().user_agent.as_deref()),
    })
}
