//! Every act of every room, for the reference. Native only: a module carries the acts that it names.

use crate::record::Act;

/// A room's name, and its acts with what they mean.
pub type Room = (&'static str, &'static [(&'static Act, &'static str)]);

/// The rooms that write records.
pub const ROOMS: &[Room] = &[
    ("sign-in", crate::sign_in::acts::DOCUMENTED),
    ("oauth", crate::oauth::acts::DOCUMENTED),
    ("keys", crate::keys::acts::DOCUMENTED),
    ("directory", crate::directory::acts::DOCUMENTED),
    ("provisioning", crate::provisioning::acts::DOCUMENTED),
    ("webhooks", crate::webhooks::acts::DOCUMENTED),
    ("operation", crate::operation::acts::DOCUMENTED),
];
