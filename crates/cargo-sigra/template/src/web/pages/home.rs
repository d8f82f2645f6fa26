//! Pages to replace with your own.

use askama::Template;
use sigra::{CookieSession, Scope};

use crate::{
    accounts::User,
    web::layout::{Layout, Page},
};

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
