//! Extensions: schemas that add attributes to a kind of resource, from the configuration.

use iam_core::config::ConfigurationError;
use serde_json::{Map, Value as Json};

use super::{
    Attribute, ENTERPRISE_URN, GROUP_URN, Kind, Mutability, ResourceKind, Returned, Schema, USER_URN,
};

/// How many extensions a configuration may have.
pub const MAX_EXTENSIONS: usize = 16;

/// How many attributes an extension may have, and sub-attributes an attribute.
pub const MAX_ATTRIBUTES: usize = 64;

/// How many words `canonicalValues` and `referenceTypes` may have.
const MAX_WORDS: usize = 64;

/// The longest URN and the longest text for people, in bytes.
const MAX_URN_BYTES: usize = 200;
const MAX_DESCRIPTION_BYTES: usize = 1000;

/// The longest name of an attribute, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Below which, and above which, no extension is: it would take the names of theirs.
const RESERVED: [&str; 5] = [
    USER_URN,
    GROUP_URN,
    ENTERPRISE_URN,
    "urn:ietf:params:scim:schemas:core:2.0",
    "urn:ietf:params:scim:api:messages:2.0",
];

/// An extension of a kind of resource.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Of which kind.
    pub kind: ResourceKind,
    /// Its schema.
    pub schema: &'static Schema,
    /// It as a complex attribute, named by its URN.
    pub attribute: &'static Attribute,
    /// Whether a resource without it is refused.
    pub is_required: bool,
}

impl Extension {
    /// Reads `scim.extensions` of the configuration: a list of schemas as RFC 7643 section 7 writes them,
    /// each with the `resource` that it extends (`User` or `Group`) and whether that must have it
    /// (`required`). `null` is none.
    ///
    /// What is read stays for as long as the instance lives: call it once an instance.
    ///
    /// # Errors
    /// The first bad field, as `scim.extensions[0].attributes[2].type`, with what is allowed.
    pub fn read(configured: &Json) -> Result<Vec<Self>, ConfigurationError> {
        const PATH: &str = "scim.extensions";
        let elements = list(configured, PATH, MAX_EXTENSIONS)?;
        let mut extensions: Vec<Self> = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let path = format!("{PATH}[{index}]");
            let extension = read_extension(element, &path)?;
            let is_taken = |other: &Self| overlap(other.schema.id, extension.schema.id);
            if extensions.iter().any(is_taken) {
                let allowed = "a URN that neither is nor continues that of another extension";
                return Err(refused(&format!("{path}.id"), allowed));
            }
            extensions.push(extension);
        }
        Ok(extensions)
    }
}

fn read_extension(json: &Json, path: &str) -> Result<Extension, ConfigurationError> {
    let mut fields = Fields::of(json, path)?;
    let id =
        fields.required_text("id", "a URN, as in `urn:example:params:scim:schemas:extension:2.0:User`")?;
    check_urn(id, &fields.path("id"))?;
    let name = fields.text("name")?.unwrap_or(id);
    let description = fields.text("description")?.unwrap_or(name);
    let kinds = ResourceKind::ALL.map(|kind| (kind.name(), kind));
    let kind = fields.word("resource", kinds)?.unwrap_or(ResourceKind::User);
    let is_required = fields.truth("required", false)?;
    let attributes = fields.attributes("attributes", false)?;
    if attributes.is_empty() {
        return Err(refused(&fields.path("attributes"), "a list of attributes, not empty"));
    }
    fields.finish()?;
    let (id, attributes) = (keep_text(id), keep(attributes));
    let schema: &'static Schema =
        keep_one(Schema { id, name: keep_text(name), description: keep_text(description), attributes });
    let attribute =
        Attribute { is_required, ..Attribute::new(id, Kind::Complex(attributes), schema.description) };
    Ok(Extension { kind, schema, attribute: keep_one(attribute), is_required })
}

fn check_urn(urn: &str, path: &str) -> Result<(), ConfigurationError> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
    let is_urn = urn.starts_with("urn:") && urn.len() <= MAX_URN_BYTES && urn.bytes().all(known);
    let is_whole = is_urn && urn.len() > "urn:".len() && !urn.ends_with([':', '.']);
    if !is_whole {
        let allowed =
            format!("`urn:` and letters, digits, `:`, `.`, `_` and `-`, {MAX_URN_BYTES} bytes together");
        return Err(refused(path, &allowed));
    }
    if RESERVED.iter().any(|reserved| overlap(reserved, urn)) {
        return Err(refused(path, "a URN that neither is nor continues one of RFC 7643 or RFC 7644"));
    }
    Ok(())
}

