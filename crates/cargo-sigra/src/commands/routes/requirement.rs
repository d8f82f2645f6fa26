//! What a route requires.

/// What a route requires of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    Anybody,
    Visitor,
    /// Who has shown the first factor, and not yet the second.
    Pending,
    /// A user, or who has to set up a second factor before they are one.
    Enrolment,
    User,
    Sudo,
}
