//! What the pages of `docs/reference/` are written from, beside the routes. Native only.

use std::collections::BTreeMap;

use iam_core::acts;
use iam_core::directory::organization::BUILT_IN_ROLES;
use iam_core::permission::Permission;
use serde_json::{Value, json};

use super::Function;
use crate::access::Rule;
use crate::request::codes;

/// The error codes, by room.
pub(super) fn errors() -> Value {
    codes::ROOMS.iter().map(|(room, codes)| json!({"room": room, "codes": codes})).collect()
}

/// The acts, by room.
pub(super) fn acts() -> Value {
    acts::ROOMS.iter().map(describe_acts).collect()
}

/// What the built-in roles grant.
pub(super) fn roles() -> Value {
    BUILT_IN_ROLES.iter().map(|(role, grants)| json!({"role": role, "grants": grants})).collect()
}

fn describe_acts((room, acts): &acts::Room) -> Value {
    let act = |(act, meaning): &(&iam_core::record::Act, &str)| {
        json!({
            "name": act.name,
            "resource": act.resource,
            "severity": act.severity.as_str(),
            "personal_data": act.personal_data.as_str(),
            "meaning": meaning.trim(),
        })
    };
    json!({"room": room, "acts": acts.iter().map(act).collect::<Vec<_>>()})
}

/// Each permission that a route asks for, and the routes that do.
pub(super) fn permissions(functions: &[Function]) -> Value {
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for declaration in functions.iter().flat_map(|function| &function.routes) {
        if let Rule::Permission(resource, action, scope) = declaration.access.rule {
            let permission = Permission::new(resource, action, scope).to_string();
            asked.entry(permission).or_default().push(format!("{} {}", declaration.method, declaration.path));
        }
    }
    asked.values_mut().for_each(|routes| routes.sort());
    let line =
        |(permission, routes): (String, Vec<String>)| json!({"permission": permission, "routes": routes});
    asked.into_iter().map(line).collect()
}
