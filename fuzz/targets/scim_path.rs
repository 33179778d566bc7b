//! A SCIM attribute path (RFC 7644 section 3.5.2), and a list of names (section 3.9), that anybody sent.
#![no_main]

use iam_provisioning::path::AttributePath;
use iam_provisioning::projection::Projection;
use iam_provisioning::schema::{Registry, ResourceKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let registry = Registry::default();
    for kind in ResourceKind::ALL {
        let schema = registry.of(kind);
        if let Ok(path) = AttributePath::parse(schema, text) {
            // Its name leads to it again.
            let again = AttributePath::parse(schema, &path.target.key());
            assert_eq!(again.map(|again| again.target), Ok(path.target));
        }
        let _ = Projection::parse(schema, Some(text), None);
    }
});
