//! The servers in this crate: Sigra on either database, asked with cookies or with tokens (`TOKENS=on`), and the same
//! handler without authentication, alone or in a layer that does nothing.

use std::{env, path::Path};

use axum::Router;
use bench::{
    Result,
    app::{self, Account, PostgresUser, SqliteUser, bare},
    fill::{self, Size},
    settings::Settings,
};
use tower::layer::util::Identity;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let app = match env::args().nth(1).as_deref() {
        Some("bare") => bare(),
        Some("bare-layered") => bare().layer(Identity::new()),
        Some("sigra-sqlite") => sqlite(&settings).await?,
        Some("sigra-postgres") => postgres(&settings).await?,
        other => return Err(format!("no such server: {other:?}").into()),
    };
    settings.serve(app).await
}

async fn sqlite(settings: &Settings) -> Result<Router> {
    let pool = fill::sqlite(Path::new(&settings.database), size(settings), settings.pool).await?;
    if is_on("TOKENS") {
        fill::sqlite_tokens(&pool, size(settings)).await?;
    }
    sigra::<SqliteUser>(pool)
}

async fn postgres(settings: &Settings) -> Result<Router> {
    let pool = fill::postgres(&settings.database, size(settings), settings.pool).await?;
    if is_on("TOKENS") {
        fill::postgres_tokens(&pool, size(settings)).await?;
    }
    sigra::<PostgresUser>(pool)
}

fn sigra<U: Account>(pool: sqlx::Pool<U::Database>) -> Result<Router> {
    let sigra = app::sigra::<U>(pool, is_on("CACHE"))?;
    Ok(if is_on("TOKENS") { app::token_router(sigra) } else { app::router(sigra) })
}

fn is_on(setting: &str) -> bool {
    env::var(setting).is_ok_and(|value| value == "on")
}

fn size(settings: &Settings) -> Size {
    Size { users: settings.users, sessions: settings.sessions }
}
