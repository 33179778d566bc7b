//! Sequences of SCIM requests as an identity provider sends them, from the data files in `tests/data/scim`.
//!
//! A file names the public documentation that it was written from (`source`), and has steps. Each is a
//! request, byte for byte the way that provider writes it, and what the documentation or the RFC says of the
//! answer:
//!
//! | member | meaning |
//! | --- | --- |
//! | `does` | what the provider is at, for people |
//! | `request` | method and path below the base URL: `GET /Users?filter=userName eq "{userName}"` |
//! | `headers`, `body` | what is sent besides the file's own `headers` |
//! | `status` | the status, or a list of those that may be |
//! | `is` | JSON pointers to the values that have to be there |
//! | `present`, `absent` | JSON pointers that have to lead to a value, or to none |
//! | `unassigned` | JSON pointers to nothing, null or an empty list: the same (RFC 7643 section 2.5) |
//! | `counts` | JSON pointers to lists, and how many elements these have |
//! | `has`, `lacks` | JSON pointers to lists, and members that an element has, or none has |
//! | `answers` | headers of the answer; `*` is any value |
//! | `keep` | names for values of the answer, by JSON pointer |
//!
//! `{name}` in a request stands for a kept value, for one of the file's `variables`, for `{unique}` (other in
//! each run), `{guid}` (a random UUID) or `{base}` (the base URL).
//!
//! Beside that, every answer is held to what RFC 7644 says of all of them: see [`holds_everywhere`].

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Map, Value};

use crate::client::{Answer, Client};

/// Where SCIM is.
pub const BASE: &str = "/api/scim/v2";

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        /// The data files, by name.
        pub const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../data/scim/", $name, ".json")))),+];
    };
}

files!(
    "entra-connection",
    "entra-groups",
    "entra-users",
    "entra-users-compliant",
    "jumpcloud",
    "okta-groups",
    "okta-specification-test",
    "okta-users",
    "okta-users-by-put",
    "onelogin",
);

/// Plays a file with a client that has a SCIM token. `base_url` is where that client's deployment is.
pub async fn play(name: &str, base_url: &str, client: &Client) {
    let (_, text) = FILES.iter().find(|(known, _)| *known == name).expect("there is such a file");
    let file: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    check_members(name, &file, &["source", "about", "headers", "variables", "steps"]);
    let mut values = built_in(base_url);
    for (variable, value) in members(&file["variables"]) {
        let value = fill(value.as_str().expect("a variable is text"), &values, false);
        values.insert(variable.clone(), value);
    }
    for (index, step) in file["steps"].as_array().expect("steps").iter().enumerate() {
        let place = format!("{name}, step {}: {}", index + 1, step["does"].as_str().expect("does"));
        check_members(&place, step, &STEP);
        let answer = send(client, &file["headers"], step, &values).await;
        let place = format!("{place}\n{} {}", answer.status, answer.text);
        holds_everywhere(&place, step, &answer, &accepted(&file, step));
        holds(&place, step, &answer, &values);
        for (kept, pointer) in members(&step["keep"]) {
            let value = at(&answer, pointer.as_str().expect("a pointer"));
            let value = value.unwrap_or_else(|| panic!("nothing to keep as {kept}: {place}"));
            values.insert(kept.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
}

/// What a step may have.
const STEP: [&str; 14] = [
    "does",
    "request",
    "headers",
    "body",
    "status",
    "is",
    "present",
    "absent",
    "unassigned",
    "counts",
    "has",
    "lacks",
    "answers",
    "keep",
];

/// A word that means nothing here would be an expectation that nobody checks.
fn check_members(place: &str, object: &Value, known: &[&str]) {
    for (member, _) in members(object) {
        assert!(known.contains(&member.as_str()), "{place}: `{member}` means nothing");
    }
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flat_map(Map::iter)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().expect("a list of texts"))
}

fn built_in(base_url: &str) -> BTreeMap<String, String> {
    let bytes: [u8; 16] = crate::deployment::random();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts: Vec<&str> = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap()).into();
    let guid = parts.join("-");
    let unique = hex.get(..12).unwrap().to_owned();
    let base = format!("{base_url}{BASE}");
    [("unique", unique), ("guid", guid), ("base", base)].map(|(name, value)| (name.to_owned(), value)).into()
}

/// A text with its `{names}` replaced; in a URL by their values percent-encoded.
fn fill(text: &str, values: &BTreeMap<String, String>, is_url: bool) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or_else(|| panic!("`{text}` has an open brace"));
        let value = values.get(name).unwrap_or_else(|| panic!("`{text}`: there is no {name}"));
        filled.push_str(before);
        if is_url {
            filled.push_str(&percent_encoded(value));
        } else {
            filled.push_str(value);
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encoded).collect()
}

