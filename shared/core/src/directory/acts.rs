//! What is recorded of the directory.

crate::acts! {
    /// An organization was made, with its first administrator.
    pub ORGANIZATION_CREATE = "organization.create" on "organization", Notable, None;
    /// An organization got another name.
    pub ORGANIZATION_UPDATE = "organization.update" on "organization", Notable, None;
    /// A user was created.
    pub USER_CREATE = "user.create" on "user", Notable, None;
    /// A user came with an import.
    pub USER_IMPORT = "user.import" on "user", Notable, None;
    /// A page of all users was read out, maybe with the hashes of their passwords.
    pub USER_EXPORT = "user.export" on "user", Notable, None;
    /// Attributes, roles or groups of a user were changed.
    pub USER_UPDATE = "user.update" on "user", Notable, Profile;
    /// A user may no longer act.
    pub USER_SUSPEND = "user.suspend" on "user", Notable, None;
    /// A user may act again.
    pub USER_ACTIVATE = "user.activate" on "user", Notable, None;
    /// A user's failed sign-ins were forgotten.
    pub USER_UNLOCK = "user.unlock" on "user", Notable, None;
    /// A user was deleted; it can be restored for a while.
    pub USER_DELETE = "user.delete" on "user", Notable, None;
    /// A user was purged: nothing of it is left but its records.
    pub USER_PURGE = "user.purge" on "user", Notable, None;
    /// A deleted user is there again.
    pub USER_RESTORE = "user.restore" on "user", Notable, None;
    /// A group was created.
    pub GROUP_CREATE = "group.create" on "group", Notable, None;
    /// A group's name or description was changed.
    pub GROUP_UPDATE = "group.update" on "group", Notable, None;
    /// A group was deleted.
    pub GROUP_DELETE = "group.delete" on "group", Notable, None;
    /// A group gives other roles, as the configuration says.
    pub GROUP_ROLES = "group.roles" on "group", Notable, None;
    /// A user was put into a group.
    pub GROUP_MEMBER_ADD = "group.member.add" on "group", Notable, None;
    /// A user was taken out of a group.
    pub GROUP_MEMBER_REMOVE = "group.member.remove" on "group", Notable, None;
    /// A role was created.
    pub ROLE_CREATE = "role.create" on "role", Notable, None;
    /// What a role grants or inherits was changed.
    pub ROLE_UPDATE = "role.update" on "role", Notable, None;
    /// A role was deleted, maybe taken from those who had it.
    pub ROLE_DELETE = "role.delete" on "role", Notable, None;
    /// A role was given to a user.
    pub ROLE_MEMBER_ADD = "role.member.add" on "role", Notable, None;
    /// A role was taken from a user.
    pub ROLE_MEMBER_REMOVE = "role.member.remove" on "role", Notable, None;
}
