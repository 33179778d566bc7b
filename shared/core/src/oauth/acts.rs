//! What is recorded of OAuth clients, their accounts, their tokens and the keys that sign them.

crate::acts! {
    /// An OAuth client was created.
    pub CLIENT_CREATE = "client.create" on "client", Notable, None;
    /// An OAuth client was revoked, its secrets and tokens with it.
    pub CLIENT_REVOKE = "client.revoke" on "client", Notable, None;
    /// A client got another secret.
    pub CLIENT_SECRET_CREATE = "client.secret.create" on "client", Notable, None;
    /// A secret of a client was revoked.
    pub CLIENT_SECRET_REVOKE = "client.secret.revoke" on "client", Notable, None;
    /// A client failed to prove itself.
    pub CLIENT_AUTHENTICATE = "client.authenticate" on "client", Notable, None;
    /// A client got a token.
    pub TOKEN_ISSUE = "token.issue" on "session", Routine, None;
    /// A token was revoked, and its session ended.
    pub TOKEN_REVOKE = "token.revoke" on "session", Notable, None;
    /// A service account was created.
    pub SERVICE_ACCOUNT_CREATE = "service_account.create" on "user", Notable, None;
    /// A service account or its roles were changed.
    pub SERVICE_ACCOUNT_UPDATE = "service_account.update" on "user", Notable, None;
    /// A service account was suspended.
    pub SERVICE_ACCOUNT_SUSPEND = "service_account.suspend" on "user", Notable, None;
    /// A suspended service account was activated.
    pub SERVICE_ACCOUNT_ACTIVATE = "service_account.activate" on "user", Notable, None;
    /// A service account was deleted.
    pub SERVICE_ACCOUNT_DELETE = "service_account.delete" on "user", Notable, None;
    /// A successor of the signing key was announced.
    pub SIGNING_KEY_ROTATE = "signing_key.rotate" on "signing_key", Notable, None;
    /// The signing keys were replaced at once, because they can't be trusted any more.
    pub SIGNING_KEY_EMERGENCY_ROTATE = "signing_key.emergency_rotate" on "signing_key", Critical, None;
}
