//! Whether an address may send.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether a list of ranges that are denied and one of those that are allowed let an address pass. An empty
/// list of the latter allows all. Where the host does not know the address, only empty lists let it pass.
pub(crate) fn is_allowed(address: Option<IpAddr>, allowed: &[IpNet], denied: &[IpNet]) -> bool {
    let Some(address) = address else { return allowed.is_empty() && denied.is_empty() };
    let address = address.to_canonical();
    let is_in = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
    !is_in(denied) && (allowed.is_empty() || is_in(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_denial_goes_before_an_allowance() {
        let allowed = ranges(&["192.168.1.0/24", "2001:db8::/32"]);
        let denied = ranges(&["192.168.1.7/32", "2001:db8:1::/48"]);
        for (address, expected) in [
            ("192.168.1.1", true),
            ("::ffff:192.168.1.1", true),
            ("192.168.2.1", false),
            ("192.168.1.7", false),
            ("::ffff:192.168.1.7", false),
            ("::ffff:c0a8:0107", false),
            ("2001:db8::1", true),
            ("2001:db8:1::1", false),
            ("2001:db9::1", false),
            ("::192.168.1.1", false),
        ] {
            assert_eq!(is_allowed(address.parse().ok(), &allowed, &denied), expected, "{address}");
        }
        assert!(is_allowed("203.0.113.1".parse().ok(), &[], &denied));
        assert!(is_allowed(None, &[], &[]));
        assert!(!is_allowed(None, &allowed, &[]) && !is_allowed(None, &[], &denied));
    }
}
