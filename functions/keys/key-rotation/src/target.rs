//! Where a new key may go.

use iam_core::config::Configuration;
use iam_core::id::OrganizationId;
use iam_core::keys::Target;
use iam_service::outbound::check_url;
use iam_service::{ApiError, Caller};

/// Mounts of a Vault that are its own, in any namespace: what stands before one may be its name.
const VAULTS_OWN: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

/// The longest path as its caller writes it, in bytes.
const MAX_PATH_BYTES: usize = 200;

/// Checks what a caller asked for. A path in a Vault is put below the configured prefix and the organization,
/// and where the caller may change its own keys alone, below its own id: nobody writes over another's secret.
pub(crate) fn checked(
    asked: Target,
    caller: &Caller,
    is_own_alone: bool,
    configuration: &Configuration,
) -> Result<Target, ApiError> {
    match asked {
        Target::Vault { mount, path } => {
            let mount_fits = is_path(&mount, 64) && !mount.split('/').any(|name| VAULTS_OWN.contains(&name));
            if !mount_fits {
                let allowed =
                    "the mount of a KV engine: names of letters, digits, `_`, `-` and `.` between slashes";
                return Err(ApiError::field("/delivery/mount", allowed));
            }
            if !is_path(&path, MAX_PATH_BYTES) {
                let allowed = format!(
                    "names of letters, digits, `_`, `-` and `.` between slashes, at most {MAX_PATH_BYTES} \
                     characters"
                );
                return Err(ApiError::field("/delivery/path", allowed));
            }
            if configuration.secrets.vault.is_none() {
                return Err(ApiError::field(
                    "/delivery/kind",
                    "not `vault`: none is configured (`secrets.vault`)",
                ));
            }
            let below = vault_root(configuration, &caller.organization);
            let path = if is_own_alone {
                format!("{below}users/{}/{path}", caller.user_id)
            } else {
                format!("{below}{path}")
            };
            Ok(Target::Vault { mount, path })
        }
        Target::Webhook { url, public_key } => {
            check_url(&url, &configuration.outbound)
                .map_err(|allowed| ApiError::field("/delivery/url", allowed))?;
            public_key.check().map_err(|error| ApiError::field("/delivery/public_key", error.to_string()))?;
            Ok(Target::Webhook { url, public_key })
        }
    }
}

/// What all paths of an organization begin with.
pub(crate) fn vault_root(configuration: &Configuration, organization: &OrganizationId) -> String {
    format!("{}{organization}/", configuration.api_keys.vault_path_prefix)
}

fn is_path(text: &str, most: usize) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(known) && !name.bytes().all(|byte| byte == b'.');
    text.len() <= most && text.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below() {
        for good in ["key", "teams/payments/key", "a.b/c_d-e", "..a/b"] {
            assert!(is_path(good, 200), "{good}");
        }
        let long = "a".repeat(201);
        for bad in [
            "",
            "/",
            "/key",
            "key/",
            "a//b",
            "..",
            "../sys",
            "a/../b",
            "a/./b",
            ".",
            "a/...",
            "a b",
            "a?b",
            "a#b",
            "a%2e%2e/b",
            "a\\b",
            "a\nb",
            "\u{e9}",
            long.as_str(),
        ] {
            assert!(!is_path(bad, 200), "{bad}");
        }
    }
}
