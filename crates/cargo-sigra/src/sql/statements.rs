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
    code.filter(|statement| !statement.is_empty()).collect()
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
