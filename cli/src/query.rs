//! Paths and queries of requests.

/// A query parameter's value or a path's segment (RFC 3986 section 2.1).
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A path with the parameters that are given.
pub(crate) fn with_query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let given: Vec<_> = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded((*value)?))))
        .collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_encoded() {
        assert_eq!(with_query("/a", &[("b", None)]), "/a");
        assert_eq!(
            with_query("/a", &[("b", Some("1 &ü")), ("c", None), ("d", Some("x"))]),
            "/a?b=1%20%26%C3%BC&d=x"
        );
    }
}
