//! The servers in this crate: Sigra on either database, and the same handler without authentication, alone or in a
//! layer that does nothing.

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
    sigra::<SqliteUser>(fill::sqlite(Path::new(&settings.database), size(settings), settings.pool).await?)
}

async fn postgres(settings: &Settings) -> Result<Router> {
    sigra::<PostgresUser>(fill::postgres(&settings.database, size(settings), settings.pool).await?)
}

fn sigra<U: Account>(pool: sqlx::Pool<U::Database>) -> Result<Router> {
    let cache = env::var("CACHE").is_ok_and(|cache| cache == "on");
    Ok(app::router(app::sigra::<U>(pool, cache)?))
}

fn size(settings: &Settings) -> Size {
    Size { users: settings.users, sessions: settings.sessions }
}
