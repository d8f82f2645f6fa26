//! The library's schema in `crates/sigra/src/store` matches the template's migrations, the other database, and the
//! guides.

use super::{
    sources::{files, read},
    tables::{code, table},
};

/// Returns the library's schema for a database, and the template's migration.
fn library_and_migration(database: &str) -> (String, String) {
    let migration = "20260101000000_create_users_auth_tables.sql";
    (
        read(&format!("crates/sigra/src/store/{database}.sql")),
        read(&format!("crates/cargo-sigra/template/migrations/{database}/{migration}")),
    )
}

/// Returns the migration for an application with UUIDs or with integers as ids.
fn migration_for(migration: &str, has_uuids: bool) -> String {
    let mut is_left_out = false;
    let mut kept = String::new();
    for line in migration.lines() {
        match line.trim() {
            "-- <uuid>" => is_left_out = !has_uuids,
            "-- <!uuid>" => is_left_out = has_uuids,
            "-- </uuid>" | "-- </!uuid>" => is_left_out = false,
            _ if is_left_out => {}
            // The generator uncomments this line.
            _ if !has_uuids => kept.extend([
                line.replacen("-- user_id", "user_id", 1).replacen("-- actor_id", "actor_id", 1).as_str(),
                "\n",
            ]),
            _ => kept.extend([line, "\n"]),
        }
    }
    kept
}

/// Returns lines without the spaces that align columns.
fn words(sql: &str) -> Vec<String> {
    sql.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_migrations_end_with_the_schema_of_the_library() {
    for database in ["sqlite", "postgres"] {
        let (library, migration) = library_and_migration(database);
        let migration = migration_for(&migration, true);
        let (users, _) = migration.split_once(&library).unwrap_or_else(|| panic!("{database}: the migration differs"));
        assert_eq!(migration, format!("{users}{library}"));
        let tables: Vec<&str> = users.lines().filter(|line| line.starts_with("CREATE TABLE")).collect();
        assert_eq!(tables, ["CREATE TABLE users ("]);
    }
}

#[test]
fn the_migrations_for_other_ids_differ_only_in_the_ids_of_users() {
    for (database, differ) in [("sqlite", 0), ("postgres", 12)] {
        let (library, migration) = library_and_migration(database);
        let library = words(&library);
        let bigints: Vec<String> = library
            .iter()
            .map(|line| {
                line.replacen("user_id uuid", "user_id bigint", 1).replacen("actor_id uuid", "actor_id bigint", 1)
            })
            .collect();
        assert_eq!(library.iter().zip(&bigints).filter(|(uuid, bigint)| uuid != bigint).count(), differ);
        let migration = words(&migration_for(&migration, false));
        assert_eq!(migration[migration.len() - bigints.len()..], bigints, "{database}");
    }
}

#[test]
fn both_databases_have_the_same_tables_columns_and_indexes() {
    let (sqlite, _) = library_and_migration("sqlite");
    let (postgres, _) = library_and_migration("postgres");
    let (tables, _) = postgres
        .split_once("\n-- Announces every change of a session")
        .expect("the triggers, which SQLite doesn't need");
    let (sqlite, _) = sqlite
        .split_once("\n-- Deletes all of a deleted user's rows")
        .expect("the trigger, which PostgreSQL doesn't need");
    let sqlite = sqlite.strip_prefix("-- Times are milliseconds since the Unix epoch, in UTC.\n").expect("a comment");
    assert_eq!(
        words(sqlite).iter().map(|line| common(line)).collect::<Vec<_>>(),
        words(tables).iter().map(|line| common(line)).collect::<Vec<_>>()
    );
}

#[test]
fn the_guide_to_existing_applications_names_all_tables_of_the_library() {
    let rows = table(&read("docs/existing-application.md"), &["what", "why"]);
    let row = rows.iter().find(|row| row[0].starts_with("no tables")).expect("the row of tables");
    for database in ["sqlite", "postgres"] {
        let (library, _) = library_and_migration(database);
        let tables = library.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.strip_suffix(" ("));
        assert_eq!(tables.collect::<Vec<_>>(), code(&row[0]), "{database}");
    }
}

/// Returns a line without types, and without what depends on them.
fn common(line: &str) -> String {
    const TYPES: [&str; 11] =
        ["BLOB", "TEXT", "INTEGER", "uuid", "bytea", "text", "timestamptz", "boolean", "bigint", "integer", "smallint"];
    let (code, comment) = line.split_once("--").unwrap_or((line, ""));
    let code = code
        .replace("octet_length", "length")
        .replace(") WITHOUT ROWID;", ");")
        .replace("DEFAULT false", "DEFAULT 0")
        .replace(" CHECK (remembered IN (0, 1))", "")
        .replace(" CHECK (mfa_pending IN (0, 1))", "")
        .replace(" CHECK (mfa_verified IN (0, 1))", "")
        .replace(" CHECK (discoverable IN (0, 1))", "")
        .replace(" CHECK (second_factor_only IN (0, 1))", "");
    let code: Vec<&str> = code.split_whitespace().filter(|word| !TYPES.contains(&word.trim_end_matches(','))).collect();
    format!("{} --{comment}", code.join(" ").trim_end_matches(','))
}

#[tokio::test]
async fn delete_statements_in_the_guides_are_valid() {
    let database = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql("CREATE TABLE users (id BLOB PRIMARY KEY)").execute(&database).await.unwrap();
    sqlx::raw_sql(sigra::schema::SQLITE).execute(&database).await.unwrap();
    // Of the guides to pages and endpoints of one's own.
    for table in ["notes", "projects"] {
        let create = format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, user_id BLOB)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&database).await.unwrap();
    }
    let mut seen = 0;
    for guide in files("docs", ".md") {
        for statement in guide.split("DELETE FROM ").skip(1) {
            let end = statement.find([';', '"', '`', '\n']).unwrap_or(statement.len());
            let statement = format!("DELETE FROM {}", &statement[..end]);
            let prepared = sqlx::Executor::prepare(
                &database,
                sqlx::SqlSafeStr::into_sql_str(sqlx::AssertSqlSafe(statement.clone())),
            )
            .await;
            assert!(prepared.is_ok(), "{statement}: {:?}", prepared.err());
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} statements were found");
}
