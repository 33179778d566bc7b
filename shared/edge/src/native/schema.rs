//! The product's schema, for what runs natively.

/// Every migration of `kv-schema/migrations`, in order.
pub const SCHEMA: &str = concat!(
    include_str!("../../../../kv-schema/migrations/0001_directory.sql"),
    include_str!("../../../../kv-schema/migrations/0002_sign_in.sql"),
    include_str!("../../../../kv-schema/migrations/0003_oauth.sql"),
    include_str!("../../../../kv-schema/migrations/0004_keys.sql"),
    include_str!("../../../../kv-schema/migrations/0005_provisioning.sql"),
    include_str!("../../../../kv-schema/migrations/0006_webhooks.sql"),
    include_str!("../../../../kv-schema/migrations/0007_operation.sql"),
    include_str!("../../../../kv-schema/migrations/0008_record.sql"),
);

#[cfg(test)]
mod tests {
    use super::SCHEMA;

    #[test]
    fn no_migration_is_left_out() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kv-schema/migrations");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(SCHEMA.contains(&text), "{}", path.display());
        }
    }
}
