//! What is recorded of running the product.

crate::acts! {
    /// Switches that work without a deploy were changed.
    pub FLAGS_CHANGE = "flags.change" on "flags", Notable, None;
    /// The names of secrets and their stores were listed.
    pub SECRETS_LIST = "secrets.list" on "secret", Routine, None;
    /// A secret was sealed anew under the newest version of the Vault's transit key.
    pub SECRETS_REWRAP = "secrets.rewrap" on "secret", Notable, None;
    /// A step of a master key's rotation was done.
    pub SECRETS_MASTER_KEY_ROTATE = "secrets.master_key_rotate" on "secret", Critical, None;
    /// A certificate was issued, with its private key.
    pub SECRETS_CERTIFICATE = "secrets.certificate" on "certificate", Critical, None;
}
