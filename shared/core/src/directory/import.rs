//! One line of an import: a user as another directory had it, as JSON.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::{
    FieldProblem, MAX_EXTERNAL_ID_BYTES, MAX_GROUPS, MAX_ROLES_PER_USER, check_display_name, check_email,
    check_names, check_username,
};
use crate::time::Timestamp;

/// How many lines one request may have.
pub const MAX_LINES: usize = 1000;

/// The longest line, in bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The longest password hash, in bytes.
pub const MAX_HASH_BYTES: usize = 1024;

/// A user as a line has it. An export writes the same.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImportLine {
    /// Its name for signing in.
    pub username: String,
    /// Its e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its roles.
    #[schemars(default)]
    pub roles: Vec<String>,
    /// Its groups, by id or display name.
    #[schemars(default)]
    pub groups: Vec<String>,
    /// The hash of its password as the other directory has it: Argon2, bcrypt, scrypt or PBKDF2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// Whether it may act: `active` without it.
    #[schemars(default)]
    pub status: ImportStatus,
    /// Its id in the other directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// When it was created: now without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// Never shows the hash.
impl std::fmt::Debug for ImportLine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ImportLine of `{}`", self.username)
    }
}

/// Whether an imported user may act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportStatus {
    /// It may.
    #[default]
    Active,
    /// It may not.
    Suspended,
}

impl ImportStatus {
    /// Its word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// A line that is not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRefusal {
    /// Its user name, where it can be read.
    pub username: Option<String>,
    /// What is wrong where. The pointer is empty where it is the whole line.
    pub problem: FieldProblem,
}

/// Reads a line. What it names (roles, groups, the kind of hash) is not looked up here.
///
/// # Errors
/// When it is no JSON object, or a field does not fit. No reason repeats a value.
pub fn parse_line(line: &[u8]) -> Result<ImportLine, LineRefusal> {
    let refused = |pointer: &str, detail: String| LineRefusal {
        username: None,
        problem: FieldProblem::new(pointer, detail),
    };
    if line.len() > MAX_LINE_BYTES {
        return Err(refused("", format!("a line may be {MAX_LINE_BYTES} bytes long")));
    }
    let text = std::str::from_utf8(line).map_err(|_| refused("", "not UTF-8".to_owned()))?;
    let object: Map<String, Json> =
        serde_json::from_str(text).map_err(|_| refused("", "not a JSON object".to_owned()))?;
    let username = object.get("username").and_then(Json::as_str).map(shortened);
    let parsed = read(object).and_then(|mut line| check(&mut line).map(|()| line));
    parsed.map_err(|problem| LineRefusal { username, problem })
}

/// Only what a report should repeat.
fn shortened(username: &str) -> String {
    username.trim().chars().filter(|character| !character.is_control()).take(254).collect()
}

/// The fields that a line may have.
const FIELDS: [&str; 9] = [
    "username",
    "email",
    "display_name",
    "roles",
    "groups",
    "password_hash",
    "status",
    "external_id",
    "created_at",
];

fn read(mut object: Map<String, Json>) -> Result<ImportLine, FieldProblem> {
    if let Some(unknown) = object.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let pointer = format!("/{}", shortened(unknown).replace('~', "~0").replace('/', "~1"));
        return Err(FieldProblem::new(pointer, format!("unknown; known are: {}", FIELDS.join(", "))));
    }
    let mut text = |name: &str| match object.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(FieldProblem::new(format!("/{name}"), "a text")),
    };
    let username = text("username")?.ok_or_else(|| FieldProblem::new("/username", "missing"))?;
    let (email, display_name) = (text("email")?, text("display_name")?);
    let (password_hash, external_id) = (text("password_hash")?, text("external_id")?);
    let status = match text("status")?.as_deref() {
        None | Some("active") => ImportStatus::Active,
        Some("suspended") => ImportStatus::Suspended,
        Some(_) => return Err(FieldProblem::new("/status", "`active` or `suspended`")),
    };
    let created_at = match text("created_at")?.map(|moment| moment.parse()) {
        None => None,
        Some(Ok(moment)) => Some(moment),
        Some(Err(_)) => return Err(FieldProblem::new("/created_at", "an RFC 3339 date and time")),
    };
    let (roles, groups) = (names(&mut object, "roles")?, names(&mut object, "groups")?);
    Ok(ImportLine {
        username,
        email,
        display_name,
        roles,
        groups,
        password_hash,
        status,
        external_id,
        created_at,
    })
}

