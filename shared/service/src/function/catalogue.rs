//! What functions declare, printed for `cargo xtask manifests`: their routes, what they need of a host, the
//! OpenAPI 3.1 document and what `docs/reference/` tells. Native only: none of it is in a module.

use std::collections::BTreeMap;

use iam_core::config::{DOCUMENT_VARIABLE, FIELD_VARIABLES};
use iam_core::permission::Permission;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::job::{Job, Scheduled, Step};
use super::route::Declaration;
use super::{Function, reference};
use crate::access::Rule;
use crate::request::error::{ErrorStyle, OAuthProblem, Problem};

/// Everything the functions declare, as one JSON document.
#[must_use]
pub fn describe(functions: &[Function]) -> Value {
    let mut variables = vec![DOCUMENT_VARIABLE];
    variables.extend(FIELD_VARIABLES.map(|(name, _)| name));
    json!({
        "variables": variables,
        "functions": functions.iter().map(describe_function).collect::<Vec<_>>(),
        "openapi": openapi(functions),
        "errors": reference::errors(),
        "acts": reference::acts(),
        "permissions": reference::permissions(functions),
        "roles": reference::roles(),
        "configuration": iam_core::config::reference::fields(),
        "metrics": iam_telemetry::instruments::all(),
    })
}

/// Prints [`describe`] on standard output.
///
/// # Errors
/// When standard output is closed.
pub fn print(functions: Vec<Function>) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{:#}", describe(&functions))
}

fn describe_function(function: &Function) -> Value {
    let route = |declaration: &Declaration| {
        let (method, path) = (declaration.method.as_str(), declaration.path);
        json!({"method": method, "path": path, "public": declaration.public})
    };
    let schedule = |schedule: &Scheduled| {
        let Scheduled { job, cron, function, .. } = schedule;
        json!({"job": job, "cron": cron, "function": function})
    };
    let step =
        |step: &Step| json!({"name": step.name, "summary": step.summary, "round_trips": step.round_trips});
    let job = |job: &Job| {
        let steps = job.steps.iter().map(step).collect::<Vec<_>>();
        json!({"name": job.name, "summary": job.summary, "round_trips": job.round_trips, "steps": steps})
    };
    json!({
        "name": function.name,
        "summary": function.summary,
        "routes": function.routes.iter().map(|declaration| route(declaration)).collect::<Vec<_>>(),
        "schedules": function.schedules.iter().map(schedule).collect::<Vec<_>>(),
        "jobs": function.jobs.iter().map(job).collect::<Vec<_>>(),
        "uses": {
            "database": function.uses.database,
            "key_value": function.uses.key_value,
            "secrets": function.uses.secrets,
            "outbound": function.uses.outbound,
            "calls": function.uses.calls,
        },
    })
}

fn openapi(functions: &[Function]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for function in functions {
        for declaration in function.routes.iter().filter(|declaration| declaration.public) {
            let operation = operation(function.name, declaration, &mut generator);
            let method = declaration.method.as_str().to_ascii_lowercase();
            paths.entry(declaration.path).or_default().insert(method, operation);
        }
    }
    let problem = generator.subschema_for::<Problem<'static>>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Edge IAM",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {"Problem": {
                "description": "An RFC 9457 problem",
                "content": {"application/problem+json": {"schema": problem}},
            }},
            "securitySchemes": {
                "accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "sessionCookie": {"type": "apiKey", "in": "cookie", "name": "CRONOS_SESSION"},
                "scimToken": {"type": "http", "scheme": "bearer"},
                "internalToken": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}

fn operation(function: &str, declaration: &Declaration, generator: &mut SchemaGenerator) -> Value {
    let documentation = &declaration.documentation;
    let mut operation = json!({
        "tags": [function],
        "operationId": operation_id(declaration),
        "summary": documentation.summary,
        "responses": responses(declaration, generator),
    });
    let Some(fields) = operation.as_object_mut() else { return operation };
    let permission = match declaration.access.rule {
        Rule::Permission(resource, action, scope) => {
            Some(Permission::new(resource, action, scope).to_string())
        }
        Rule::Public | Rule::AccessToken | Rule::Scim | Rule::Internal => None,
    };
    let needs = permission.as_ref().map(|permission| format!("Needs the permission `{permission}`."));
    let description = [documentation.description, needs.as_deref().unwrap_or_default()].join(" ");
    if !description.trim().is_empty() {
        fields.insert("description".to_owned(), json!(description.trim()));
    }
    fields.insert("security".to_owned(), security(declaration.access.rule));
    if let Some((media_type, schema)) = documentation.request {
        let content = json!({media_type: {"schema": schema(generator)}});
        fields.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    let parameters = parameters(declaration, generator);
    if !parameters.is_empty() {
        fields.insert("parameters".to_owned(), json!(parameters));
    }
    operation
}

fn operation_id(declaration: &Declaration) -> String {
    let words = declaration.path.split(|character: char| !character.is_ascii_alphanumeric());
    let mut id = declaration.method.as_str().to_ascii_lowercase();
    for word in words.filter(|word| !word.is_empty()) {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn security(rule: Rule) -> Value {
    match rule {
        Rule::Public => json!([]),
        Rule::Permission(..) => json!([{"accessToken": []}, {"apiKey": []}, {"sessionCookie": []}]),
        Rule::AccessToken => json!([{"accessToken": []}]),
        Rule::Scim => json!([{"scimToken": []}]),
        Rule::Internal => json!([{"internalToken": []}]),
    }
}

fn responses(declaration: &Declaration, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for answer in &declaration.documentation.answers {
        let mut response = json!({"description": answer.description});
        if let (Some((media_type, schema)), Some(fields)) = (answer.body, response.as_object_mut()) {
            fields.insert("content".to_owned(), json!({media_type: {"schema": schema(generator)}}));
        }
        responses.insert(answer.status.to_string(), response);
    }
    let problem = match declaration.style {
        ErrorStyle::Problem | ErrorStyle::Webhook => json!({"$ref": "#/components/responses/Problem"}),
        ErrorStyle::Scim => {
            json!({"description": "An RFC 7644 error", "content": {"application/scim+json": {}}})
        }
        ErrorStyle::OAuth => {
            let schema = generator.subschema_for::<OAuthProblem<'static>>();
            json!({"description": "An RFC 6749 error", "content": {"application/json": {"schema": schema}}})
        }
    };
    responses.insert("default".to_owned(), problem);
    Value::Object(responses)
}

/// Path parameters from the path itself, query parameters from the type that decodes them.
fn parameters(declaration: &Declaration, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = declaration.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = names
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    let Some(query) = declaration.documentation.query else { return parameters };
    let schema = query(generator);
    let reference = schema.get("$ref").and_then(Value::as_str).unwrap_or_default();
    let name = reference.rsplit('/').next().unwrap_or_default();
    let definition = generator.definitions().get(name).cloned().unwrap_or_else(|| schema.clone().into());
    let properties = definition.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, mut schema) in properties {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        parameters.push(json!({
            "name": name, "in": "query", "required": false, "schema": schema,
            "description": description.unwrap_or_default(),
        }));
    }
    parameters
}
