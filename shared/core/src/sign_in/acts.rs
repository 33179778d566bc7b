//! What is recorded of signing in and of what lasts of it.

crate::acts! {
    /// Somebody signed in with a password, or failed to.
    pub LOGIN = "login" on "session", Routine, None;
    /// Somebody signed out.
    pub LOGOUT = "logout" on "session", Routine, None;
    /// A refresh token was exchanged.
    pub TOKEN_REFRESH = "token.refresh" on "session", Routine, None;
    /// A refresh token that was spent long ago came again: two parties hold it.
    pub TOKEN_REUSE = "token.reuse" on "session", Critical, None;
    /// A session was ended by somebody who may.
    pub SESSION_TERMINATE = "session.terminate" on "session", Notable, None;
    /// All sessions of a user were ended.
    pub SESSION_TERMINATE_ALL = "session.terminate_all" on "user", Notable, None;
    /// An account has had too many wrong passwords.
    pub ACCOUNT_LOCK = "account.lock" on "user", Notable, None;
    /// An address has sent too many wrong passwords, over all accounts.
    pub ADDRESS_LOCK = "address.lock" on "address", Notable, None;
    /// A user changed its own password, or failed to.
    pub PASSWORD_CHANGE = "password.change" on "user", Notable, None;
    /// A reset token set a new password.
    pub PASSWORD_RESET = "password.reset" on "user", Notable, None;
    /// An administrator made a reset token.
    pub PASSWORD_RESET_ISSUE = "password.reset_issue" on "user", Notable, None;
    /// Somebody unknown asked for a reset token.
    pub PASSWORD_RESET_REQUEST = "password.reset_request" on "user", Routine, None;
    /// An emergency credential was made.
    pub BREAK_GLASS_CREATE = "break_glass.create" on "break_glass_credential", Critical, None;
    /// An emergency credential was revoked.
    pub BREAK_GLASS_REVOKE = "break_glass.revoke" on "break_glass_credential", Critical, None;
    /// An emergency credential was used, or something came that is none.
    pub BREAK_GLASS_USE = "break_glass.use" on "break_glass_credential", Critical, None;
}
