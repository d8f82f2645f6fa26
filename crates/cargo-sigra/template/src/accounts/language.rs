//! The language of a user, on pages and in emails.

use super::{Accounts, User};
use crate::languages::Language;

impl Accounts {
    /// Sets the language of a user. With `None`, it is that of their browser.
    pub async fn update_user_language(
        &self,
        user: &User,
        language: Option<&'static Language>,
    ) -> Result<(), sigra::Error> {
        sqlx::query("UPDATE users SET language = $1, updated_at = $2 WHERE id = $3")
            .bind(language.map(|language| &*language.tag))
            .bind(self.sigra.now())
            .bind(user.id)
            .execute(&self.pool)
            .await?;
        self.sigra.sessions().announce_change(&user.id);
        Ok(())
    }
}
