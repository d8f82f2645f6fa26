use axum::{
    Form, Router,
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};

use crate::users::{Backend, Credentials};

type AuthSession = axum_login::AuthSession<Backend>;

pub fn router() -> Router {
    Router::new().route("/login", get(form).post(log_in))
}

async fn form() -> Html<&'static str> {
    Html("<form method=post><input name=username><input name=password></form>")
}

async fn log_in(
    mut session: AuthSession,
    Form(credentials): Form<Credentials>,
) -> Response {
    match session.authenticate(credentials).await {
        Ok(Some(user)) if session.login(&user).await.is_ok() => {
            Redirect::to("/").into_response()
        }
        Ok(_) => Redirect::to("/login").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
