//! What is recorded of webhooks that are taken in, and of their way to a target.

crate::acts! {
    /// A message was taken in.
    pub ACCEPTED = "webhook.accepted" on "webhook", Routine, None;
    /// A message was refused, or so many for one reason were.
    pub REFUSED = "webhook.refused" on "webhook", Notable, None;
    /// A sender asked whether the address is ours, and was answered.
    pub URL_VERIFICATION = "webhook.url_verification" on "webhook", Notable, None;
    /// A target has its message.
    pub DELIVERED = "webhook.delivered" on "webhook", Routine, None;
    /// A delivery was given up.
    pub DEAD = "webhook.dead" on "webhook", Notable, None;
    /// A delivery that was given up was asked for again.
    pub RETRY = "webhook.retry" on "webhook", Notable, None;
    /// Somebody looked at the list of deliveries.
    pub LIST = "webhook.list" on "webhook", Routine, None;
    /// Somebody looked at a delivery and its message.
    pub READ = "webhook.read" on "webhook", Notable, None;
    /// A message was handed out to be worked on.
    pub FETCH = "webhook.fetch" on "webhook", Routine, None;
    /// A message that was handed out was done with.
    pub ACKNOWLEDGE = "webhook.acknowledge" on "webhook", Routine, None;
}
