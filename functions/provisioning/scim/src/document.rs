//! Resources and messages as the API's own document shows them.

use iam_provisioning::patch::PATCH_URN;
use iam_provisioning::schema::{Attribute, Kind, Mutability, Registry, ResourceKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

/// A user.
#[derive(Serialize)]
pub(crate) struct UserResource;

/// A group.
#[derive(Serialize)]
pub(crate) struct GroupResource;

impl JsonSchema for UserResource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScimUser".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        resource(ResourceKind::User)
    }
}

impl JsonSchema for GroupResource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScimGroup".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        resource(ResourceKind::Group)
    }
}

fn resource(kind: ResourceKind) -> Schema {
    let registry = Registry::default();
    let schema = registry.of(kind);
    let required: Vec<&str> = schema
        .top_level()
        .filter(|attribute| attribute.is_required)
        .map(|attribute| attribute.name)
        .collect();
    let description = kind.schema().description;
    json_schema!({
        "type": "object",
        "description": format!("{description} of `{}` (RFC 7643 section 4)", kind.schema().id),
        "required": required,
        "properties": properties(schema.top_level()),
    })
}

fn properties(attributes: impl IntoIterator<Item = &'static Attribute>) -> Map<String, Json> {
    attributes.into_iter().map(|attribute| (attribute.name.to_owned(), property(attribute))).collect()
}

fn property(attribute: &'static Attribute) -> Json {
    let mut schema = match attribute.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Reference => json!({"type": "string", "format": "uri"}),
        Kind::Binary => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Decimal => json!({"type": "number"}),
        Kind::DateTime => json!({"type": "string", "format": "date-time"}),
        Kind::Complex(of) => json!({"type": "object", "properties": properties(of)}),
    };
    if attribute.is_multi_valued {
        schema = json!({"type": "array", "items": schema});
    }
    let mark = match attribute.mutability {
        Mutability::ReadWrite | Mutability::Immutable => None,
        Mutability::ReadOnly => Some("readOnly"),
        Mutability::WriteOnly => Some("writeOnly"),
    };
    if let (Some(mark), Some(fields)) = (mark, schema.as_object_mut()) {
        fields.insert(mark.to_owned(), Json::Bool(true));
    }
    schema
}

/// The body of a PATCH.
pub(crate) struct PatchRequest;

impl JsonSchema for PatchRequest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScimPatch".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Operations, in any case (RFC 7644 section 3.5.2)",
            "required": ["schemas", "Operations"],
            "properties": {
                "schemas": {"type": "array", "items": {"const": PATCH_URN}},
                "Operations": {"type": "array", "minItems": 1, "items": {
                    "type": "object",
                    "required": ["op"],
                    "properties": {
                        "op": {"enum": ["add", "replace", "remove"]},
                        "path": {"type": "string"},
                        "value": true,
                    },
                }},
            },
        })
    }
}
