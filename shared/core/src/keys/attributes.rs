//! What people set on a key: the addresses it may be used from, and notes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

/// How many address ranges a key has at most.
pub const MAX_ADDRESS_RANGES: usize = 32;

/// How many notes a key has at most.
pub const MAX_METADATA: usize = 16;

/// The longest name of a note, in bytes.
pub const MAX_METADATA_NAME: usize = 64;

/// The longest note, in characters.
pub const MAX_METADATA_VALUE: usize = 256;

/// Notes about a key: names to texts.
pub type KeyMetadata = BTreeMap<String, String>;

/// Reads an address range as it is stored and compared: a single address is a range of one, host bits are
/// cleared, and an IPv4 range written as IPv6 (`::ffff:192.0.2.0/120`) is IPv4. `None` where it is no range.
#[must_use]
pub fn address_range(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let range = match text.parse::<IpNet>() {
        Ok(range) => range.trunc(),
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let IpNet::V6(v6) = range else { return Some(range) };
    match (v6.network().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(network), Some(length)) => Some(Ipv4Net::new(network, length).ok()?.into()),
        // `::ffff:0:0/95` and wider contain all of IPv4, but addresses are compared as what they are.
        _ if v6.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()) => None,
        _ => Some(range),
    }
}

/// Why notes are refused: which, and what is allowed. `None` where they are fine.
#[must_use]
pub fn metadata_problem(metadata: &KeyMetadata) -> Option<(String, String)> {
    if metadata.len() > MAX_METADATA {
        return Some(("/metadata".to_owned(), format!("at most {MAX_METADATA} notes")));
    }
    let is_name = |name: &str| {
        (1..=MAX_METADATA_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    metadata.iter().find_map(|(name, value)| {
        if !is_name(name) {
            let allowed = format!("names of 1 to {MAX_METADATA_NAME} letters, digits, `.`, `_` and `-`");
            Some(("/metadata".to_owned(), allowed))
        } else if value.chars().count() > MAX_METADATA_VALUE || value.chars().any(char::is_control) {
            let allowed = format!("at most {MAX_METADATA_VALUE} characters, no control characters");
            Some((format!("/metadata/{name}"), allowed))
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_are_compared() {
        for (text, stored) in [
            ("192.0.2.7", "192.0.2.7/32"),
            (" 192.0.2.7/24 ", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::1", "2001:db8::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(address_range(text).unwrap().to_string(), stored, "{text}");
        }
        for text in [
            "",
            "x",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "::/129",
            "::/0",
            "::ffff:0:0/95",
            "1.2.3.4/",
            "/8",
        ] {
            assert_eq!(address_range(text), None, "{text}");
        }
    }

    #[test]
    fn notes_are_bounded() {
        let one = |name: &str, value: &str| KeyMetadata::from([(name.to_owned(), value.to_owned())]);
        assert_eq!(metadata_problem(&one("team.name_1-a", "Bücher & Söhne")), None);
        assert_eq!(metadata_problem(&KeyMetadata::new()), None);
        let long = "x".repeat(MAX_METADATA_VALUE + 1);
        for refused in
            [one("", "x"), one("a b", "x"), one("ä", "x"), one(&long, "x"), one("x", &long), one("x", "a\nb")]
        {
            assert!(metadata_problem(&refused).is_some(), "{refused:?}");
        }
        let many = (0..=MAX_METADATA).map(|number| (format!("n{number}"), String::new())).collect();
        assert!(metadata_problem(&many).is_some());
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_read_again(text in "[0-9a-f:./]{0,40}") {
            if let Some(range) = address_range(&text) {
                proptest::prop_assert_eq!(address_range(&range.to_string()), Some(range));
            }
        }
    }
}
