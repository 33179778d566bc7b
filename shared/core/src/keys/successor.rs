//! What a key's successor takes over: said once for rotations by call and by schedule.

/// Makes the successor `$key_id` with the hash `$hash`, at `$now`, of each key `old` that `$from` gives: with
/// all that the old one has but its secret.
macro_rules! make_successor {
    ($key_id:literal, $hash:literal, $now:literal, $from:expr) => {
        concat!(
            "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, \
             status, life_ms, created_at, expires_at, allowed_addresses, metadata) SELECT old.org_id, ",
            $key_id,
            ", ",
            $hash,
            ", old.name, old.owner_id, old.permissions, old.rate_limit, 'active', old.life_ms, ",
            $now,
            ", ",
            $now,
            " + old.life_ms, old.allowed_addresses, old.metadata FROM ",
            $from
        )
    };
}

/// When a schedule replaces the key `$key`: when it is `$period` old, or a day before its own end, or half
/// its life before where it lives for less than two.
macro_rules! due_at {
    ($key:literal, $period:literal) => {
        concat!(
            "MIN(",
            $key,
            ".created_at + ",
            $period,
            ", ",
            $key,
            ".expires_at - MIN(86400000, ",
            $key,
            ".life_ms / 2))"
        )
    };
}

pub(super) use {due_at, make_successor};