fn names(object: &mut Map<String, Json>, field: &str) -> Result<Vec<String>, FieldProblem> {
    let refused = |place: String| FieldProblem::new(place, "an array of texts");
    let names = match object.remove(field) {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(names)) => names,
        Some(_) => return Err(refused(format!("/{field}"))),
    };
    let name = |(index, name)| match name {
        Json::String(name) => Ok(name),
        _ => Err(refused(format!("/{field}/{index}"))),
    };
    names.into_iter().enumerate().map(name).collect()
}

fn check(line: &mut ImportLine) -> Result<(), FieldProblem> {
    line.username = check_username(&line.username)?.to_owned();
    line.email.as_deref().map_or(Ok(()), check_email)?;
    line.display_name.as_deref().map_or(Ok(()), check_display_name)?;
    check_names("/roles", &line.roles, MAX_ROLES_PER_USER)?;
    check_names("/groups", &line.groups, MAX_GROUPS)?;
    let is_long =
        |text: &Option<String>, most| text.as_ref().is_some_and(|it| it.is_empty() || it.len() > most);
    if is_long(&line.password_hash, MAX_HASH_BYTES) {
        return Err(FieldProblem::new("/password_hash", format!("1 to {MAX_HASH_BYTES} bytes")));
    }
    if is_long(&line.external_id, MAX_EXTERNAL_ID_BYTES) {
        return Err(FieldProblem::new("/external_id", format!("1 to {MAX_EXTERNAL_ID_BYTES} bytes")));
    }
    if line.created_at.is_some_and(|moment| moment.as_millis() < 0) {
        return Err(FieldProblem::new("/created_at", "1970-01-01T00:00:00Z or later"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(line: &str) -> (String, String) {
        let refusal = parse_line(line.as_bytes()).unwrap_err();
        (refusal.problem.pointer, refusal.problem.detail)
    }

    #[test]
    fn a_whole_line_is_read() {
        let line = parse_line(
            br#"{"username": " Ada ", "email": "ada@example.com", "display_name": "Ada", "roles": ["viewer"],
                "groups": ["Engines"], "password_hash": "$2b$04$x", "status": "suspended", "external_id": "7",
                "created_at": "1843-01-01T00:00:00Z"}"#,
        );
        assert_eq!(line.unwrap_err().problem.pointer, "/created_at");
        let line = parse_line(br#"{"username": " Ada ", "status": "suspended"}"#).unwrap();
        assert_eq!((line.username.as_str(), line.status), ("Ada", ImportStatus::Suspended));
    }

    #[test]
    fn what_is_wrong_is_named_and_not_repeated() {
        assert_eq!(problem("").0, "");
        assert_eq!(problem("[]").1, "not a JSON object");
        assert_eq!(problem("{}"), ("/username".into(), "missing".into()));
        assert_eq!(problem(r#"{"username": 1}"#), ("/username".into(), "a text".into()));
        assert_eq!(problem(r#"{"username": "a", "roles": "x"}"#).0, "/roles");
        assert_eq!(problem(r#"{"username": "a", "roles": ["x", "x"]}"#).0, "/roles/1");
        assert_eq!(problem(r#"{"username": "a", "status": "gone"}"#).0, "/status");
        assert_eq!(problem(r#"{"username": "a", "email": "@"}"#).0, "/email");
        assert_eq!(problem(r#"{"username": "a", "a/b": 1}"#).0, "/a~1b");
        let secret = parse_line(br#"{"username": "a", "password_hash": {"x": "s3cret"}}"#).unwrap_err();
        assert!(!format!("{secret:?}").contains("s3cret"));
        assert_eq!(secret.username.as_deref(), Some("a"));
        assert_eq!(parse_line(b"{\"username\": \"\xff\"}").unwrap_err().problem.detail, "not UTF-8");
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            ".{0,12}".prop_map(Json::from),
            Just(Json::from("2025-01-16T10:30:00Z")),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Json::from))
    }

    proptest! {
        #[test]
        fn bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_line(&line);
        }

        /// Whatever an object holds, it is a user within bounds or a problem of a known field.
        #[test]
        fn an_object_is_a_user_or_a_named_problem(
            fields in prop::collection::vec((prop::sample::select(FIELDS.to_vec()), json()), 0..9)
        ) {
            let object: Map<String, Json> =
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            match parse_line(Json::Object(object).to_string().as_bytes()) {
                Ok(line) => {
                    prop_assert!(!line.username.is_empty() && line.username.len() <= 254);
                    // What was read is written, and read again as it was.
                    let written = serde_json::to_vec(&line).unwrap();
                    prop_assert!(parse_line(&written) == Ok(line));
                }
                Err(refusal) => {
                    let name = refusal.problem.pointer.split('/').nth(1).unwrap_or_default();
                    prop_assert!(FIELDS.contains(&name), "{refusal:?}");
                    prop_assert!(!refusal.problem.detail.is_empty());
                }
            }
        }
    }
}
