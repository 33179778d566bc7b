//! Attribute paths (RFC 7644 section 3.5.2): `active`, `name.givenName`, `emails[type eq "work"].value`, each with
//! or without its schema's URN in front.

use super::filter::{ValueFilter, strip_prefix_ignoring_case};
use super::schema::{self, Attribute, ENTERPRISE_USER, USER_URN};
use super::{ScimError, shown};

/// Where in a user something changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributePath {
    /// The extension that has the attribute, where it is not the core schema.
    pub extension: Option<&'static Attribute>,
    /// The attribute; an extension as a whole is one.
    pub attribute: &'static Attribute,
    /// Which of its values.
    pub filter: Option<ValueFilter>,
    /// Which part of them.
    pub sub_attribute: Option<&'static Attribute>,
}

impl AttributePath {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is malformed, or names no attribute.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let text = text.trim();
        if let Some(rest) = strip_prefix_ignoring_case(text, ENTERPRISE_USER.name) {
            if rest.is_empty() {
                return Ok(Self {
                    extension: None,
                    attribute: &ENTERPRISE_USER,
                    filter: None,
                    sub_attribute: None,
                });
            }
            let rest = rest.strip_prefix(':').ok_or_else(|| unknown(text))?;
            return Self::within(Some(&ENTERPRISE_USER), rest);
        }
        let core = strip_prefix_ignoring_case(text, USER_URN).and_then(|rest| rest.strip_prefix(':'));
        Self::within(None, core.unwrap_or(text))
    }

    fn within(extension: Option<&'static Attribute>, text: &str) -> Result<Self, ScimError> {
        let (name, filter, sub) = split(text)?;
        let attribute = match extension {
            Some(extension) => schema::find(extension.sub_attributes(), name),
            None => schema::find(schema::top_level(), name),
        }
        .ok_or_else(|| unknown(text))?;
        if filter.is_some() && !attribute.is_multi_valued {
            return Err(ScimError::path(format!("`{}` has one value: no filter applies", attribute.name)));
        }
        let filter = filter.map(|filter| ValueFilter::parse(attribute, filter)).transpose()?;
        let sub_attribute = match sub {
            Some(sub) => Some(schema::find(attribute.sub_attributes(), sub).ok_or_else(|| unknown(text))?),
            None => None,
        };
        Ok(Self { extension, attribute, filter, sub_attribute })
    }

    /// Whether a client may not change what it leads to.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.attribute.is_read_only() || self.sub_attribute.is_some_and(Attribute::is_read_only)
    }
}

type Parts<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Name, filter and sub-attribute of `name[filter].sub`.
fn split(text: &str) -> Result<Parts<'_>, ScimError> {
    let Some((name, rest)) = text.split_once('[') else {
        return Ok(match text.split_once('.') {
            Some((name, sub)) => (name, None, Some(sub)),
            None => (text, None, None),
        });
    };
    // A `]` in the filter's own text comes before the last one: no name has one.
    let (filter, rest) =
        rest.rsplit_once(']').ok_or_else(|| ScimError::path("a `]` is missing in the path"))?;
    match rest.strip_prefix('.') {
        Some(sub) => Ok((name, Some(filter), Some(sub))),
        None if rest.is_empty() => Ok((name, Some(filter), None)),
        None => Err(unknown(text)),
    }
}

fn unknown(text: &str) -> ScimError {
    ScimError::path(format!("the path `{}` names no attribute of a user", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScimErrorKind;

    fn names(text: &str) -> (Option<&str>, &str, Option<&str>) {
        let path = AttributePath::parse(text).unwrap();
        (path.extension.map(|it| it.name), path.attribute.name, path.sub_attribute.map(|it| it.name))
    }

    #[test]
    fn paths_are_read_in_any_case() {
        let enterprise = schema::ENTERPRISE_URN;
        assert_eq!(names("ACTIVE"), (None, "active", None));
        assert_eq!(names("name.givenname"), (None, "name", Some("givenName")));
        assert_eq!(names(&format!("{USER_URN}:name.familyName")), (None, "name", Some("familyName")));
        assert_eq!(names(&format!("{enterprise}:Department")), (Some(enterprise), "department", None));
        assert_eq!(
            names(&format!("{enterprise}:manager.value")),
            (Some(enterprise), "manager", Some("value"))
        );
        assert_eq!(names(enterprise), (None, enterprise, None));
        assert_eq!(names("emails[type eq \"a]b\"].value"), (None, "emails", Some("value")));
        assert_eq!(names("emails[primary eq \"True\"]"), (None, "emails", None));
    }

    #[test]
    fn other_paths_are_refused() {
        for text in
            ["", ".", "shoeSize", "name.shoeSize", "name.givenName.x", "emails[type eq \"a\"", "active.value"]
        {
            assert_eq!(AttributePath::parse(text).unwrap_err().kind, ScimErrorKind::InvalidPath, "{text}");
        }
        for text in ["emails[type eq]", "emails[shoeSize eq \"43\"]", "emails[primary eq \"maybe\"]"] {
            assert_eq!(AttributePath::parse(text).unwrap_err().kind, ScimErrorKind::InvalidFilter, "{text}");
        }
        assert!(AttributePath::parse("emails[type eq \"a\"]value").is_err());
        assert!(AttributePath::parse("name[type eq \"a\"]").is_err());
    }

    proptest::proptest! {
        #[test]
        fn foreign_text_never_panics(text in ".{0,200}") {
            let _ = AttributePath::parse(&text);
        }

        #[test]
        fn nearly_a_path_never_panics(text in "(emails|name|urn:ietf:params:scim:schemas:core:2.0:User)?[\\[\\].: a\"\u{e9}]{0,12}") {
            let _ = AttributePath::parse(&text);
        }
    }
}
