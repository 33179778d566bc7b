//! Filters (RFC 7644 section 3.4.2.2): one comparison, `attribute eq value`.

use serde_json::Value as Json;

use super::schema::{self, Attribute, USER_URN};
use super::value::canonical;
use super::{ScimError, shown};

/// The longest filter, in bytes.
pub const MAX_FILTER_BYTES: usize = 1024;

/// A filter as it is written: names are not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `attribute eq value`
    Equal {
        /// The attribute's path.
        attribute: String,
        /// Text, or true or false.
        value: Json,
    },
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// When it is malformed, longer than [`MAX_FILTER_BYTES`], or more than one `eq`.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        const FORM: &str = "a filter must be `attribute eq value`";
        if text.len() > MAX_FILTER_BYTES {
            return Err(ScimError::filter(format!("a filter may be {MAX_FILTER_BYTES} bytes long")));
        }
        let malformed = || ScimError::filter(FORM);
        let (attribute, rest) = text.trim().split_once(' ').ok_or_else(malformed)?;
        let (operator, literal) = rest.trim_start().split_once(' ').ok_or_else(malformed)?;
        if !operator.eq_ignore_ascii_case("eq") {
            return Err(ScimError::filter(format!(
                "the operator `{}` is not offered: {FORM}",
                shown(operator)
            )));
        }
        if attribute.is_empty() || !attribute.chars().all(is_name_character) {
            return Err(malformed());
        }
        // The literal is JSON (RFC 7644, ABNF of compValue), so whatever follows it is refused here too.
        match serde_json::from_str(literal) {
            Ok(value @ (Json::String(_) | Json::Bool(_))) => {
                Ok(Self::Equal { attribute: attribute.to_owned(), value })
            }
            Ok(_) => Err(ScimError::filter("the value of a filter must be text in quotes, or true or false")),
            Err(_) => Err(malformed()),
        }
    }
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '$' | ':' | '.')
}

/// Which users a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserFilter {
    /// The one with this user name, without regard to case.
    UserName(String),
    /// Those with this external id.
    ExternalId(String),
    /// The one with this id.
    Id(String),
}

impl UserFilter {
    /// Reads a filter over users. Only attributes with an index are offered: no filter makes us read every user.
    ///
    /// # Errors
    /// When it is malformed, or over another attribute.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let Filter::Equal { attribute, value } = Filter::parse(text)?;
        let name = strip_prefix_ignoring_case(&attribute, USER_URN)
            .and_then(|rest| rest.strip_prefix(':'))
            .unwrap_or(&attribute);
        let Json::String(value) = value else {
            return Err(ScimError::filter("the value of a filter over users must be text in quotes"));
        };
        match name {
            _ if name.eq_ignore_ascii_case("userName") => Ok(Self::UserName(value)),
            _ if name.eq_ignore_ascii_case("externalId") => Ok(Self::ExternalId(value)),
            _ if name.eq_ignore_ascii_case("id") => Ok(Self::Id(value)),
            _ => Err(ScimError::filter(format!(
                "users are found by `userName`, `externalId` or `id`, not by `{}`",
                shown(&attribute)
            ))),
        }
    }
}

/// Which values of a list a path means: those whose sub-attribute has this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueFilter {
    /// The sub-attribute.
    pub sub_attribute: &'static Attribute,
    value: Json,
}

impl ValueFilter {
    /// Reads what stands in the brackets of `emails[type eq "work"]`.
    ///
    /// # Errors
    /// When it is malformed, or over no sub-attribute of `attribute`.
    pub fn parse(attribute: &'static Attribute, text: &str) -> Result<Self, ScimError> {
        let Filter::Equal { attribute: name, value } = Filter::parse(text)?;
        let sub_attribute = schema::find(attribute.sub_attributes(), &name).ok_or_else(|| {
            ScimError::filter(format!("`{}` has no sub-attribute `{}`", attribute.name, shown(&name)))
        })?;
        let value = canonical(sub_attribute, value).map_err(|error| ScimError::filter(error.detail))?;
        let value = value.ok_or_else(|| ScimError::filter("the value of a filter is missing"))?;
        Ok(Self { sub_attribute, value })
    }

    /// Whether it means this value.
    #[must_use]
    pub fn matches(&self, element: &Json) -> bool {
        match (element.get(self.sub_attribute.name), &self.value) {
            (Some(Json::String(given)), Json::String(wanted)) if !self.sub_attribute.is_case_exact => {
                given.to_lowercase() == wanted.to_lowercase()
            }
            (given, wanted) => given == Some(wanted),
        }
    }

    /// The value that it asks for.
    #[must_use]
    pub fn value(&self) -> &Json {
        &self.value
    }
}

/// What follows a prefix that is there in any case.
pub(crate) fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::ScimErrorKind;

    #[test]
    fn users_are_found_by_what_has_an_index() {
        let name = |text: &str| UserFilter::UserName(text.to_owned());
        assert_eq!(UserFilter::parse("userName eq \"ada\""), Ok(name("ada")));
        assert_eq!(UserFilter::parse(" USERNAME  EQ  \"a \\\"b\\\" c\" "), Ok(name("a \"b\" c")));
        let qualified = "urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"ada\"";
        assert_eq!(UserFilter::parse(qualified), Ok(name("ada")));
        assert_eq!(UserFilter::parse("externalId eq \"7\""), Ok(UserFilter::ExternalId("7".to_owned())));
        assert_eq!(UserFilter::parse("id eq \"7\""), Ok(UserFilter::Id("7".to_owned())));
    }

    #[test]
    fn other_filters_are_refused() {
        for text in [
            "",
            "userName",
            "userName eq",
            "userName eq ",
            "userName eq ada",
            "userName eq 7",
            "userName eq null",
            "userName eq true",
            "userName eq \"ada",
            "userName co \"ada\"",
            "userName pr",
            "emails eq \"a@example.com\"",
            "userName eq \"ada\" or userName eq \"bob\"",
            "(userName eq \"ada\")",
            "urn:ietf:params:scim:schemas:core:2.0:UseruserName eq \"ada\"",
        ] {
            assert_eq!(UserFilter::parse(text).unwrap_err().kind, ScimErrorKind::InvalidFilter, "{text}");
        }
        let long = format!("userName eq \"{}\"", "a".repeat(MAX_FILTER_BYTES));
        assert!(UserFilter::parse(&long).is_err());
    }

    proptest::proptest! {
        #[test]
        fn foreign_text_never_panics(text in ".{0,200}") {
            let _ = UserFilter::parse(&text);
        }

        #[test]
        fn nearly_a_filter_never_panics(text in "[a-zA-Z:.]{0,12} {0,2}(eq|EQ|co)? {0,2}[\"\\\\a\u{e9}\u{1f600}]{0,8}") {
            let _ = UserFilter::parse(&text);
        }

        #[test]
        fn every_text_can_be_asked_for(text in ".{0,100}") {
            let filter = format!("userName eq {}", Json::String(text.clone()));
            proptest::prop_assert_eq!(UserFilter::parse(&filter), Ok(UserFilter::UserName(text)));
        }
    }
}
