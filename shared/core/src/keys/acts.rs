//! What is recorded of API keys, their rotation and their deliveries.

crate::acts! {
    /// A key was created.
    pub CREATE = "api_key.create" on "api_key", Notable, None;
    /// A key got another name, other permissions or other limits.
    pub UPDATE = "api_key.update" on "api_key", Notable, None;
    /// A key was replaced, by call or by schedule.
    pub ROTATE = "api_key.rotate" on "api_key", Notable, None;
    /// A key was ended by somebody.
    pub REVOKE = "api_key.revoke" on "api_key", Notable, None;
    /// A key was ended because it was found in public. The address it was found at may name somebody.
    pub LEAK = "api_key.leak" on "api_key", Critical, Identifier;
    /// A key came to its date.
    pub EXPIRE = "api_key.expire" on "api_key", Routine, None;
    /// A key that was replaced came to the end of its overlap.
    pub OVERLAP_END = "api_key.overlap_end" on "api_key", Routine, None;
    /// A schedule of rotation was set: when a key is replaced, and where its successor goes.
    pub ROTATION_SET = "api_key.rotation_set" on "api_key", Notable, None;
    /// A schedule of rotation was ended, or stopped by itself.
    pub ROTATION_END = "api_key.rotation_end" on "api_key", Notable, None;
    /// A successor arrived.
    pub DELIVERED = "api_key.delivered" on "api_key", Routine, None;
    /// A delivery was given up.
    pub DELIVERY_DEAD = "api_key.delivery_dead" on "api_key", Notable, None;
    /// A delivery was closed: the successor ended before anybody had it.
    pub DELIVERY_CLOSE = "api_key.delivery_close" on "api_key", Notable, None;
    /// A delivery was asked for again.
    pub DELIVERY_RETRY = "api_key.delivery_retry" on "api_key_delivery", Notable, None;
}
