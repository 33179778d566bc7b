//! Of whose things a subject may do something: what a decision answers.

use super::{Grants, Permission, Scope};
use crate::id::UserId;

/// Of whose things a subject may do something. Each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// Of nobody's.
    Nothing,
    /// Of its own.
    Own(&'a UserId),
    /// Of everybody's in its organization.
    Organization,
    /// Of everybody's everywhere.
    All,
}

impl<'a> Reach<'a> {
    /// What grants allow the user who holds them. `Scope::Team` reaches its own things alone: no group owns
    /// any yet.
    #[must_use]
    pub fn of(grants: &Grants, user_id: &'a UserId, action: &'static str, resource: &'static str) -> Self {
        let allows = |scope| grants.allow(&Permission::new(resource, action, scope));
        if allows(Scope::All) {
            Self::All
        } else if allows(Scope::Organization) {
            Self::Organization
        } else if allows(Scope::Own) {
            Self::Own(user_id)
        } else {
            Self::Nothing
        }
    }

    /// Whether it reaches everybody's things in the organization.
    #[must_use]
    pub fn is_wide(self) -> bool {
        matches!(self, Self::Organization | Self::All)
    }

    /// Whether it reaches what belongs to this user.
    #[must_use]
    pub fn includes(self, user_id: &UserId) -> bool {
        match self {
            Self::Nothing => false,
            Self::Own(own) => own == user_id,
            Self::Organization | Self::All => true,
        }
    }

    /// Whose things a statement is to look for: `None` where everybody's will do. Where nothing is reached,
    /// it is the empty id, which nobody has.
    #[must_use]
    pub fn owner(self) -> Option<&'a str> {
        match self {
            Self::Nothing => Some(""),
            Self::Own(user_id) => Some(user_id.as_str()),
            Self::Organization | Self::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn the_widest_scope_counts() {
        let (me, other) = (
            UserId::new(Timestamp::from_millis(1), [1; 10]),
            UserId::new(Timestamp::from_millis(1), [2; 10]),
        );
        for (grant, expected, reaches_other) in [
            ("users.read.own", Reach::Own(&me), false),
            ("users.read.team", Reach::Own(&me), false),
            ("users.read.organization", Reach::Organization, true),
            ("read.*", Reach::All, true),
            ("users.write.organization", Reach::Nothing, false),
        ] {
            let reach = Reach::of(&Grants::from_texts([grant]), &me, "read", "users");
            assert_eq!(reach, expected, "{grant}");
            assert_eq!((reach.includes(&other), reach.is_wide()), (reaches_other, reaches_other), "{grant}");
            assert_eq!(reach.owner().is_none(), reaches_other, "{grant}");
        }
        assert!(!Reach::Nothing.includes(&me));
    }
}
