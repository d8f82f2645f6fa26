//! Writing to the library's tables without recording events, announcing changes or ending sessions.

use sigra::{AuthUser, SessionId};

async fn remove_factor<U: AuthUser>(conn: &mut <U::Database as sqlx::Database>::Connection, user: &U) {
    sigra::store::totp::delete::<U>(conn, &user.id()).await.ok();
}

async fn remove_session<U: AuthUser>(
    conn: &mut <U::Database as sqlx::Database>::Connection,
    user: &U,
    session: SessionId,
) {
    sigra::store::sessions::delete_by_id::<U>(conn, &user.id(), session).await.ok();
}

async fn remove_through_the_bound<U: AuthUser>(
    conn: &mut <U::Database as sqlx::Database>::Connection,
    user: &U,
) {
    U::Database::delete_totp(conn, &user.id()).await.ok();
}

fn main() {}
