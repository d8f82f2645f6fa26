//! Requirements of routes.

/// What a route requires of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    Anybody,
    Visitor,
    /// A user whose second factor is pending.
    Pending,
    /// A user, or somebody who must set up a second factor before using the account.
    Enrolment,
    User,
    Sudo,
}
