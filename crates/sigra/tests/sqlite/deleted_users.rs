//! The trigger that deletes all of a deleted user's rows, where foreign keys are off.

use sigra::schema;
use sqlx::{AssertSqlSafe, Row, SqliteConnection, SqlitePool, sqlite::SqliteConnectOptions};

const WITH_INTEGERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY)";
const WITH_UUIDS: &str = "CREATE TABLE users (id BLOB NOT NULL PRIMARY KEY)";

/// A database in memory, as the program `sqlite3` opens one.
async fn by_hand(users: &'static str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(false);
    let mut conn = SqlitePool::connect_with(options).await.unwrap().acquire().await.unwrap().detach();
    for sql in [users, schema::SQLITE] {
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    }
    conn
}

async fn all(conn: &mut SqliteConnection, column: &str, sql: String) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| row.get(column)).collect()
}

/// The tables whose rows belong to a user, with the column that says so.
async fn tables_of_users(conn: &mut SqliteConnection) -> Vec<(String, String)> {
    let keys =
        "SELECT m.name || ' ' || k.\"from\" AS found FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) k";
    let found = all(conn, "found", keys.to_owned()).await;
    found.iter().map(|found| found.split_once(' ').unwrap()).map(|(table, key)| (table.into(), key.into())).collect()
}

/// Inserts a row with any values in the columns that need one.
async fn insert(conn: &mut SqliteConnection, table: &str, key: &str) {
    let columns = format!(
        "SELECT name || ' ' || CASE WHEN name = '{key}' AND name = 'user_id' THEN '7' WHEN type = 'BLOB' THEN 'zeroblob(32)'
             WHEN type = 'TEXT' THEN '''x''' ELSE '1' END AS value
         FROM pragma_table_info('{table}') WHERE name = '{key}' OR (\"notnull\" AND dflt_value IS NULL)"
    );
    let columns = all(conn, "value", columns).await;
    let (names, values): (Vec<&str>, Vec<&str>) = columns.iter().map(|column| column.split_once(' ').unwrap()).unzip();
    let insert = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "));
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(conn).await.unwrap();
}

#[tokio::test]
async fn deleting_a_user_deletes_all_of_their_rows_without_foreign_keys() {
    let mut conn = by_hand(WITH_INTEGERS).await;
    sqlx::raw_sql("INSERT INTO users VALUES (6), (7)").execute(&mut conn).await.unwrap();
    let tables = tables_of_users(&mut conn).await;
    assert!(tables.len() >= 11, "{tables:?}");
    for (table, key) in &tables {
        insert(&mut conn, table, key).await;
    }
    for (id, left) in [(6, "1"), (7, "0")] {
        sqlx::raw_sql(AssertSqlSafe(format!("DELETE FROM users WHERE id = {id}"))).execute(&mut conn).await.unwrap();
        for (table, _) in &tables {
            let count = format!("SELECT CAST(count(*) AS TEXT) AS rows FROM {table}");
            assert_eq!(all(&mut conn, "rows", count).await, [left], "{table}, without user {id}");
        }
    }
}

#[tokio::test]
async fn deleting_a_user_scans_no_more_tables_if_ids_are_integers() {
    let mut scans = Vec::new();
    for users in [WITH_UUIDS, WITH_INTEGERS] {
        let mut conn = by_hand(users).await;
        let program = all(&mut conn, "opcode", "EXPLAIN DELETE FROM users WHERE id = 1".to_owned()).await;
        scans.push(program.iter().filter(|opcode| *opcode == "Rewind").count());
    }
    assert!(scans[0] > 0 && scans[0] == scans[1], "{scans:?}");
}