/// The same in every text of a document, the names of its members included.
fn fill_all(document: &Value, values: &BTreeMap<String, String>) -> Value {
    match document {
        Value::String(text) => Value::String(fill(text, values, false)),
        Value::Array(list) => list.iter().map(|element| fill_all(element, values)).collect(),
        Value::Object(object) => {
            object.iter().map(|(name, value)| (fill(name, values, false), fill_all(value, values))).collect()
        }
        other => other.clone(),
    }
}

async fn send(client: &Client, shared: &Value, step: &Value, values: &BTreeMap<String, String>) -> Answer {
    let (method, path) = step["request"].as_str().and_then(|text| text.split_once(' ')).expect("request");
    let method: Method = method.parse().unwrap();
    let mut request = client.request(method, &format!("{BASE}{}", fill(path, values, true)));
    let mut headers: BTreeMap<&String, &Value> = members(shared).collect();
    headers.extend(members(&step["headers"]));
    let has_body = step.get("body").is_some();
    for (name, value) in headers {
        if has_body || !name.eq_ignore_ascii_case("content-type") {
            request = request.header(name, fill(value.as_str().expect("a header"), values, false));
        }
    }
    if let Some(body) = step.get("body") {
        request = request.body(fill_all(body, values).to_string());
    }
    client.send(request).await
}

/// What RFC 7644 says of every answer: its media type (section 8.1), the shape of errors (3.12) and of lists
/// (3.4.2), the address of what was made (3.3), and that no password is ever shown (RFC 7643 section 4.1.1).
fn holds_everywhere(place: &str, step: &Value, answer: &Answer, accepted: &[&str]) {
    assert!(!answer.text.to_lowercase().contains("\"password\":"), "a password is shown: {place}");
    if answer.status == 204 || answer.status == 304 {
        assert!(answer.text.is_empty(), "no content, and yet some: {place}");
        return;
    }
    assert!(accepted.contains(&media_type(answer)), "{}: {place}", media_type(answer));
    let schemas: Vec<&str> = texts(&answer.json["schemas"]).collect();
    assert!(!schemas.is_empty(), "no schemas: {place}");
    if answer.status >= 400 {
        assert_eq!(schemas, [ERROR], "{place}");
        assert_eq!(answer.json["status"], answer.status.to_string(), "{place}");
        assert!(answer.json["detail"].is_string(), "no detail: {place}");
    } else if schemas == [LIST] {
        let listed = answer.json["Resources"].as_array().map_or(0, Vec::len);
        assert!(answer.json["totalResults"].as_u64().is_some_and(|total| total >= listed as u64), "{place}");
        assert_eq!(answer.json["itemsPerPage"].as_u64(), Some(listed as u64), "{place}");
        assert!(answer.json["startIndex"].as_u64().is_some_and(|start| start >= 1), "{place}");
    }
    if answer.status == 201 {
        let location = answer.headers.get("location").and_then(|value| value.to_str().ok());
        assert_eq!(location, answer.json["meta"]["location"].as_str(), "{place}");
        assert!(location.unwrap().ends_with(answer.text_at("/id")), "{place}");
        let kind = step["request"].as_str().unwrap().contains("/Groups");
        assert_eq!(answer.json["meta"]["resourceType"], if kind { "Group" } else { "User" }, "{place}");
        for time in ["/meta/created", "/meta/lastModified"] {
            assert!(answer.text_at(time).contains('T'), "{time}: {place}");
        }
    }
}

/// The media types that the answer may have. `application/json` is for those who ask for it (RFC 7644 section
/// 3.8).
fn accepted(file: &Value, step: &Value) -> Vec<&'static str> {
    let asks_for_json = [&step["headers"], &file["headers"]]
        .into_iter()
        .find_map(|headers| headers["accept"].as_str())
        .is_some_and(|accept| accept.contains("application/json"));
    if asks_for_json {
        vec!["application/scim+json", "application/json"]
    } else {
        vec!["application/scim+json"]
    }
}

