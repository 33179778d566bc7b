//! Addresses that users name, and that we call: checked before they are kept and again before each call.
//!
//! A host's `fetch` reads an address as browsers do (the WHATWG URL standard), which takes more for an
//! address of this machine than one would think: `https://0x7f.1/`, `https://2130706433/`. So nothing is
//! taken but plain names and plain addresses. What a name resolves to is not seen here: Workers reach no
//! private network, and on Spin `allowed_outbound_hosts` and the runtime configuration's `block_networks`
//! bound it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use iam_core::config::OutboundConfiguration;
use ipnet::{Ipv4Net, Ipv6Net};

/// The longest address, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// Names that mean this machine, this network, or nothing on the internet.
const INNER_NAMES: [&str; 9] =
    ["localhost", "local", "localdomain", "internal", "lan", "home", "corp", "home.arpa", "intranet"];

/// Of no host on the internet (the IANA IPv4 Special-Purpose Address Registry, and multicast).
const INNER_V4: [([u8; 4], u8); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Where hosts on the internet are (RFC 4291 section 2.4), less what follows.
const OUTER_V6: ([u16; 2], u8) = ([0x2000, 0], 3);

/// Protocol assignments with Teredo, documentation, 6to4.
const INNER_V6: [([u16; 2], u8); 4] =
    [([0x2001, 0], 23), ([0x2001, 0x0db8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

/// Whether an address that a user named may be called.
///
/// # Errors
/// What is allowed.
pub fn check_url(text: &str, configuration: &OutboundConfiguration) -> Result<Uri, String> {
    const FORM: &str = "an https:// address without user, password and fragment, of at most 2048 bytes";
    let plain = |byte: u8| byte.is_ascii_graphic() && !br##"\#<>"{}|^`"##.contains(&byte);
    if text.len() > MAX_URL_BYTES || !text.bytes().all(plain) {
        return Err(FORM.to_owned());
    }
    let is_plain_http = text.starts_with("http://");
    if !text.starts_with("https://") && (!is_plain_http || !configuration.allow_http) {
        return Err(FORM.to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| FORM.to_owned())?;
    let authority = uri.authority().ok_or(FORM)?;
    // What follows the host must be a port: http::Uri takes `host:` and `host:99999` as having none.
    let has_port = |rest: &str| match rest.strip_prefix(':') {
        None => rest.is_empty(),
        Some(port) => {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        }
    };
    // A user and password stand before the host, so the authority does not begin with it.
    if !authority.as_str().strip_prefix(authority.host()).is_some_and(has_port)
        || authority.as_str().contains('@')
    {
        return Err(FORM.to_owned());
    }
    check_host(authority.host(), configuration.allow_private_addresses)?;
    Ok(uri)
}

fn check_host(host: &str, allow_private: bool) -> Result<(), String> {
    const INNER: &str = "not an address of a private network or of this machine";
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|text| text.parse::<Ipv6Addr>().ok());
        let address = address.ok_or("an IPv6 address without a zone between the brackets")?;
        return refuse(is_inner(IpAddr::V6(address)) && !allow_private, INNER);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(known);
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err("a host of letters, digits and `-` between dots".to_owned());
    }
    // What ends in a number is an address to whoever reads it as browsers do, in whatever base.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number {
        let address: Ipv4Addr =
            name.parse().map_err(|_| "an IPv4 address of four decimal numbers".to_owned())?;
        return refuse(is_inner(IpAddr::V4(address)) && !allow_private, INNER);
    }
    // Spin's own name for its components: theirs is the internal call alone.
    refuse(name == "spin.internal" || name.ends_with(".spin.internal"), INNER)?;
    let is_inner_name = INNER_NAMES.iter().any(|inner| {
        name.strip_suffix(inner).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    refuse((is_inner_name || !name.contains('.')) && !allow_private, INNER)
}

fn refuse(is_refused: bool, allowed: &str) -> Result<(), String> {
    if is_refused { Err(allowed.to_owned()) } else { Ok(()) }
}

/// Whether no host on the internet has this address.
fn is_inner(address: IpAddr) -> bool {
    let v6 = |([first, second], length): ([u16; 2], u8)| {
        Ipv6Net::new(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), length)
    };
    match address.to_canonical() {
        IpAddr::V4(address) => INNER_V4.iter().any(|(network, length)| {
            Ipv4Net::new(Ipv4Addr::from(*network), *length).is_ok_and(|network| network.contains(&address))
        }),
        IpAddr::V6(address) => {
            let is_in = |network| v6(network).is_ok_and(|network| network.contains(&address));
            !is_in(OUTER_V6) || INNER_V6.into_iter().any(is_in)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(url: &str, allow_http: bool, allow_private_addresses: bool) -> bool {
        check_url(url, &OutboundConfiguration { allow_http, allow_private_addresses }).is_ok()
    }

    #[test]
    fn hosts_on_the_internet_are_taken() {
        for url in [
            "https://example.com",
            "https://hooks.example.com:8443/a/b?c=d%20e",
            "https://EXAMPLE.com./x",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]:443/",
            "https://xn--bcher-kva.example/",
            "https://localhost.example.com/",
            "https://10.example.com/",
        ] {
            assert!(is_taken(url, false, false), "{url}");
        }
    }

    #[test]
    fn what_is_no_plain_address_is_never_taken() {
        for url in [
            "",
            "https://",
            "https:///x",
            "https:example.com",
            "//example.com/",
            "ftp://example.com/",
            "HTTPS://example.com/",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://user@example.com/",
            "https://user:password@example.com/",
            "https://example.com@127.0.0.1/",
            "https://example.com#@127.0.0.1/",
            "https://example.com\\@127.0.0.1/",
            "https://example.com/#fragment",
            "https://example.com/ ",
            " https://example.com/",
            "https://exam\tple.com/",
            "https://example.com/\r\nx: y",
            "https://ex%61mple.com/",
            "https://\u{ff11}27.0.0.1/",
            "https://\u{2460}27.0.0.1/",
            "https://example\u{3002}com/",
            "https://example.com:/",
            "https://example.com:0/",
            "https://example.com:99999/",
            "https://example.com:x/",
            "https://example..com/",
            "https://.example.com/",
            "https://example.com../",
            "https://./",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://017700000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://127.0.1/",
            "https://1.2.3.4.5/",
            "https://256.1.1.1/",
            "https://8.8.8.08/",
            "https://8.8.8.0x8/",
            "https://example.1/",
            "https://example.0x/",
            "https://[::1/",
            "https://[fe80::1%25eth0]/",
            "https://[fe80::1%eth0]/",
            "https://[]/",
            "https://[1.2.3.4]/",
            "https://login.spin.internal/",
        ] {
            assert!(!is_taken(url, true, true), "{url:?}");
        }
        assert!(!is_taken(&format!("https://example.com/{}", "a".repeat(2048)), true, true));
    }

    #[test]
    fn private_addresses_are_taken_where_allowed_alone() {
        for url in [
            "https://127.0.0.1/",
            "https://127.0.0.1./",
            "https://127.255.255.254:8443/",
            "https://0.0.0.0/",
            "https://10.0.0.1/",
            "https://172.16.0.1/",
            "https://172.31.255.255/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://192.0.0.192/",
            "https://198.18.0.1/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://203.0.113.9/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[::127.0.0.1]/",
            "https://[fe80::1]/",
            "https://[fec0::1]/",
            "https://[fc00::1]/",
            "https://[fd00:ec2::254]/",
            "https://[ff02::1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[2001::1]/",
            "https://[2001:db8::1]/",
            "https://[100::1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://printer.local/",
            "https://metadata.google.internal/",
            "https://metadata/",
            "https://router.lan/",
            "https://x.home.arpa/",
        ] {
            assert!(!is_taken(url, false, false), "{url}");
            assert!(is_taken(url, false, true), "{url}");
        }
        assert!(!is_taken("http://example.com/", false, true));
        assert!(is_taken("http://example.com/", true, false));
        assert!(is_taken("http://127.0.0.1:8080/x", true, true));
    }

    proptest::proptest! {
        #[test]
        fn foreign_text_never_panics(text in ".{0,80}") {
            let _ = is_taken(&format!("https://{text}"), true, true);
        }
    }
}
