//! Where secrets come from.

use super::reader::section;
use crate::time::Duration;

section! {
    /// Where secrets come from.
    pub struct SecretsConfiguration {
        /// How long an instance keeps a secret that it fetched. 1 s to 1 h.
        max_age: Duration = Duration::from_seconds(300),
    }
}
