//! What the OpenAPI document says of a route, as it was declared. Native only: none of it is in a module.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};

/// What a type's schema is.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What the OpenAPI document says of a route.
#[derive(Default)]
pub(crate) struct Documentation {
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) request: Option<(&'static str, SchemaOf)>,
    pub(super) query: Option<SchemaOf>,
    pub(super) answers: Vec<Answer>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) body: Option<(&'static str, SchemaOf)>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

pub(super) fn set_summary(documentation: &mut Documentation, text: &'static str) {
    documentation.summary = text;
}

pub(super) fn set_description(documentation: &mut Documentation, text: &'static str) {
    documentation.description = text;
}

pub(super) fn set_request<T: JsonSchema>(documentation: &mut Documentation, media_type: &'static str) {
    documentation.request = Some((media_type, schema_of::<T>));
}

pub(super) fn set_query<T: JsonSchema>(documentation: &mut Documentation) {
    documentation.query = Some(schema_of::<T>);
}

pub(super) fn add_answer(documentation: &mut Documentation, status: u16, description: &'static str) {
    documentation.answers.push(Answer { status, description, body: None });
}

pub(super) fn add_answer_with<T: JsonSchema>(
    documentation: &mut Documentation,
    status: u16,
    media_type: &'static str,
    description: &'static str,
) {
    documentation.answers.push(Answer { status, description, body: Some((media_type, schema_of::<T>)) });
}
