//! Variables and the `{{ templates }}` over them.

use std::collections::BTreeMap;

use crate::SpinHostError;
use crate::manifest::Manifest;

/// The environment variables that set an application variable start with this.
const ENVIRONMENT_PREFIX: &str = "SPIN_VARIABLE_";

/// The application's variables, each with its value.
#[derive(Debug)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Gives every variable of `manifest` its value: a given one, else the environment's, else the default.
    ///
    /// # Errors
    ///
    /// When a name is not one Spin takes or a required variable has no value.
    pub fn resolve(
        manifest: &Manifest,
        given: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SpinHostError> {
        let mut values = BTreeMap::new();
        for (name, declaration) in &manifest.variables {
            check_name(name).map_err(SpinHostError::Variable)?;
            let value = given
                .get(name)
                .cloned()
                .or_else(|| environment(&format!("{ENVIRONMENT_PREFIX}{}", name.to_ascii_uppercase())))
                .or_else(|| declaration.default.clone())
                .ok_or_else(|| SpinHostError::Variable(format!("required variable {name} has no value")))?;
            values.insert(name.clone(), value);
        }
        Ok(Self(values))
    }

    /// A component's own variables: its templates filled in.
    ///
    /// # Errors
    ///
    /// When a name is not one Spin takes, or a template is malformed or names an unknown variable.
    pub fn of_component(
        &self,
        templates: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, SpinHostError> {
        templates
            .iter()
            .map(|(name, template)| {
                check_name(name).map_err(SpinHostError::Variable)?;
                Ok((name.clone(), self.fill(template)?))
            })
            .collect()
    }

    /// Fills in a template.
    ///
    /// # Errors
    ///
    /// When it is malformed or names an unknown variable.
    pub fn fill(&self, template: &str) -> Result<String, SpinHostError> {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((literal, expression)) = rest.split_once("{{") {
            let (name, after) = expression.split_once("}}").ok_or_else(|| {
                SpinHostError::Variable(format!("template {template:?} has an unmatched '{{{{'"))
            })?;
            let name = name.trim();
            let value = self.0.get(name).ok_or_else(|| {
                SpinHostError::Variable(format!("template {template:?} names the unknown variable {name:?}"))
            })?;
            filled.push_str(literal);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// Whether `name` can name a variable: lower-case letters, digits and single underscores between them.
///
/// # Errors
///
/// Why it can't.
pub fn check_name(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        "must not be empty"
    } else if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        "may contain only lower-case letters, digits and underscores"
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "must start with a letter"
    } else if name.ends_with('_') || name.contains("__") {
        "may have underscores only one at a time, between other characters"
    } else {
        return Ok(());
    };
    Err(format!("{name:?}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "test"
        [variables]
        host = { default = "localhost" }
        token = { required = true }
        [trigger]
        [component]
    "#;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn resolve(values: &[(&str, &str)]) -> Result<Variables, SpinHostError> {
        let environment = |name: &str| (name == "SPIN_VARIABLE_HOST").then(|| "from-environment".to_owned());
        Variables::resolve(&Manifest::parse(MANIFEST).unwrap(), &given(values), environment)
    }

    #[test]
    fn the_given_value_comes_before_the_environment_and_that_before_the_default() {
        let with_given = resolve(&[("token", "t"), ("host", "given")]).unwrap();
        assert_eq!(with_given.fill("{{ host }}").unwrap(), "given");
        let with_environment = resolve(&[("token", "t")]).unwrap();
        assert_eq!(with_environment.fill("{{host}}").unwrap(), "from-environment");
        let defaults =
            Variables::resolve(&Manifest::parse(MANIFEST).unwrap(), &given(&[("token", "t")]), |_| None)
                .unwrap();
        assert_eq!(defaults.fill("http://{{ host }}:80/{{ token }}").unwrap(), "http://localhost:80/t");
    }

    #[test]
    fn a_required_variable_needs_a_value() {
        assert!(resolve(&[]).unwrap_err().to_string().contains("token has no value"));
    }

    #[test]
    fn a_template_is_checked() {
        let variables = resolve(&[("token", "t")]).unwrap();
        assert!(variables.fill("{{ host").unwrap_err().to_string().contains("unmatched"));
        assert!(variables.fill("{{ nobody }}").unwrap_err().to_string().contains("unknown variable"));
        assert!(variables.of_component(&given(&[("Bad", "x")])).is_err());
    }

    #[test]
    fn names_are_spins() {
        for name in ["a", "a1b2", "a_1_b"] {
            check_name(name).unwrap();
        }
        for name in ["", "aX", "1b", "_x", "x_", "a__b", "x-y"] {
            check_name(name).unwrap_err();
        }
    }
}
