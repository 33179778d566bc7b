//! The secrets of services: one host secret, a JSON object.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeroize::Zeroizing;

/// How many secrets a service has at most: two while they are rotated.
pub const MAX_SECRETS: usize = 8;

/// The shortest secret, in bytes.
const MIN_SECRET_BYTES: usize = 8;

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: usize = 512;

/// What stands after a service's name where the secrets are those we sign with, towards its target.
const TARGET: &str = ":target";

/// The secrets of all services: those that its sender signs with under the service's name, and those that we
/// sign with towards its target under `<service>:target`.
pub struct WebhookSecrets(BTreeMap<String, Vec<Zeroizing<String>>>);

impl WebhookSecrets {
    /// Reads them; an empty text is none.
    ///
    /// # Errors
    /// What is wrong, without a secret in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        let form = "a JSON object of lists of texts is needed: {\"github\": [\"…\"]}";
        let services: BTreeMap<String, Vec<Secret>> =
            serde_json::from_str(text).map_err(|_| form.to_owned())?;
        for (service, secrets) in &services {
            let sane = |secret: &Secret| (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.0.len());
            if !(1..=MAX_SECRETS).contains(&secrets.len()) || !secrets.iter().all(sane) {
                return Err(format!(
                    "1 to {MAX_SECRETS} secrets of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes are needed \
                     for {service:?}"
                ));
            }
        }
        let plain = |secrets: Vec<Secret>| secrets.into_iter().map(|secret| secret.0).collect();
        Ok(Self(services.into_iter().map(|(name, secrets)| (name, plain(secrets))).collect()))
    }

    /// What a service's sender signs with; any of them does.
    #[must_use]
    pub fn of_sender(&self, service: &str) -> &[Zeroizing<String>] {
        self.0.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    /// What we sign with towards a service's target; with all of them.
    #[must_use]
    pub fn of_target(&self, service: &str) -> &[Zeroizing<String>] {
        self.0.get(&format!("{service}{TARGET}")).map(Vec::as_slice).unwrap_or_default()
    }
}

impl std::fmt::Debug for WebhookSecrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// A text that is wiped when it is dropped, wherever reading stops.
struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_and_never_told() {
        let secrets = WebhookSecrets::parse(
            r#"{"github": ["secret-one", "secret-two"], "github:target": ["whsec_AQID"]}"#,
        )
        .unwrap();
        assert_eq!(secrets.of_sender("github").len(), 2);
        assert_eq!(secrets.of_target("github")[0].as_str(), "whsec_AQID");
        assert!(secrets.of_sender("other").is_empty());
        assert!(!format!("{secrets:?}").contains("secret"));
        assert!(WebhookSecrets::parse(" ").unwrap().of_sender("github").is_empty());
        for text in [
            "[]",
            "{",
            r#"{"a": "secret-one"}"#,
            r#"{"a": []}"#,
            r#"{"a": ["short"]}"#,
            r#"{"a": ["secret-one", 1]}"#,
        ] {
            let problem = WebhookSecrets::parse(text).unwrap_err();
            assert!(!problem.contains("secret-one") && !problem.contains("short\""), "{problem}");
        }
        let nine = serde_json::json!({"a": vec!["secret-one"; 9]}).to_string();
        assert!(WebhookSecrets::parse(&nine).is_err());
    }
}