/// Whether one of two URNs is the other, or the beginning of it: a path that begins with the longer one would
/// begin with both.
fn overlap(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let (start, rest) = long.split_at_checked(short.len()).unwrap_or((long, ""));
    start.eq_ignore_ascii_case(short) && (rest.is_empty() || rest.starts_with([':', '.']))
}

fn read_attribute(json: &Json, path: &str, is_sub_attribute: bool) -> Result<Attribute, ConfigurationError> {
    let mut fields = Fields::of(json, path)?;
    let name = fields.required_text("name", NAME_RULE)?;
    let is_known = is_name(name) || is_sub_attribute && name == "$ref";
    if !is_known {
        return Err(refused(&fields.path("name"), NAME_RULE));
    }
    let word = fields.text("type")?.unwrap_or("string");
    let subs = fields.attributes("subAttributes", true)?;
    let kind = read_kind(word, subs, &fields, is_sub_attribute)?;
    let description = fields.text("description")?.unwrap_or(name);
    let is_multi_valued = fields.truth("multiValued", false)?;
    if is_sub_attribute && is_multi_valued {
        return Err(refused(&fields.path("multiValued"), "false: a sub-attribute has one value"));
    }
    let plain = Attribute::new(keep_text(name), kind, keep_text(description));
    let attribute = Attribute {
        is_multi_valued,
        is_required: fields.truth("required", false)?,
        is_case_exact: fields.truth("caseExact", plain.is_case_exact)?,
        // What nobody sees and everybody may filter by is no place for a secret, so there is no `writeOnly`.
        mutability: {
            let words = [Mutability::ReadWrite, Mutability::ReadOnly, Mutability::Immutable];
            fields.word("mutability", words.map(|it| (it.as_str(), it)))?.unwrap_or(Mutability::ReadWrite)
        },
        returned: {
            let words = [Returned::Always, Returned::Default, Returned::Request, Returned::Never];
            fields.word("returned", words.map(|it| (it.as_str(), it)))?.unwrap_or(Returned::Default)
        },
        canonical_values: fields.words("canonicalValues")?,
        reference_types: fields.words("referenceTypes")?,
        ..plain
    };
    fields.word("uniqueness", [("none", ())])?;
    fields.finish()?;
    Ok(attribute)
}

const KINDS: [(&str, Kind); 8] = [
    ("string", Kind::Text),
    ("reference", Kind::Reference),
    ("binary", Kind::Binary),
    ("boolean", Kind::Boolean),
    ("integer", Kind::Integer),
    ("decimal", Kind::Decimal),
    ("dateTime", Kind::DateTime),
    ("complex", Kind::Complex(&[])),
];

fn read_kind(
    word: &str,
    subs: Vec<Attribute>,
    fields: &Fields<'_>,
    is_sub_attribute: bool,
) -> Result<Kind, ConfigurationError> {
    let kinds = || KINDS.iter().filter(|(_, kind)| !(is_sub_attribute && matches!(kind, Kind::Complex(_))));
    let (_, kind) = kinds().find(|(name, _)| *name == word).ok_or_else(|| {
        let names: Vec<String> = kinds().map(|(name, _)| format!("`{name}`")).collect();
        refused(&fields.path("type"), &format!("one of {}", names.join(", ")))
    })?;
    match (kind, subs.is_empty()) {
        (Kind::Complex(_), false) => Ok(Kind::Complex(keep(subs))),
        (Kind::Complex(_), true) => {
            Err(refused(&fields.path("subAttributes"), "a list of attributes, not empty"))
        }
        (_, false) => Err(refused(&fields.path("subAttributes"), "nothing where `type` is not `complex`")),
        (kind, true) => Ok(*kind),
    }
}

const NAME_RULE: &str = "a letter and up to 63 letters, digits, `_` and `-`";

/// RFC 7643 section 2.1. A `$` is for `$ref` alone.
fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(known)
}

