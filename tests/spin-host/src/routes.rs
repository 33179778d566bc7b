//! Which component answers a path, and what Spin tells it about the match.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::SpinHostError;
use crate::manifest::{HttpTrigger, Route};

/// Spin answers these paths itself.
pub(crate) const RESERVED_PREFIX: &str = "/.well-known/spin/";

/// The public routes of an application.
#[derive(Debug)]
pub struct Router(routefinder::Router<PublicRoute>);

#[derive(Debug)]
struct PublicRoute {
    component: String,
    written: String,
}

/// A path's component and the parts of the path that its route captured.
#[derive(Debug, PartialEq)]
pub struct RouteMatch {
    /// The component that answers.
    pub component: String,
    route: String,
    path_info: String,
    captures: Vec<(String, String)>,
}

impl Router {
    /// Builds the router from the manifest's triggers.
    ///
    /// # Errors
    ///
    /// When a route is malformed, reserved by Spin, or written twice: Spin would never call one of the two.
    pub fn new(triggers: &[HttpTrigger]) -> Result<Self, SpinHostError> {
        let mut router = routefinder::Router::new();
        let mut seen = BTreeSet::new();
        for trigger in triggers {
            let Route::Pattern(written) = &trigger.route else { continue };
            let based = format!("/{}", written.trim_start_matches('/'));
            let based = based.strip_suffix('/').unwrap_or(&based);
            if based.starts_with(RESERVED_PREFIX.trim_end_matches('/')) {
                return Err(SpinHostError::Manifest(format!("route {written} is reserved")));
            }
            if !seen.insert(based.to_owned()) {
                return Err(SpinHostError::Manifest(format!("route {written} is written twice")));
            }
            let pattern =
                based.strip_suffix("/...").map_or_else(|| based.to_owned(), |prefix| format!("{prefix}/*"));
            let route = PublicRoute { component: trigger.component.clone(), written: written.clone() };
            router
                .add(pattern.as_str(), route)
                .map_err(|problem| SpinHostError::Manifest(format!("route {written}: {problem}")))?;
        }
        Ok(Self(router))
    }

