//! Statements that name the host's table of users, put together by the compiler.

/// More than the longest statement has, in bytes.
const CAPACITY: usize = 2048;

/// A statement in parts, with their text in one piece.
pub(super) struct Statement {
    text: [u8; CAPACITY],
    length: usize,
}

impl Statement {
    /// Joins the parts. What does not fit is no program.
    pub const fn of(parts: &[&str]) -> Self {
        let mut statement = Self { text: [0; CAPACITY], length: 0 };
        let mut part = 0;
        while part < parts.len() {
            let bytes = parts[part].as_bytes();
            let (_, free) = statement.text.split_at_mut(statement.length);
            free.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
            statement.length += bytes.len();
            part += 1;
        }
        statement
    }

    pub const fn as_str(&self) -> &str {
        match std::str::from_utf8(self.text.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        }
    }
}

/// The text of a statement about the users of a type `U`, from parts that may ask for `U::TABLE`.
macro_rules! statement {
    ($($part:expr),+ $(,)?) => {{
        struct About<U>(std::marker::PhantomData<U>);
        impl<U: crate::model::user::AuthUser> About<U> {
            const STATEMENT: crate::store::statement::Statement =
                crate::store::statement::Statement::of(&[$($part),+]);
            const TEXT: &'static str = Self::STATEMENT.as_str();
        }
        About::<U>::TEXT
    }};
}

pub(super) use statement;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined() {
        const JOINED: Statement = Statement::of(&["SELECT * FROM ", "members", " u"]);
        assert_eq!(JOINED.as_str(), "SELECT * FROM members u");
        assert_eq!(Statement::of(&[]).as_str(), "");
    }
}
