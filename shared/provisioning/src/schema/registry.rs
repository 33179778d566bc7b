//! The schemas that are in force, and what a path names in them.

use super::{Attribute, COMMON, Extension, Kind, ResourceKind, Schema, find, user};
use crate::filter::strip_prefix_ignoring_case;
use crate::{ScimError, shown};

/// Every schema that is in force: the standard ones and those of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    configured: Vec<Extension>,
}

impl Registry {
    /// The standard schemas and these.
    #[must_use]
    pub fn new(configured: Vec<Extension>) -> Self {
        Self { configured }
    }

    /// What resources of a kind are made of.
    #[must_use]
    pub fn of(&self, kind: ResourceKind) -> ResourceSchema<'_> {
        ResourceSchema { kind, registry: self }
    }

    fn extensions(&self) -> impl Iterator<Item = &Extension> + Clone {
        std::iter::once(&user::ENTERPRISE).chain(&self.configured)
    }

    /// Every schema of resources: `/Schemas`.
    pub fn schemas(&self) -> impl Iterator<Item = &'static Schema> {
        let own = ResourceKind::ALL.into_iter().map(ResourceKind::schema);
        own.chain(self.extensions().map(|extension| extension.schema))
    }
}

/// What resources of a kind are made of.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSchema<'a> {
    /// Which kind.
    pub kind: ResourceKind,
    registry: &'a Registry,
}

impl<'a> ResourceSchema<'a> {
    /// Its extensions.
    pub fn extensions(self) -> impl Iterator<Item = &'a Extension> + Clone {
        self.registry.extensions().filter(move |extension| extension.kind == self.kind)
    }

    /// Everything that its JSON may have at its top; an extension is a complex attribute named by its URN.
    pub fn top_level(self) -> impl Iterator<Item = &'static Attribute> + Clone + 'a {
        let extensions = self.extensions().map(|extension| extension.attribute);
        COMMON.iter().chain(self.kind.schema().attributes).chain(extensions)
    }

    /// The attribute that a path without a filter names (RFC 7644 section 3.10): `userName`,
    /// `name.familyName`, each with or without its schema's URN and a colon in front; an extension's URN
    /// alone; and, since clients send them, a dot where that colon belongs, and an extension's attribute
    /// without its URN where nothing else has the name.
    ///
    /// # Errors
    /// `invalidPath` where it names none.
    pub fn attribute(self, text: &str) -> Result<AttributeRef, ScimError> {
        let unknown = || ScimError::path(format!("there is no attribute `{}`", shown(text)));
        let (extension, rest) = self.within(text);
        let Some(rest) = rest else {
            let attribute = extension.ok_or_else(unknown)?;
            return Ok(AttributeRef { extension: None, attribute, sub_attribute: None });
        };
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        let found = match extension {
            Some(within) => find(within.sub_attributes(), name).map(|attribute| (extension, attribute)),
            None => {
                find(self.top_level(), name).map(|attribute| (None, attribute)).or_else(|| self.bare(name))
            }
        };
        let (extension, attribute) = found.ok_or_else(unknown)?;
        let sub_attribute = match sub {
            Some(sub) => Some(find(attribute.sub_attributes(), sub).ok_or_else(unknown)?),
            None => None,
        };
        Ok(AttributeRef { extension, attribute, sub_attribute })
    }

    /// The attribute of an extension that has this name alone; the first of several.
    fn bare(self, name: &str) -> Option<(Option<&'static Attribute>, &'static Attribute)> {
        self.extensions().find_map(|extension| {
            let attribute = find(extension.attribute.sub_attributes(), name)?;
            Some((Some(extension.attribute), attribute))
        })
    }

    /// The extension that a path begins with, and what follows it; `None` where nothing does.
    pub(crate) fn within(self, text: &str) -> (Option<&'static Attribute>, Option<&str>) {
        for extension in self.extensions() {
            match strip_prefix_ignoring_case(text, extension.schema.id) {
                Some("") => return (Some(extension.attribute), None),
                Some(rest) => {
                    if let Some(rest) = rest.strip_prefix([':', '.']) {
                        return (Some(extension.attribute), Some(rest));
                    }
                }
                None => {}
            }
        }
        let own = strip_prefix_ignoring_case(text, self.kind.schema().id);
        (None, Some(own.and_then(|rest| rest.strip_prefix(':')).unwrap_or(text)))
    }
}

/// An attribute or sub-attribute, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeRef {
    /// The extension that has it, where it is not of the resource's own schema.
    pub extension: Option<&'static Attribute>,
    /// The attribute; an extension as a whole is one.
    pub attribute: &'static Attribute,
    /// The part of it that is meant.
    pub sub_attribute: Option<&'static Attribute>,
}

impl AttributeRef {
    /// What is meant in the end.
    #[must_use]
    pub fn leaf(&self) -> &'static Attribute {
        self.sub_attribute.unwrap_or(self.attribute)
    }

    /// What a comparison compares: of a complex attribute its `value` (RFC 7644 section 3.4.2.2). `None`
    /// where that has none.
    #[must_use]
    pub fn compared(self) -> Option<Self> {
        match (self.sub_attribute, self.attribute.kind) {
            (None, Kind::Complex(of)) => {
                let value = find(of, "value")?;
                Some(Self { sub_attribute: Some(value), ..self })
            }
            _ => Some(self),
        }
    }

    /// Its name from the top, as the schema writes it: `name.familyName`, and below an extension
    /// `urn:…:User:manager.value`. Also the column `attribute` of the table `scim_values`.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = String::new();
        if let Some(extension) = self.extension {
            key.push_str(extension.name);
            key.push(':');
        }
        key.push_str(self.attribute.name);
        if let Some(sub) = self.sub_attribute {
            key.push('.');
            key.push_str(sub.name);
        }
        key
    }
}
