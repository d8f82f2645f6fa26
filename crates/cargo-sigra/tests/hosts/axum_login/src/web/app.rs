use axum_login::{AuthManagerLayerBuilder, login_required};
use sqlx::SqlitePool;
use tokio::net::TcpListener;
use tower_sessions::{MemoryStore, SessionManagerLayer};

use crate::{
    users::Backend,
    web::{auth, protected},
};

pub struct App {
    db: SqlitePool,
}

impl App {
    pub async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let db = SqlitePool::connect(&std::env::var("DATABASE_URL")?).await?;
        sqlx::migrate!().run(&db).await?;
        Ok(Self { db })
    }

    pub async fn serve(self) -> Result<(), Box<dyn std::error::Error>> {
        let sessions =
            SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
        let backend = Backend::new(self.db);
        let layer = AuthManagerLayerBuilder::new(backend, sessions).build();
        let app = protected::router()
            .route_layer(login_required!(Backend, login_url = "/login"))
            .merge(auth::router())
            .layer(layer);
        let address = std::env::var("LISTEN")
            .unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
        let listener = TcpListener::bind(address).await?;
        axum::serve(listener, app.into_make_service()).await?;
        Ok(())
    }
}
