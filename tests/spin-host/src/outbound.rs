//! `allowed_outbound_hosts`: where a component may connect to.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use http::Uri;
use ipnet::IpNet;

use crate::SpinHostError;
use crate::variables::Variables;

/// Requests to `<component>.spin.internal` go to that component.
const CHAINING_DOMAIN: &str = "spin.internal";

/// The hosts one component may connect to.
#[derive(Debug, Default)]
pub struct AllowedHosts(Vec<AllowedHost>);

#[derive(Debug, PartialEq)]
struct AllowedHost {
    scheme: Option<String>,
    host: Host,
    ports: Ports,
}

#[derive(Debug, PartialEq)]
enum Host {
    Any,
    /// Any host that ends with this, the leading dot included.
    Subdomain(String),
    Network(IpNet),
    Exactly(String),
}

#[derive(Debug, PartialEq)]
enum Ports {
    Any,
    Exactly(u16),
    Within(Range<u16>),
}

impl AllowedHosts {
    /// Reads the entries of a manifest, templates filled in.
    ///
    /// # Errors
    ///
    /// When an entry is malformed, or chains to a component that is not among `components`.
    pub fn parse(
        entries: &[String],
        variables: &Variables,
        components: &BTreeSet<&str>,
    ) -> Result<Self, SpinHostError> {
        let parse = |entry: &String| {
            let entry = variables.fill(entry)?;
            let allowed = AllowedHost::parse(&entry)
                .map_err(|problem| SpinHostError::Manifest(format!("outbound host {entry:?} {problem}")))?;
            match allowed.chained_component().filter(|id| !components.contains(id)) {
                None => Ok(allowed),
                Some(id) => {
                    Err(SpinHostError::Manifest(format!("outbound host {entry:?}: no component {id}")))
                }
            }
        };
        Ok(Self(entries.iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Whether an HTTP request may go to `uri`.
    pub fn allows_request(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host().filter(|host| !host.is_empty()))
        else {
            return false;
        };
        let host = host.to_ascii_lowercase();
        uri.port_u16()
            .or_else(|| well_known_port(scheme))
            .is_some_and(|port| self.allows(scheme, &host, port))
    }

    /// Whether a TCP connection may go to `address`. Names don't count here: the host sees addresses only.
    pub fn allows_tcp(&self, address: SocketAddr) -> bool {
        let host = match address.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        self.allows("tcp", &host, address.port())
    }

    fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.0.iter().any(|allowed| allowed.allows(scheme, host, port))
    }
}

impl AllowedHost {
    fn parse(entry: &str) -> Result<Self, String> {
        let (scheme, rest) = entry.trim().split_once("://").ok_or("has no scheme")?;
        let (host, rest) = rest.rsplit_once(':').unwrap_or((rest, ""));
        let (port, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() {
            return Err("has a path".to_owned());
        }
        if scheme != "*" && !scheme.chars().all(char::is_alphabetic) {
            return Err("has a malformed scheme".to_owned());
        }
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: Host::parse(host.trim())?,
            ports: Ports::parse(port, scheme)?,
        })
    }

    fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.scheme.as_deref().is_none_or(|allowed| allowed == scheme)
            && self.host.allows(host)
            && self.ports.allow(port)
    }

    fn chained_component(&self) -> Option<&str> {
        match &self.host {
            Host::Exactly(host) => chained_component(host),
            Host::Any | Host::Subdomain(_) | Host::Network(_) => None,
        }
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, String> {
        if host == "*" {
            return Ok(Self::Any);
        }
        if host == "self" || host == "self.alt" {
            return Err("is a self-request, which this host doesn't do: use service chaining".to_owned());
        }
        if let Ok(network) = host.parse() {
            return Ok(Self::Network(network));
        }
        let host = host.trim_end_matches('/');
        if host.contains(['/', '{', '}']) || host.is_empty() {
            return Err("has a malformed host".to_owned());
        }
        match host.strip_prefix("*.") {
            Some(domain) if !domain.contains('*') => Ok(Self::Subdomain(format!(".{domain}"))),
            None if !host.contains('*') => Ok(Self::Exactly(host.to_owned())),
            _ => Err("has a wildcard that is not a whole leading label".to_owned()),
        }
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Subdomain(suffix) => host.ends_with(suffix.as_str()),
            Self::Network(network) => host.parse::<IpAddr>().is_ok_and(|address| network.contains(&address)),
            Self::Exactly(allowed) => allowed == host,
        }
    }
}