    /// The most specific route for `path`.
    pub fn find(&self, path: &str) -> Option<RouteMatch> {
        let found = self.0.best_match(path)?;
        let captures = found.captures();
        let path_info = captures.wildcard().map_or_else(String::new, |rest| {
            // The library drops a trailing slash that Spin reports.
            match (rest.is_empty(), path.ends_with('/')) {
                (true, false) => String::new(),
                (true, true) => "/".to_owned(),
                (false, false) => format!("/{rest}"),
                (false, true) => format!("/{rest}/"),
            }
        });
        Some(RouteMatch {
            component: found.handler().component.clone(),
            route: found.handler().written.clone(),
            path_info,
            captures: captures.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }
}

impl RouteMatch {
    /// The match of a request from one component to another: all of its path is path info.
    pub fn chained(component: &str, path: &str) -> Self {
        Self {
            component: component.to_owned(),
            route: "/...".to_owned(),
            path_info: path.to_owned(),
            captures: Vec::new(),
        }
    }

    /// Adds the headers that Spin adds, *after* the values a caller may have sent under the same names.
    pub fn append_headers(&self, headers: &mut HeaderMap, uri: &Uri, client: SocketAddr) {
        let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
        let full_url = format!("{}://{host}{path_and_query}", uri.scheme_str().unwrap_or("http"));
        let matched = self.route.strip_suffix('/').unwrap_or(&self.route);
        let prefix = self.route.strip_suffix("/...").unwrap_or(&self.route);
        let fixed = [
            ("spin-path-info", self.path_info.clone()),
            ("spin-full-url", full_url),
            ("spin-matched-route", matched.to_owned()),
            ("spin-base-path", "/".to_owned()),
            ("spin-raw-component-route", self.route.clone()),
            ("spin-component-route", prefix.to_owned()),
            ("spin-client-addr", client.to_string()),
        ];
        let named = self.captures.iter().map(|(name, value)| {
            let name = name.to_ascii_lowercase().replace('_', "-");
            (format!("spin-path-match-{name}"), value.clone())
        });
        for (name, value) in fixed.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(named) {
            // As in Spin, what no header can carry is left out.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn router(routes: &[(&str, &str)]) -> Result<Router, SpinHostError> {
        let mut text = "spin_manifest_version = 2\n[application]\nname = \"t\"\n".to_owned();
        for (route, component) in routes {
            text += &format!("[[trigger.http]]\nroute = {route}\ncomponent = \"{component}\"\n");
        }
        for component in routes.iter().map(|(_, component)| component).collect::<BTreeSet<_>>() {
            text += &format!("[component.{component}]\nsource = \"x.wasm\"\n");
        }
        Router::new(&Manifest::parse(&text)?.trigger.http)
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let routes = [
            ("\"/...\"", "rest"),
            ("\"/users/...\"", "users"),
            ("\"/users/me\"", "me"),
            ("\"/users/:id\"", "user"),
            ("\"/users/:id/keys/...\"", "keys"),
        ];
        let reversed: Vec<_> = routes.iter().rev().copied().collect();
        for routes in [&routes[..], &reversed] {
            let router = router(routes).unwrap();
            for (path, component) in [
                ("/", "rest"),
                ("/other/x", "rest"),
                ("/users/me", "me"),
                ("/users/7", "user"),
                ("/users/7/x", "users"),
                ("/users/7/keys/1", "keys"),
                ("/users", "users"),
            ] {
                assert_eq!(router.find(path).unwrap().component, component, "{path}");
            }
        }
    }

    #[test]
    fn an_exact_route_is_exact_and_a_private_one_is_none() {
        let router = router(&[("\"/login\"", "login"), ("{ private = true }", "inner")]).unwrap();
        assert_eq!(router.find("/login").unwrap().component, "login");
        for path in ["/", "/login/x", "/logi", "/inner"] {
            assert_eq!(router.find(path), None, "{path}");
        }
    }

    #[test]
    fn reserved_and_double_routes_are_refused() {
        assert!(router(&[("\"/.well-known/spin/health\"", "a")]).is_err());
        assert!(router(&[("\"/.well-known/spin/...\"", "a")]).is_err());
        assert!(router(&[("\"/a\"", "a"), ("\"/a/\"", "b")]).is_err());
        assert!(router(&[("\"/.well-known/jwks.json\"", "a")]).is_ok());
    }

    fn headers_of(route: &str, path: &str) -> HeaderMap {
        let uri: Uri = format!("http://example.test{path}").parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("example.test"));
        headers.insert("spin-client-addr", HeaderValue::from_static("6.6.6.6:6"));
        let found = router(&[(route, "a")]).unwrap().find(uri.path()).unwrap();
        found.append_headers(&mut headers, &uri, "127.0.0.1:9".parse().unwrap());
        headers
    }

    #[test]
    fn spins_headers_come_after_the_clients() {
        let headers = headers_of("\"/users/:id/...\"", "/users/7/keys/?x=1");
        let all: Vec<_> = headers.get_all("spin-client-addr").iter().collect();
        assert_eq!(all, ["6.6.6.6:6", "127.0.0.1:9"]);
        assert_eq!(headers["spin-full-url"], "http://example.test/users/7/keys/?x=1");
        assert_eq!(headers["spin-path-info"], "/keys/");
        assert_eq!(headers["spin-matched-route"], "/users/:id/...");
        assert_eq!(headers["spin-raw-component-route"], "/users/:id/...");
        assert_eq!(headers["spin-component-route"], "/users/:id");
        assert_eq!(headers["spin-base-path"], "/");
        assert_eq!(headers["spin-path-match-id"], "7");
    }

    #[test]
    fn path_info_is_what_the_wildcard_took() {
        for (route, path, info) in [
            ("\"/a/...\"", "/a", ""),
            ("\"/a/...\"", "/a/", "/"),
            ("\"/a/...\"", "/a/b", "/b"),
            ("\"/a/b\"", "/a/b", ""),
        ] {
            assert_eq!(headers_of(route, path)["spin-path-info"], info, "{route} {path}");
        }
    }
}
