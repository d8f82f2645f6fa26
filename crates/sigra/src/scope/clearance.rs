use super::Scope;
use crate::{AuthUser, SessionRow};

/// How far a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clearance {
    /// The user is logged in.
    Full,
    /// The user is to show their second factor, and can do nothing else.
    ChallengePending,
    /// The user must set up a second factor, and can do nothing else.
    EnrolmentRequired,
}

impl Clearance {
    pub fn of<U: AuthUser>(user: &U, session: &SessionRow) -> Self {
        if session.mfa_pending {
            Self::ChallengePending
        } else if session.mfa_verified_at.is_none() && user.requires_second_factor() {
            Self::EnrolmentRequired
        } else {
            Self::Full
        }
    }
}

impl<U: AuthUser> Scope<U> {
    pub(crate) fn clearance(&self) -> Clearance {
        Clearance::of(self.user(), self.session())
    }
}