impl Ports {
    fn parse(port: &str, scheme: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u16>().map_err(|_| format!("has a malformed port {text:?}"));
        if port.is_empty() {
            return well_known_port(scheme)
                .map(Self::Exactly)
                .ok_or_else(|| format!("needs a port: the scheme {scheme:?} has none of its own"));
        }
        if port == "*" {
            return Ok(Self::Any);
        }
        match port.split_once("..") {
            Some((start, end)) => Ok(Self::Within(number(start)?..number(end)?)),
            None => number(port).map(Self::Exactly),
        }
    }

    fn allow(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(allowed) => *allowed == port,
            Self::Within(range) => range.contains(&port),
        }
    }
}

/// The component that a request to `host` is for, when it is for one.
pub fn chained_component(host: &str) -> Option<&str> {
    host.split_once('.').filter(|(_, domain)| *domain == CHAINING_DOMAIN).map(|(component, _)| component)
}

fn well_known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn allowed(entries: &[&str]) -> Result<AllowedHosts, SpinHostError> {
        let manifest = Manifest::parse(
            "spin_manifest_version = 2\n[application]\nname = \"t\"\n[variables]\nport = { default = \"99\" \
             }\n[trigger]\n[component]\n",
        )?;
        let variables = Variables::resolve(&manifest, &Default::default(), |_| None)?;
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        AllowedHosts::parse(&entries, &variables, &BTreeSet::from(["gateway", "login"]))
    }

    fn allows(entry: &str, uri: &str) -> bool {
        allowed(&[entry]).unwrap().allows_request(&uri.parse().unwrap())
    }

    #[test]
    fn scheme_host_and_port_must_all_match() {
        assert!(allows("http://example.com", "http://example.com/a?b"));
        assert!(allows("http://example.com/", "http://EXAMPLE.com:80/"));
        assert!(!allows("http://example.com", "https://example.com/"));
        assert!(!allows("http://example.com", "http://example.com:8080/"));
        assert!(!allows("http://example.com", "http://example.org/"));
        assert!(!allows("http://example.com", "http://a.example.com/"));
    }

    #[test]
    fn wildcards() {
        assert!(allows("*://*:*", "https://example.com:8443/"));
        assert!(allows("https://*:*", "https://example.com/"));
        assert!(!allows("https://*:*", "http://example.com/"));
        assert!(allows("http://127.0.0.1:*", "http://127.0.0.1:1234/"));
        assert!(!allows("http://127.0.0.1:*", "http://localhost:1234/"));
        assert!(allows("http://*.example.com", "http://a.b.example.com/"));
        assert!(!allows("http://*.example.com", "http://example.com/"));
        assert!(!allows("http://*.example.com", "http://badexample.com/"));
        assert!(allows("http://localhost:4000..4002", "http://localhost:4001/"));
        assert!(!allows("http://localhost:4000..4002", "http://localhost:4002/"));
    }

    #[test]
    fn chaining_is_a_host_like_any_other() {
        assert!(allows("http://login.spin.internal", "http://login.spin.internal/x"));
        assert!(!allows("http://login.spin.internal", "http://gateway.spin.internal/x"));
        assert!(allows("http://*.spin.internal", "http://gateway.spin.internal/x"));
        assert!(allowed(&["http://nobody.spin.internal"]).is_err());
        assert_eq!(chained_component("login.spin.internal"), Some("login"));
        assert_eq!(chained_component("a.login.spin.internal"), None);
        assert_eq!(chained_component("spin.internal"), None);
    }

    #[test]
    fn templates_are_filled_in() {
        assert!(allows("http://localhost:{{ port }}", "http://localhost:99/"));
        assert!(allowed(&["http://localhost:{{ nobody }}"]).is_err());
    }

    #[test]
    fn a_tcp_connection_is_judged_by_its_address() {
        let tcp =
            |entry: &str, address: &str| allowed(&[entry]).unwrap().allows_tcp(address.parse().unwrap());
        assert!(tcp("tcp://127.0.0.1:389", "127.0.0.1:389"));
        assert!(tcp("*://127.0.0.0/24:389", "127.0.0.7:389"));
        assert!(tcp("tcp://[::1]:389", "[::1]:389"));
        assert!(!tcp("tcp://127.0.0.1:389", "127.0.0.1:636"));
        assert!(!tcp("tcp://localhost:389", "127.0.0.1:389"));
        assert!(!tcp("http://127.0.0.1:389", "127.0.0.1:389"));
        assert!(!AllowedHosts::default().allows_tcp("127.0.0.1:1".parse().unwrap()));
    }

    #[test]
    fn malformed_entries_are_refused() {
        for entry in [
            "example.com",
            "localhost:80",
            "tcp://127.0.0.1",
            "http://example.com/path",
            "http://a.*.com",
            "http://a:b",
            "h2://x:1",
            "http://",
            "http://self",
        ] {
            assert!(allowed(&[entry]).is_err(), "{entry}");
        }
    }
}
