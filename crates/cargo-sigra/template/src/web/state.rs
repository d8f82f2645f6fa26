//! What handlers get as `State`.

use std::sync::Arc;

use axum::extract::FromRef;
use sigra::Sigra;

use crate::{
    accounts::{Accounts, User},
    config::Settings,
};

#[derive(Clone, FromRef)]
pub struct AppState {
    pub accounts: Accounts,
    pub sigra: Sigra<User>,
    pub settings: Arc<Settings>,
}

impl AppState {
    pub fn new(accounts: Accounts, sigra: Sigra<User>, settings: Settings) -> Self {
        Self { accounts, sigra, settings: Arc::new(settings) }
    }
}
