//! What the document may say, as a list for the reference. Native only.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Configuration, FIELD_VARIABLES};
use crate::id::OrganizationId;
use crate::secret::password::PasswordCost;
use crate::time::Duration;

/// A field, or a section of fields.
#[derive(Clone, Debug, Serialize)]
pub struct FieldDescription {
    /// Where it is: `session.timeout`.
    pub path: String,
    /// What it may hold, in words.
    pub kind: String,
    /// What holds where the document says nothing.
    pub default: Value,
    /// The host variable that replaces it, where there is one.
    pub variable: Option<&'static str>,
    /// What it is for and what is allowed, as its source says.
    pub meaning: Cow<'static, str>,
    /// Whether the fields that follow it are its own.
    pub is_section: bool,
}

/// Every field of the document, section by section.
#[must_use]
pub fn fields() -> Vec<FieldDescription> {
    Configuration::fields("")
}

/// Something that the reference tells of. What is no section says what it is and how it is written.
pub(super) trait Described {
    /// What it may hold, in words.
    fn kind() -> String {
        "an object".to_owned()
    }

    /// It as the document writes it.
    fn value(&self) -> Value {
        json!({})
    }

    /// Its own fields, where it is a section at `path`.
    fn fields(_path: &str) -> Vec<FieldDescription> {
        Vec::new()
    }
}

/// A section under description: its plain fields, then the sections in it.
pub(super) struct Section<'a> {
    path: &'a str,
    plain: Vec<FieldDescription>,
    sections: Vec<FieldDescription>,
}

impl<'a> Section<'a> {
    pub(super) fn of(path: &'a str) -> Self {
        Self { path, plain: Vec::new(), sections: Vec::new() }
    }

    pub(super) fn add<T: Described>(&mut self, name: &str, default: &T, meaning: &'static str) {
        let path = super::reader::join(self.path, name);
        let own = T::fields(&path);
        let pointer = format!("/{}", path.replace('.', "/"));
        let variable = FIELD_VARIABLES.iter().find(|(_, field)| *field == pointer);
        let field = FieldDescription {
            path,
            kind: T::kind(),
            default: default.value(),
            variable: variable.map(|(name, _)| *name),
            meaning: meaning.trim().into(),
            is_section: !own.is_empty(),
        };
        if field.is_section {
            self.sections.push(field);
            self.sections.extend(own);
        } else {
            self.plain.push(field);
        }
    }

    pub(super) fn finish(mut self) -> Vec<FieldDescription> {
        self.plain.append(&mut self.sections);
        self.plain
    }
}

macro_rules! described {
    ($($type:ty: $kind:literal, $value:expr;)*) => {$(
        impl Described for $type {
            fn kind() -> String {
                $kind.to_owned()
            }

            fn value(&self) -> Value {
                let value: fn(&Self) -> Value = $value;
                value(self)
            }
        }
    )*};
}

described! {
    String: "a text", |text| json!(text);
    bool: "true or false", |truth| json!(truth);
    u32: "a whole number", |number| json!(number);
    f64: "a number", |number| json!(number);
    Duration: "a duration", |duration| json!(duration.to_string());
    OrganizationId: "an organization's id", |id| json!(id.as_str());
    IpNet: "an address range", |range| json!(range.to_string());
    Value: "JSON", Clone::clone;
}

impl<T: Described> Described for Option<T> {
    fn kind() -> String {
        T::kind()
    }

    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Described::value)
    }

    fn fields(path: &str) -> Vec<FieldDescription> {
        T::fields(path)
    }
}

impl<T: Described> Described for Vec<T> {
    fn kind() -> String {
        format!("a list, each {}", T::kind())
    }

    fn value(&self) -> Value {
        self.iter().map(Described::value).collect()
    }
}

impl<T: Described> Described for BTreeMap<String, T> {
    fn kind() -> String {
        format!("an object, each member {}", T::kind())
    }

    fn value(&self) -> Value {
        self.iter().map(|(name, member)| (name.clone(), member.value())).collect()
    }

    fn fields(path: &str) -> Vec<FieldDescription> {
        T::fields(&format!("{path}.<name>"))
    }
}

/// Its fields stand with the type, and what it says of them is in its schema.
impl Described for PasswordCost {
    fn fields(path: &str) -> Vec<FieldDescription> {
        let schema = schemars::schema_for!(PasswordCost);
        let default = json!(Self::default());
        let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let field = |(name, property): (String, Value)| FieldDescription {
            path: super::reader::join(path, &name),
            kind: u32::kind(),
            default: default.get(&name).cloned().unwrap_or_default(),
            variable: None,
            meaning: property
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
                .into(),
            is_section: false,
        };
        properties.into_iter().map(field).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_listed_with_what_holds() {
        let fields = fields();
        let find = |path: &str| fields.iter().find(|field| field.path == path).unwrap();
        let timeout = find("session.timeout");
        assert_eq!((timeout.kind.as_str(), &timeout.default), ("a duration", &json!("8h")));
        assert!(timeout.meaning.starts_with("A session ends") && !timeout.is_section);
        assert!(find("session").is_section && find("secrets.vault").default.is_null());
        assert_eq!(find("jwt.algorithm").variable, Some("IAM_JWT_ALGORITHM"));
        assert_eq!(find("webhooks.services.<name>.signature.encoding").kind, "one of `hex`, `base64`");
        assert_eq!(find("password.argon2.memory_kib").default, json!(19_456));
        for field in &fields {
            assert!(field.meaning.ends_with('.'), "{}", field.path);
        }
        let variables = fields.iter().filter(|field| field.variable.is_some()).count();
        assert_eq!(variables, FIELD_VARIABLES.len());
    }
}
