//! Roles: a column of the users table, and an extractor that checks it.
//!
//! `cargo run --package example-roles` starts it. Open <http://localhost:3000/members>, and log in as `ada@example.com`
//! with `correct horse battery staple`: the page doesn't exist for a member. Then run
//! `cargo run --package example-roles -- make-admin ada@example.com`, and reload it.

mod database;

use std::{error::Error, net::SocketAddr};

use axum::{
    Form, Router,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use sigra::{
    CookieSession, HashedPassword, LoginMethod, LoginOutcome, Password, Problem, RememberMe, Scope, Sigra, Verification,
};
use tokio::net::TcpListener;

const DATABASE: &str = "roles.db";

/// `type_name` is for PostgreSQL, where it is the type of the column. SQLite doesn't use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
enum Role {
    Member,
    Admin,
}

#[derive(Clone, Debug, sqlx::FromRow)]
struct User {
    id: i64,
    email: String,
    hashed_password: Option<HashedPassword>,
    role: Role,
}

impl User {
    fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}

impl sigra::AuthUser for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }
}

/// The scope of an administrator. Visitors are redirected to the login page. For members, the route doesn't exist.
struct AdminScope(Scope<User>);

impl<S: Send + Sync> FromRequestParts<S> for AdminScope {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let scope = <Scope<User> as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        if scope.user().is_admin() { Ok(Self(scope)) } else { Err(Problem::new(StatusCode::NOT_FOUND).into_response()) }
    }
}

async fn members(State(sigra): State<Sigra<User>>, AdminScope(scope): AdminScope) -> sigra::Result<String> {
    let members: Vec<User> = sqlx::query_as("SELECT * FROM users ORDER BY email").fetch_all(sigra.pool()).await?;
    let emails: Vec<String> = members.into_iter().map(|user| user.email).collect();
    Ok(format!("{} sees all users: {}", scope.user().email, emails.join(", ")))
}

async fn home(scope: Scope<User>) -> String {
    format!("Hello {}", scope.user().email)
}

#[derive(serde::Deserialize)]
struct LogIn {
    email: String,
    password: Password,
}

async fn log_in(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    Form(form): Form<LogIn>,
) -> sigra::Result<Redirect> {
    sigra.limits().check_address(&session.client())?;
    let by_email = sqlx::query_as("SELECT * FROM users WHERE email = $1").bind(&form.email);
    let user: Option<User> = by_email.fetch_optional(sigra.pool()).await?;
    let id = user.as_ref().map(|user| user.id);
    let check = sigra.verify_password(user.as_ref(), &form.password);
    let user = match (sigra.limits().attempt_log_in(&session, &form.email, id.as_ref(), check).await?, user) {
        (Verification::Valid, user) => user,
        (Verification::Outdated(new), Some(user)) => {
            // Unless the password was changed in the meantime.
            let update = "UPDATE users SET hashed_password = $1 WHERE id = $2 AND hashed_password = $3 RETURNING *";
            let update = sqlx::query_as(update).bind(new).bind(user.id).bind(user.hashed_password);
            update.fetch_optional(sigra.pool()).await?
        }
        _ => None,
    };
    let Some(user) = user else { return Ok(Redirect::to("/users/log-in")) };
    sigra.limits().forget_logins(&session, &form.email, &user.id).await?;
    Ok(match sigra.log_in(&session, &user, LoginMethod::Password, RememberMe::No).await? {
        LoginOutcome::Complete => Redirect::to("/"),
        // This can't happen here, because users can't add a second factor.
        LoginOutcome::SecondFactorPending => Redirect::to("/users/log-in"),
    })
}

fn app(sigra: Sigra<User>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/members", get(members))
        .route("/users/log-in", get(Html(include_str!("log_in.html"))).post(log_in))
        .layer(sigra.fetch_current_scope())
        .with_state(sigra)
}

/// Makes an administrator of a registered user. Returns whether there is one with this email address.
async fn make_admin(sigra: &Sigra<User>, email: &str) -> sigra::Result<bool> {
    let update = sqlx::query("UPDATE users SET role = 'admin' WHERE email = $1").bind(email);
    Ok(update.execute(sigra.pool()).await?.rows_affected() == 1)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sigra = database::open(DATABASE).await?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let listener = TcpListener::bind("127.0.0.1:3000").await?;
            println!("Listening on http://localhost:3000/members");
            axum::serve(listener, app(sigra).into_make_service_with_connect_info::<SocketAddr>()).await?;
            Ok(())
        }
        ["make-admin", email] if make_admin(&sigra, email).await? => Ok(()),
        ["make-admin", email] => Err(format!("no user has the email address {email}: register first").into()),
        _ => Err("use no arguments, or `make-admin` and an email address".into()),
    }
}

#[cfg(test)]
mod tests {
    use sigra::testing::{TestClient, assert_contains, assert_redirected_to, assert_status};

    use super::*;

    const ADA: &str = "ada@example.com";

    #[tokio::test]
    async fn a_page_for_administrators_does_not_exist_for_members() {
        let folder = tempfile::tempdir().unwrap();
        let sigra = database::open(folder.path().join("roles.db").to_str().unwrap()).await.unwrap();
        let browser = TestClient::new(app(sigra.clone()));
        assert_redirected_to(&browser.get("/members").await, "/users/log-in");

        browser.post("/users/log-in", &[("email", ADA), ("password", database::PASSWORD)]).await;
        assert_status(&browser.get("/").await, 200);
        assert_status(&browser.get("/members").await, 404);

        assert!(make_admin(&sigra, ADA).await.unwrap());
        assert_contains(&browser.get("/members").await, "sees all users: ada@example.com, bob@example.com");
        assert!(!make_admin(&sigra, "nobody@example.com").await.unwrap());
    }
}
