//! Reserved words of SQL. A table with such a name is quoted.

/// Words that PostgreSQL or SQLite doesn't accept as a table name everywhere.
const RESERVED: &str = "
    add all alter analyse analyze and any array as asc asymmetric authorization autoincrement between bigint binary bit
    boolean both case cast char character check coalesce collate collation column commit concurrently constraint create
    cross current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
    decimal default deferrable delete desc distinct do drop else end escape except exists extract false fetch float for
    foreign freeze from full grant greatest group grouping having if ilike in index initially inner inout insert int
    integer intersect interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg
    json_query json_scalar json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not nothing notnull null nullif numeric offset on
    only or order out outer overlaps overlay placing position precision primary raise real references returning right row
    select session_user set setof similar smallint some substring symmetric system_user table tablesample then time
    timestamp to trailing transaction treat trim true union unique update user using values varchar variadic verbose when
    where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot
    xmlserialize xmltable";

pub fn is_reserved(word: &str) -> bool {
    RESERVED.split_whitespace().any(|reserved| reserved == word)
}

#[cfg(test)]
mod tests {
    use sigra::testing::PostgresCluster;
    use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
    use tokio::runtime::Builder;

    use super::*;

    /// Keywords in <https://sqlite.org/lang_keywords.html> that PostgreSQL doesn't have.
    const OF_SQLITE: &str = "abort action after autoincrement before conflict database detach exclusive explain fail filter
        first following glob groups ignore immediate indexed instead key last match materialized nulls others partition
        plan pragma preceding query range recursive regexp reindex release rename replace restrict rollback rows savepoint
        temp temporary ties trigger unbounded vacuum view virtual without";

    #[test]
    fn every_word_that_a_database_refuses_as_a_table_name_is_known() {
        Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
            let url = PostgresCluster::shared().and_then(|cluster| cluster.create_database()).expect("PostgreSQL");
            let mut postgres = PgConnection::connect(&url).await.expect("a connection");
            let words = "SELECT word, catcode::text FROM pg_get_keywords()";
            let words: Vec<(String, String)> = sqlx::query_as(words).fetch_all(&mut postgres).await.expect("words");
            for (word, _) in words.iter().filter(|(_, kind)| kind != "U") {
                assert!(is_reserved(word), "{word} on PostgreSQL");
            }
            for word in words.iter().map(|(word, _)| word.as_str()).chain(OF_SQLITE.split_whitespace()) {
                assert!(is_reserved(word) || is_accepted_by_sqlite(word).await, "{word} on SQLite");
            }
        });
    }

    async fn is_accepted_by_sqlite(word: &str) -> bool {
        let mut sqlite = SqliteConnection::connect("sqlite::memory:").await.expect("a connection");
        let statements = format!(
            "CREATE TABLE {word} (id INTEGER PRIMARY KEY, email TEXT); CREATE INDEX by_email ON {word} (email);
             CREATE TABLE tokens (user_id REFERENCES {word} (id)); INSERT INTO {word} (email) VALUES ('ada');
             UPDATE {word} SET email = 'grace' WHERE id = 1; ALTER TABLE {word} ADD COLUMN name TEXT;
             SELECT u.* FROM tokens t JOIN {word} u ON u.id = t.user_id;
             DELETE FROM {word} WHERE NOT EXISTS (SELECT 1 FROM tokens t WHERE t.user_id = {word}.id)"
        );
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut sqlite).await.is_ok()
    }
}