/// The fields of an object, and those that nobody asked for.
struct Fields<'a> {
    path: &'a str,
    members: &'a Map<String, Json>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn of(json: &'a Json, path: &'a str) -> Result<Self, ConfigurationError> {
        let members = json.as_object().ok_or_else(|| refused(path, "an object"))?;
        Ok(Self { path, members, known: Vec::new() })
    }

    fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn get(&mut self, name: &'static str) -> Option<&'a Json> {
        self.known.push(name);
        self.members.get(name)
    }

    fn text(&mut self, name: &'static str) -> Result<Option<&'a str>, ConfigurationError> {
        let Some(json) = self.get(name) else { return Ok(None) };
        let text = json.as_str().filter(|text| (1..=MAX_DESCRIPTION_BYTES).contains(&text.len()));
        let allowed = || refused(&self.path(name), &format!("a text of 1 to {MAX_DESCRIPTION_BYTES} bytes"));
        text.map(Some).ok_or_else(allowed)
    }

    fn required_text(&mut self, name: &'static str, allowed: &str) -> Result<&'a str, ConfigurationError> {
        self.text(name)?.ok_or_else(|| refused(&self.path(name), allowed))
    }

    fn truth(&mut self, name: &'static str, default: bool) -> Result<bool, ConfigurationError> {
        let Some(json) = self.get(name) else { return Ok(default) };
        json.as_bool().ok_or_else(|| refused(&self.path(name), "true or false"))
    }

    fn word<T: Copy, const N: usize>(
        &mut self,
        name: &'static str,
        words: [(&str, T); N],
    ) -> Result<Option<T>, ConfigurationError> {
        let Some(json) = self.get(name) else { return Ok(None) };
        let found = json.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        let allowed = || words.map(|(word, _)| format!("`{word}`")).join(", ");
        found
            .map(|(_, value)| Some(*value))
            .ok_or_else(|| refused(&self.path(name), &format!("one of {}", allowed())))
    }

    fn words(&mut self, name: &'static str) -> Result<&'static [&'static str], ConfigurationError> {
        let Some(json) = self.get(name) else { return Ok(&[]) };
        let path = self.path(name);
        let words = list(json, &path, MAX_WORDS)?.iter().map(|word| {
            let text = word.as_str().filter(|text| (1..=MAX_DESCRIPTION_BYTES).contains(&text.len()));
            text.map(keep_text).ok_or_else(|| refused(&path, "a list of texts"))
        });
        Ok(keep(words.collect::<Result<_, _>>()?))
    }

    fn attributes(
        &mut self,
        name: &'static str,
        are_sub_attributes: bool,
    ) -> Result<Vec<Attribute>, ConfigurationError> {
        let Some(json) = self.get(name) else { return Ok(Vec::new()) };
        let path = self.path(name);
        let mut attributes: Vec<Attribute> = Vec::new();
        for (index, element) in list(json, &path, MAX_ATTRIBUTES)?.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let attribute = read_attribute(element, &path, are_sub_attributes)?;
            if attributes.iter().any(|other| other.name.eq_ignore_ascii_case(attribute.name)) {
                return Err(refused(&format!("{path}.name"), "a name that no other attribute beside it has"));
            }
            attributes.push(attribute);
        }
        Ok(attributes)
    }

    fn finish(self) -> Result<(), ConfigurationError> {
        match self.members.keys().find(|name| !self.known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(ConfigurationError {
                field: self.path(name),
                problem: format!("there is no such field; there are: {}", self.known.join(", ")),
            }),
        }
    }
}

fn list<'a>(json: &'a Json, path: &str, most: usize) -> Result<&'a [Json], ConfigurationError> {
    match json {
        Json::Null => Ok(&[]),
        Json::Array(elements) if elements.len() <= most => Ok(elements),
        _ => Err(refused(path, &format!("a list of at most {most}"))),
    }
}

fn refused(path: &str, allowed: &str) -> ConfigurationError {
    ConfigurationError { field: path.to_owned(), problem: format!("allowed is: {allowed}") }
}

// Standard schemas are constants, and everything that works with attributes refers to them for as long as it
// likes. Those of the configuration are read once an instance and are in force until it ends, so there is no
// moment to free them.

fn keep_text(text: &str) -> &'static str {
    text.to_owned().leak()
}

fn keep<T>(elements: Vec<T>) -> &'static [T] {
    elements.leak()
}

fn keep_one<T>(one: T) -> &'static T {
    Box::leak(Box::new(one))
}
