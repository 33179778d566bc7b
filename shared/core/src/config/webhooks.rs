//! Webhooks that are taken in.

use super::reader::section;
use crate::time::Duration;

section! {
    /// Who may send webhooks at all.
    pub struct SecurityConfiguration {
        /// Address ranges that webhooks may come from; from anywhere where empty.
        ip_allowlist: Vec<ipnet::IpNet> = Vec::new(),
        /// Address ranges that none may come from, whatever else is allowed.
        ip_denylist: Vec<ipnet::IpNet> = Vec::new(),
    }
}

section! {
    /// Webhooks that are taken in.
    pub struct WebhooksConfiguration {
        /// How old a signed moment may be, and how far ahead. 10 s to 1 h.
        tolerance: Duration = Duration::from_seconds(300),
    }
}
