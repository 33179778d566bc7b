//! The metadata of the authorization server (RFC 8414 section 2).

use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use iam_core::config::Configuration;
use schemars::JsonSchema;
use serde::Serialize;

/// How clients of the token endpoint tell who they are; the refresh tokens of people come without a client.
const TOKEN_AUTHENTICATION: [&str; 4] =
    ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];

/// How clients of the other endpoints do.
const CLIENT_AUTHENTICATION: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

/// What signs the assertion of `private_key_jwt`. RS256 comes last: not every host verifies it.
const SIGNATURE_ALGORITHMS: [&str; 2] = ["ES256", "EdDSA"];

/// The metadata of the authorization server. Scopes are grants, such as `users.read.organization`, and not
/// listed: which there are is for each organization to say.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Metadata {
    /// The `iss` of every token.
    pub issuer: String,
    /// Where clients get tokens.
    pub token_endpoint: String,
    /// Where the keys are that verify tokens.
    pub jwks_uri: String,
    /// None: there is no authorization endpoint.
    pub response_types_supported: [&'static str; 0],
    /// How clients get tokens.
    pub grant_types_supported: [&'static str; 2],
    /// How clients tell the token endpoint who they are.
    pub token_endpoint_auth_methods_supported: [&'static str; 4],
    /// What may sign the assertion of `private_key_jwt`.
    pub token_endpoint_auth_signing_alg_values_supported: [&'static str; 2],
    /// Where a token is looked into (RFC 7662).
    pub introspection_endpoint: String,
    /// How clients tell it who they are.
    pub introspection_endpoint_auth_methods_supported: [&'static str; 3],
    /// What may sign the assertion of `private_key_jwt` there.
    pub introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 2],
    /// Where a token is revoked (RFC 7009).
    pub revocation_endpoint: String,
    /// How clients tell it who they are.
    pub revocation_endpoint_auth_methods_supported: [&'static str; 3],
    /// What may sign the assertion of `private_key_jwt` there.
    pub revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 2],
    /// The description of the API.
    pub service_documentation: String,
}

impl Metadata {
    pub(crate) fn new(issuer: &str, base: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: format!("{base}/api/v1/oauth/token"),
            jwks_uri: format!("{base}/.well-known/jwks.json"),
            response_types_supported: [],
            grant_types_supported: ["client_credentials", "refresh_token"],
            token_endpoint_auth_methods_supported: TOKEN_AUTHENTICATION,
            token_endpoint_auth_signing_alg_values_supported: SIGNATURE_ALGORITHMS,
            introspection_endpoint: format!("{base}/api/v1/oauth/introspect"),
            introspection_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            introspection_endpoint_auth_signing_alg_values_supported: SIGNATURE_ALGORITHMS,
            revocation_endpoint: format!("{base}/api/v1/oauth/revoke"),
            revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            revocation_endpoint_auth_signing_alg_values_supported: SIGNATURE_ALGORITHMS,
            service_documentation: format!("{base}/openapi.json"),
        }
    }
}

/// Where the product is reached: as configured, otherwise where this request came to. `None` where it names
/// no host.
pub(crate) fn base_url(configuration: &Configuration, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(url) = &configuration.public_url {
        return Some(url.clone());
    }
    let named = || headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let authority = uri.authority().cloned().or_else(named).filter(|authority| {
        // Nobody's user name and password belong into a document that is cached.
        !authority.as_str().contains('@')
    })?;
    Some(format!("{}://{authority}", uri.scheme_str().unwrap_or("http")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(document: &str, uri: &str, host: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        base_url(&Configuration::parse(document, []).unwrap(), &uri.parse().unwrap(), &headers)
    }

    #[test]
    fn the_configured_address_goes_before_the_requests() {
        let configured = r#"{"public_url": "https://iam.example.com"}"#;
        assert_eq!(base(configured, "/", "other").as_deref(), Some("https://iam.example.com"));
        assert_eq!(base("", "/", "localhost:8787").as_deref(), Some("http://localhost:8787"));
        assert_eq!(
            base("", "https://iam.example.com/x", "other").as_deref(),
            Some("https://iam.example.com")
        );
        for host in ["", "user@host", "a b", "a/b"] {
            assert_eq!(base("", "/", host), None, "{host}");
        }
    }
}
