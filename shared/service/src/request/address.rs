//! Where a request came from: what the host saw, unless that is a proxy that the configuration trusts to say
//! better.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// How many proxies in a row are believed at most.
const MAX_HOPS: usize = 16;

/// The address of the client. Each proxy appends to `X-Forwarded-For` whom it saw, so the header is read from
/// its end, as far as each address in turn is a trusted proxy's; what lies beyond anybody may have made up.
pub(crate) fn client_address(
    seen_by_host: Option<IpAddr>,
    headers: &HeaderMap,
    trusted_proxies: &[IpNet],
) -> Option<IpAddr> {
    let mut address = seen_by_host?.to_canonical();
    if trusted_proxies.is_empty() {
        return Some(address);
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let entries = lines.flat_map(|line| line.to_str().unwrap_or("not an address").rsplit(','));
    for entry in entries.take(MAX_HOPS) {
        if !trusted_proxies.iter().any(|range| range.contains(&address)) {
            break;
        }
        let Some(before) = parse(entry.trim()) else { break };
        address = before;
    }
    Some(address)
}

/// Some proxies write a port, too: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
fn parse(entry: &str) -> Option<IpAddr> {
    let address = match entry.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None if entry.bytes().filter(|byte| *byte == b':').count() == 1 => entry.split(':').next()?,
        None => entry,
    };
    address.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn found(seen: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|range| range.parse().unwrap()).collect();
        client_address(Some(seen.parse().unwrap()), &headers, &trusted).unwrap().to_string()
    }

    const PROXIES: [&str; 2] = ["10.0.0.0/8", "2001:db8:f::/48"];

    #[test]
    fn a_trusted_proxy_is_believed() {
        assert_eq!(found("10.0.0.1", &["192.0.2.1"], &PROXIES), "192.0.2.1");
        assert_eq!(found("10.0.0.1", &["192.0.2.1, 10.0.0.2"], &PROXIES), "192.0.2.1");
        assert_eq!(found("10.0.0.1", &["192.0.2.1", "10.0.0.2"], &PROXIES), "192.0.2.1");
        assert_eq!(found("::ffff:10.0.0.1", &["192.0.2.1:4711"], &PROXIES), "192.0.2.1");
        assert_eq!(found("2001:db8:f::1", &["[2001:db8::9]:80"], &PROXIES), "2001:db8::9");
        assert_eq!(found("2001:db8:f::1", &["[2001:db8::9]"], &PROXIES), "2001:db8::9");
    }

    #[test]
    fn what_lies_beyond_is_not() {
        assert_eq!(found("10.0.0.1", &["1.1.1.1, 192.0.2.1, 10.0.0.2"], &PROXIES), "192.0.2.1");
        assert_eq!(found("192.0.2.9", &["10.0.0.1"], &PROXIES), "192.0.2.9");
        assert_eq!(found("192.0.2.9", &["1.1.1.1"], &[]), "192.0.2.9");
    }

    #[test]
    fn what_is_malformed_ends_the_walk() {
        assert_eq!(found("10.0.0.1", &[], &PROXIES), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &[""], &PROXIES), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &["192.0.2.1, unknown"], &PROXIES), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &["192.0.2.1, _hidden, 10.0.0.2"], &PROXIES), "10.0.0.2");
        let endless = ["10.0.0.3"; 100].join(",");
        assert_eq!(found("10.0.0.1", &["192.0.2.1", &endless], &PROXIES), "10.0.0.3");
    }

    proptest! {
        /// Whatever anybody else sends, the host's word stands.
        #[test]
        fn a_stranger_changes_nothing(
            lines in proptest::collection::vec("[ -~]{0,60}", 0..4),
            last: [u8; 3],
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let [a, b, c] = last;
            let seen = format!("192.{a}.{b}.{c}");
            prop_assert_eq!(found(&seen, &lines, &PROXIES), seen);
        }

        /// What a client puts before the address that the proxy saw changes nothing either.
        #[test]
        fn a_client_behind_a_proxy_changes_nothing(
            claimed in "[ -~]{0,60}",
            last: [u8; 3],
            proxies in proptest::collection::vec(any::<[u8; 3]>(), 0..8),
        ) {
            let [a, b, c] = last;
            let client = format!("192.{a}.{b}.{c}");
            let mut line = format!("{claimed}, {client}");
            for [a, b, c] in proxies {
                line.push_str(&format!(", 10.{a}.{b}.{c}"));
            }
            prop_assert_eq!(found("10.9.9.9", &[&line], &PROXIES), client);
        }
    }
}
