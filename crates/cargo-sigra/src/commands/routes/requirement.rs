//! Requirements of routes.

use serde::Serialize;

/// What a route requires of the client. JSON has these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// Only the host's own code knows.
    Own,
    Anybody,
    Visitor,
    /// A user whose second factor is pending.
    Pending,
    /// A user, or somebody who must set up a second factor before using the account.
    Enrollment,
    /// A user, or a program with a token.
    UserOrToken,
    User,
    Sudo,
    /// A program with a token.
    Token,
}
