//! Attribute paths (RFC 7644 section 3.5.2): `active`, `name.givenName`, `emails[type eq "work"].value`, each
//! with or without its schema's URN in front.

use crate::filter::ValueFilter;
use crate::filter::parse::parse_value_filter;
use crate::schema::{self, Attribute, AttributeRef, ResourceSchema};
use crate::{ScimError, shown};

/// Where in a resource something changes.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributePath {
    /// The attribute, or the part of it that is meant.
    pub target: AttributeRef,
    /// Of which of the attribute's values; of all where there is none.
    pub filter: Option<ValueFilter>,
}

impl AttributePath {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is malformed, or names no attribute.
    pub fn parse(schema: ResourceSchema<'_>, text: &str) -> Result<Self, ScimError> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('[') else {
            return Ok(Self { target: schema.attribute(text)?, filter: None });
        };
        // A `]` in the filter's own text comes before the last one: no name has one.
        let (filter, rest) =
            rest.rsplit_once(']').ok_or_else(|| ScimError::path("a `]` is missing in the path"))?;
        let target = schema.attribute(name)?;
        if target.sub_attribute.is_some() || !target.attribute.is_multi_valued {
            let detail = format!("`{}` has one value: no filter applies", target.leaf().name);
            return Err(ScimError::path(detail));
        }
        let filter = Some(parse_value_filter(target.attribute, filter)?);
        let unknown = || ScimError::path(format!("the path `{}` names no attribute", shown(text)));
        let sub_attribute = match rest.strip_prefix('.') {
            Some(sub) => Some(schema::find(target.attribute.sub_attributes(), sub).ok_or_else(unknown)?),
            None if rest.is_empty() => None,
            None => return Err(unknown()),
        };
        Ok(Self { target: AttributeRef { sub_attribute, ..target }, filter })
    }

    /// Whether a client may not change what it leads to.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.target.attribute.is_read_only() || self.target.sub_attribute.is_some_and(Attribute::is_read_only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScimErrorKind;
    use crate::schema::{ENTERPRISE_URN, Registry, ResourceKind, USER_URN};

    fn parse(text: &str) -> Result<AttributePath, ScimError> {
        AttributePath::parse(Registry::default().of(ResourceKind::User), text)
    }

    fn key(text: &str) -> String {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).target.key()
    }

    #[test]
    fn paths_are_read_in_any_case() {
        assert_eq!(key("ACTIVE"), "active");
        assert_eq!(key(" name.givenname "), "name.givenName");
        assert_eq!(key(&format!("{USER_URN}:name.familyName")), "name.familyName");
        assert_eq!(key("emails[type eq \"a]b\"].value"), "emails.value");
        assert_eq!(key("emails[type eq \"a].value\"].Value"), "emails.value");
        assert_eq!(key(&format!("{USER_URN}:emails[type eq \"work\"].value")), "emails.value");
        assert_eq!(key("emails[primary eq \"True\"]"), "emails");
        assert_eq!(key("emails[value eq \"a\"].$ref".replace("$ref", "display").as_str()), "emails.display");
    }

    #[test]
    fn extensions_are_reached_with_a_colon_and_with_a_dot() {
        for separator in [":", "."] {
            let urn = ENTERPRISE_URN.to_uppercase();
            let department = format!("{ENTERPRISE_URN}:department");
            assert_eq!(key(&format!("{urn}{separator}Department")), department);
            let manager = format!("{ENTERPRISE_URN}:manager.value");
            assert_eq!(key(&format!("{ENTERPRISE_URN}{separator}manager.value")), manager);
        }
        assert_eq!(key(ENTERPRISE_URN), ENTERPRISE_URN);
    }

    #[test]
    fn other_paths_are_refused() {
        for text in [
            "",
            ".",
            "[",
            "[]",
            "shoeSize",
            "name.shoeSize",
            "name.givenName.x",
            "active.value",
            "members",
            "emails[type eq \"a\"",
            "emails[type eq \"a\"]value",
            "emails[type eq \"a\"].",
            "emails.value[type eq \"a\"]",
            "name[givenName eq \"a\"]",
            "urn:unknown:2.0:User:department",
            &format!("{ENTERPRISE_URN}:"),
            &format!("{ENTERPRISE_URN}department"),
        ] {
            assert_eq!(parse(text).unwrap_err().kind, ScimErrorKind::InvalidPath, "{text}");
        }
        for text in
            ["emails[type eq]", "emails[shoeSize eq \"43\"]", "emails[primary eq \"maybe\"]", "emails[]"]
        {
            assert_eq!(parse(text).unwrap_err().kind, ScimErrorKind::InvalidFilter, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn foreign_text_never_panics(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn nearly_a_path_never_panics(
            text in "(emails|name|urn:ietf:params:scim:schemas:core:2.0:User)?[\\[\\].: a\"\u{e9}]{0,12}",
        ) {
            let _ = parse(&text);
        }
    }
}
