//! Tables that SQL makes, with their columns: as much of SQL as that takes.

/// Words that begin a constraint in place of a column.
const CONSTRAINTS: [&str; 6] = ["constraint", "primary", "unique", "foreign", "check", "exclude"];

#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Its type, and what follows.
    pub definition: String,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Column {
    /// Whether each new row has to give it.
    pub fn is_required(&self) -> bool {
        let definition = self.definition.to_ascii_lowercase();
        let gives_itself =
            ["default", "primary key", "serial", "generated"].iter().any(|word| definition.contains(word));
        definition.contains("not null") && !gives_itself
    }
}

/// Adds what the statements make to what is there.
pub fn tables_in(sql: &str, tables: &mut Vec<Table>) {
    let sql = without_comments(sql);
    for statement in split(&sql, ';') {
        if let Some(table) = created(statement) {
            tables.retain(|other| other.name != table.name);
            tables.push(table);
        } else if let Some((name, column)) = added(statement) {
            tables.iter_mut().filter(|table| table.name == name).for_each(|table| table.columns.push(column.clone()));
        } else if let Some(name) = after(statement, &["drop", "table"]).map(first_name) {
            tables.retain(|table| table.name != name);
        }
    }
}

fn created(statement: &str) -> Option<Table> {
    let rest = after(statement, &["create", "table"])?;
    let rest = after(rest, &["if", "not", "exists"]).unwrap_or(rest);
    let (name, body) = rest.split_once('(')?;
    let body = body.rsplit_once(')')?.0;
    Some(Table { name: first_name(name), columns: split(body, ',').into_iter().filter_map(column).collect() })
}

fn added(statement: &str) -> Option<(String, Column)> {
    let rest = after(statement, &["alter", "table"])?;
    let rest = after(rest, &["only"]).unwrap_or(rest);
    let (name, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let rest = after(rest, &["add", "column"]).or_else(|| after(rest, &["add"]))?;
    Some((first_name(name), column(after(rest, &["if", "not", "exists"]).unwrap_or(rest))?))
}

fn column(definition: &str) -> Option<Column> {
    let definition = definition.trim();
    let (name, rest) = definition.split_once(char::is_whitespace).unwrap_or((definition, ""));
    let is_constraint = CONSTRAINTS.contains(&name.to_ascii_lowercase().as_str());
    let definition = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty() && !is_constraint).then(|| Column { name: first_name(name), definition })
}

/// What follows these words, whatever their case.
fn after<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    let mut rest = text;
    for word in words {
        rest = rest.trim_start();
        let start = rest.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word))?;
        rest = rest[start.len()..].strip_prefix(char::is_whitespace)?;
    }
    Some(rest)
}

/// A name without its quotes, and without the schema before it.
fn first_name(text: &str) -> String {
    let name = text.split_whitespace().next().unwrap_or_default();
    let name = name.rsplit('.').next().unwrap_or(name);
    name.trim_matches(['"', '`', '[', ']', '\'']).to_ascii_lowercase()
}

/// Parts between a sign that stands outside of brackets and quotes.
fn split(text: &str, sign: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_i32, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, letter) if letter == sign && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn without_comments(sql: &str) -> String {
    let mut plain = String::with_capacity(sql.len());
    for line in sql.lines() {
        plain.push_str(line.split_once("--").map_or(line, |(before, _)| before));
        plain.push('\n');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<(String, Vec<String>)> {
        let mut tables = Vec::new();
        tables_in(sql, &mut tables);
        let names = |table: Table| (table.name, table.columns.into_iter().map(|column| column.name).collect());
        tables.into_iter().map(names).collect()
    }

    #[test]
    fn tables_are_read_as_people_write_them() {
        let sql = "
            create table if not exists \"Users\" (
                id INTEGER PRIMARY KEY, -- the number, and no more
                balance numeric(10, 2) DEFAULT 0,
                note TEXT DEFAULT 'a, b;)',
                CONSTRAINT unique_note UNIQUE (note)
            );
            CREATE TABLE public.posts (id int);
            ALTER TABLE users ADD COLUMN email TEXT;
            CREATE TABLE gone (id int); DROP TABLE gone;
            CREATE INDEX i ON users (id);";
        assert_eq!(
            names(sql),
            [
                (
                    "users".to_owned(),
                    vec!["id".to_owned(), "balance".to_owned(), "note".to_owned(), "email".to_owned()]
                ),
                ("posts".to_owned(), vec!["id".to_owned()]),
            ]
        );
    }

    #[test]
    fn what_each_row_must_give_is_known() {
        let required =
            |definition: &str| Column { name: "a".to_owned(), definition: definition.to_owned() }.is_required();
        assert!(required("TEXT NOT NULL"));
        for definition in ["TEXT", "TEXT NOT NULL DEFAULT ''", "bigserial NOT NULL", "INTEGER NOT NULL PRIMARY KEY"] {
            assert!(!required(definition), "{definition}");
        }
    }
}
