//! What every resource has beside its attributes (RFC 7643 section 3.1): its schemas, its id and its `meta`.

use iam_core::time::Timestamp;
use serde_json::json;

use crate::schema::ResourceKind;
use crate::value::Object;

/// What is known of a resource.
pub(crate) struct Common<'a> {
    pub(crate) kind: ResourceKind,
    pub(crate) id: &'a str,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Its entity tag.
    pub(crate) version: String,
}

impl Common<'_> {
    /// Adds it to the attributes, as the service at `base` answers it.
    pub(crate) fn complete(self, mut resource: Object, base: &str) -> Object {
        let extensions = resource.keys().map(String::as_str).filter(|name| name.starts_with("urn:"));
        let schemas: Vec<&str> = std::iter::once(self.kind.schema().id).chain(extensions).collect();
        let schemas = json!(schemas);
        let meta = json!({
            "resourceType": self.kind.name(),
            "created": self.created_at,
            "lastModified": self.updated_at,
            "location": format!("{base}/{}/{}", self.kind.endpoint(), self.id),
            "version": self.version,
        });
        resource.extend([
            ("schemas".to_owned(), schemas),
            ("id".to_owned(), json!(self.id)),
            ("meta".to_owned(), meta),
        ]);
        resource
    }
}
