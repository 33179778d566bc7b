//! Whether a browser's request comes from a page of ours (OWASP: verifying the origin with standard headers).
//! A browser sends its cookies by itself; where it sends them from only these headers tell.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use iam_core::config::Configuration;

use crate::request::error::ApiError;

/// Refuses what another site's page may have made a browser send: with a cookie, everything that can change
/// something has to come from our own origin or one that the configuration allows.
pub(crate) fn check_cookie_use(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    configuration: &Configuration,
) -> Result<(), ApiError> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let is_ours = match headers.get(header::ORIGIN) {
        Some(origin) => is_trusted(origin, uri, headers, configuration),
        None => headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin"),
    };
    if is_ours { Ok(()) } else { Err(refused()) }
}

/// Refuses a request that a page of another site sent: for a route that gives a browser its cookie. Whoever
/// is no browser says nothing of origins, and may.
///
/// # Errors
/// 403 where the origin is neither our own nor an allowed one.
pub fn check_origin(uri: &Uri, headers: &HeaderMap, configuration: &Configuration) -> Result<(), ApiError> {
    let origin = headers.get(header::ORIGIN);
    if origin.is_none_or(|origin| is_trusted(origin, uri, headers, configuration)) {
        return Ok(());
    }
    Err(refused())
}

fn refused() -> ApiError {
    let detail = "with a session cookie this can only be sent by a page of this site";
    ApiError::new(StatusCode::FORBIDDEN, "cross_site_request", detail)
}

fn is_trusted(origin: &HeaderValue, uri: &Uri, headers: &HeaderMap, configuration: &Configuration) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    if configuration.cors.allowed_origins.iter().any(|allowed| allowed == origin) {
        return true;
    }
    let Some((is_secure, given_host)) = scheme_and_host(origin) else { return false };
    if let Some(public_url) = &configuration.public_url {
        return scheme_and_host(public_url) == Some((is_secure, given_host));
    }
    let stated = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = stated.or_else(|| uri.authority().map(Authority::as_str)).unwrap_or_default();
    // A proxy may have taken TLS off; what came in the clear never passes for what came over TLS.
    (is_secure || uri.scheme_str() != Some("https")) && given_host.eq_ignore_ascii_case(host)
}

/// Whether an address is one of HTTPS, and its host and port.
fn scheme_and_host(url: &str) -> Option<(bool, &str)> {
    let secure = url.strip_prefix("https://").map(|rest| (true, rest));
    let (is_secure, rest) = secure.or_else(|| url.strip_prefix("http://").map(|rest| (false, rest)))?;
    let host = rest.split('/').next().filter(|host| !host.is_empty())?;
    Some((is_secure, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(document: &str) -> Configuration {
        Configuration::parse(document, []).unwrap()
    }

    fn passes(method: Method, given: &[(&'static str, &str)], document: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("iam.example.com:8443"));
        for (name, value) in given {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let uri = Uri::from_static("https://iam.example.com:8443/api");
        check_cookie_use(&method, &uri, &headers, &configuration(document)).is_ok()
    }

    #[test]
    fn what_changes_nothing_may_come_from_anywhere() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(passes(method, &[("origin", "https://evil.example")], ""));
        }
    }

    #[test]
    fn what_changes_something_comes_from_our_own_pages() {
        assert!(passes(Method::POST, &[("origin", "https://iam.example.com:8443")], ""));
        assert!(passes(Method::DELETE, &[("sec-fetch-site", "same-origin")], ""));
        for given in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "https://iam.example.com")],
            &[("origin", "http://iam.example.com:8443")],
            &[("origin", "https://iam.example.com:8443.evil.example")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!passes(Method::POST, given, ""), "{given:?}");
        }
    }

    #[test]
    fn the_configuration_names_origins() {
        let public = r#"{
            "public_url": "https://id.example.com/iam",
            "cors": {"allowed_origins": ["https://console.example.com"]}
        }"#;
        assert!(passes(Method::POST, &[("origin", "https://id.example.com")], public));
        assert!(passes(Method::POST, &[("origin", "https://console.example.com")], public));
        assert!(!passes(Method::POST, &[("origin", "https://iam.example.com:8443")], public));
    }

    #[test]
    fn a_page_of_another_site_gets_no_cookie() {
        let uri = Uri::from_static("https://iam.example.com/api/v1/sessions");
        let check = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            check_origin(&uri, &headers, &configuration("")).is_ok()
        };
        assert!(check(None) && check(Some("https://iam.example.com")));
        assert!(!check(Some("https://evil.example")) && !check(Some("http://iam.example.com")));
    }
}