fn media_type(answer: &Answer) -> &str {
    let value = answer.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// What the pointer leads to; null leads to nothing.
fn at<'answer>(answer: &'answer Answer, pointer: &str) -> Option<&'answer Value> {
    answer.json.pointer(pointer).filter(|value| !value.is_null())
}

/// What the step says of the answer.
fn holds(place: &str, step: &Value, answer: &Answer, values: &BTreeMap<String, String>) {
    let allowed = step["status"].as_array().cloned().unwrap_or_else(|| vec![step["status"].clone()]);
    assert!(allowed.iter().any(|status| *status == answer.status), "not {allowed:?}: {place}");
    for (pointer, expected) in members(&step["is"]) {
        let expected = fill_all(expected, values);
        assert_eq!(answer.json.pointer(pointer), Some(&expected), "{pointer}: {place}");
    }
    for pointer in texts(&step["present"]) {
        assert!(at(answer, pointer).is_some(), "nothing at {pointer}: {place}");
    }
    for pointer in texts(&step["absent"]) {
        assert_eq!(answer.json.pointer(pointer), None, "{pointer}: {place}");
    }
    for pointer in texts(&step["unassigned"]) {
        let is_empty = at(answer, pointer).is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
        assert!(is_empty, "something at {pointer}: {place}");
    }
    for (pointer, count) in members(&step["counts"]) {
        assert_eq!(
            list(answer, pointer).len() as u64,
            count.as_u64().expect("a count"),
            "{pointer}: {place}"
        );
    }
    for (pointer, expected) in members(&step["has"]) {
        assert!(any(answer, pointer, &fill_all(expected, values)), "{pointer} has no {expected}: {place}");
    }
    for (pointer, unexpected) in members(&step["lacks"]) {
        assert!(!any(answer, pointer, &fill_all(unexpected, values)), "{pointer} has {unexpected}: {place}");
    }
    for (name, expected) in members(&step["answers"]) {
        let value = answer.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
        let expected = fill(expected.as_str().expect("a header"), values, false);
        let is_right = value.is_some_and(|value| expected == "*" || value == expected);
        assert!(is_right, "{name} is {value:?}: {place}");
    }
}

/// The list at the pointer; an attribute that is not there is an empty one.
fn list<'answer>(answer: &'answer Answer, pointer: &str) -> &'answer [Value] {
    at(answer, pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn any(answer: &Answer, pointer: &str, expected: &Value) -> bool {
    let fits = |element: &Value| members(expected).all(|(name, value)| element.get(name) == Some(value));
    let is_plain = !expected.is_object();
    list(answer, pointer).iter().any(|element| if is_plain { element == expected } else { fits(element) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each file is in the folder, is in the list, names its source and has steps.
    #[test]
    fn files_name_their_sources() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/scim");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| Some(entry.unwrap().path().file_stem()?.to_str()?.to_owned()))
            .collect();
        there.sort();
        assert_eq!(there, FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
        for (name, text) in FILES {
            let file: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            for source in file["source"].as_array().unwrap_or_else(|| panic!("{name} has no source")) {
                assert!(source["title"].as_str().is_some_and(|title| !title.is_empty()), "{name}");
                assert!(source["url"].as_str().is_some_and(|url| url.starts_with("https://")), "{name}");
            }
            for step in file["steps"].as_array().unwrap_or_else(|| panic!("{name} has no steps")) {
                check_members(name, step, &STEP);
                assert!(step["does"].is_string() && step["request"].is_string(), "{name}: {step}");
                assert!(step["status"].is_u64() || step["status"].is_array(), "{name}: {step}");
            }
        }
    }

    #[test]
    fn names_are_filled_in() {
        let values = BTreeMap::from([("a".to_owned(), "x@y z".to_owned())]);
        assert_eq!(fill("/U/{a}?q={a}", &values, true), "/U/x%40y%20z?q=x%40y%20z");
        let document = serde_json::json!({"{a}": ["{a}", 1]});
        assert_eq!(fill_all(&document, &values), serde_json::json!({"x@y z": ["x@y z", 1]}));
    }
}
