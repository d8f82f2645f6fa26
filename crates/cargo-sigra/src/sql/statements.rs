//! Splits SQL into statements.

use sqlparser::{
    ast::Statement,
    dialect::{Dialect, PostgreSqlDialect, SQLiteDialect},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use crate::plan::choices::Database;

fn dialect(db: Database) -> &'static dyn Dialect {
    match db {
        Database::Sqlite => &SQLiteDialect {},
        Database::Postgres => &PostgreSqlDialect {},
    }
}

/// Returns each statement by itself, so that one that can't be parsed doesn't affect the others. Text that isn't SQL is
/// returned as a single statement.
pub fn statements(sql: &str, db: Database) -> Vec<Vec<Token>> {
    let tokens = Tokenizer::new(dialect(db), sql).tokenize().unwrap_or_default();
    let all = tokens.split(|token| *token == Token::SemiColon);
    let code = all.map(|statement| {
        statement.iter().filter(|token| !matches!(token, Token::Whitespace(_))).cloned().collect::<Vec<_>>()
    });
    with_bodies(code.filter(|statement| !statement.is_empty()))
}

/// Joins the statements in the body of a trigger of SQLite, from `BEGIN` to `END`, to the statement that creates it.
fn with_bodies(parts: impl Iterator<Item = Vec<Token>>) -> Vec<Vec<Token>> {
    let (mut statements, mut is_in_body) = (Vec::<Vec<Token>>::new(), false);
    for part in parts {
        let is_end = matches!(&part[..], [only] if is_word(only, Keyword::END));
        match statements.last_mut().filter(|_| is_in_body) {
            Some(trigger) => {
                trigger.push(Token::SemiColon);
                trigger.extend(part);
                is_in_body = !is_end;
            }
            None => {
                is_in_body = begins_trigger(&part);
                statements.push(part);
            }
        }
    }
    statements
}

fn begins_trigger(statement: &[Token]) -> bool {
    let has = |keyword, tokens: &[Token]| tokens.iter().any(|token| is_word(token, keyword));
    statement.first().is_some_and(|first| is_word(first, Keyword::CREATE))
        && has(Keyword::TRIGGER, &statement[..statement.len().min(3)])
        && has(Keyword::BEGIN, statement)
}

/// Parses a statement. Also returns the collation of a changed column type, which the parser doesn't support.
pub fn parsed(tokens: &[Token], db: Database) -> Option<(Statement, Option<String>)> {
    let parse = |tokens: Vec<Token>| {
        let mut parser = Parser::new(dialect(db)).with_tokens(tokens);
        let statement = parser.parse_statement().ok()?;
        (parser.peek_token().token == Token::EOF).then_some(statement)
    };
    if let Some(statement) = parse(tokens.to_vec()) {
        return Some((statement, None));
    }
    let collate = tokens.iter().position(|token| is_word(token, Keyword::COLLATE))?;
    let name = match tokens.get(collate + 1)? {
        Token::Word(name) => name.value.clone(),
        _ => return None,
    };
    let without = [&tokens[..collate], tokens.get(collate + 2..).unwrap_or_default()].concat();
    parse(without).map(|statement| (statement, Some(name)))
}

pub fn is_word(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword)
}
