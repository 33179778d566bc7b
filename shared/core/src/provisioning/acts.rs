//! What is recorded of provisioning: what SCIM clients do, and what is done to them.

crate::acts! {
    /// A SCIM client was created, with its first token.
    pub CLIENT_CREATE = "scim_client.create" on "scim_client", Notable, None;
    /// A SCIM client got another name or limit.
    pub CLIENT_UPDATE = "scim_client.update" on "scim_client", Notable, None;
    /// A SCIM client was revoked, with its tokens.
    pub CLIENT_REVOKE = "scim_client.revoke" on "scim_client", Notable, None;
    /// A SCIM client got a second token.
    pub TOKEN_CREATE = "scim_client.token.create" on "scim_client", Notable, None;
    /// A token of a SCIM client was revoked.
    pub TOKEN_REVOKE = "scim_client.token.revoke" on "scim_client", Notable, None;
    /// A SCIM client makes the same change again and again.
    pub LOOP = "scim.loop" on "scim_client", Notable, None;
    /// A SCIM client created a user.
    pub USER_CREATE = "scim.user.create" on "user", Notable, Profile;
    /// A user that was deleted came back.
    pub USER_RESTORE = "scim.user.restore" on "user", Notable, Profile;
    /// A SCIM client changed a user.
    pub USER_UPDATE = "scim.user.update" on "user", Notable, Profile;
    /// A SCIM client deactivated a user.
    pub USER_DEACTIVATE = "scim.user.deactivate" on "user", Notable, Profile;
    /// A SCIM client deleted a user.
    pub USER_DELETE = "scim.user.delete" on "user", Notable, None;
    /// A user changed itself, at `/Me`.
    pub ME_UPDATE = "scim.me.update" on "user", Notable, Profile;
    /// A SCIM client created a group.
    pub GROUP_CREATE = "scim.group.create" on "group", Notable, None;
    /// A SCIM client changed a group, or who is in it.
    pub GROUP_UPDATE = "scim.group.update" on "group", Notable, None;
    /// A SCIM client deleted a group.
    pub GROUP_DELETE = "scim.group.delete" on "group", Notable, None;
}
