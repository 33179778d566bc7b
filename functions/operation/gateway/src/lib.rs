//! One address in front of every function. On Workers every request comes through here; on Spin the trigger
//! routes by path alone, so only the paths that two functions share (by method) come, and those that nobody
//! has.
//!
//! It looks at method and path and passes the request on, unread: no state, no database, no secret. Access is
//! the functions' own business.

mod routes;

use axum::body::Body;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use iam_edge::Host;
use iam_service::Function;

use routes::ROUTES;

iam_edge::serve!(handle);

/// What this function is. Its routes are those of all the others.
#[must_use]
pub fn function() -> Function {
    Function::new("gateway", "One address in front of every function")
        .always_open()
        .calls_only(&[])
        .uses_no_secrets()
}

/// A route of some function.
struct Route {
    method: &'static str,
    path: &'static str,
    function: &'static str,
}

/// Where a request leads.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    Function(&'static str),
    MethodNotAllowed(Vec<&'static str>),
    Nowhere,
}

/// Passes a request on to the function that declares its route.
pub async fn handle(host: Host, request: Request<Body>) -> Response<Body> {
    let is_scim = request.uri().path().starts_with("/api/scim/");
    let problem: fn(StatusCode, &str, &str) -> Response<Body> = if is_scim { scim_problem } else { problem };
    match destination(request.method(), request.uri().path()) {
        Destination::Function(function) => match host.forward(function, request).await {
            Ok(response) => response,
            Err(error) => {
                let line = serde_json::json!({
                    "severity": "ERROR", "message": "function unreachable",
                    "function": function, "error.cause": error.to_string(),
                });
                host.log(&line.to_string());
                problem(StatusCode::BAD_GATEWAY, "function_unreachable", "the function did not answer")
            }
        },
        Destination::MethodNotAllowed(methods) => {
            let detail = "this resource does not take that method";
            let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
            if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
                response.headers_mut().insert(ALLOW, allow);
            }
            response
        }
        Destination::Nowhere => problem(StatusCode::NOT_FOUND, "not_found", "there is no such resource"),
    }
}

/// A HEAD goes where a GET goes, and a browser's preflight to any function of the path. A literal segment
/// goes before a parameter.
fn destination(method: &Method, path: &str) -> Destination {
    let mut best: Option<(&Route, usize)> = None;
    let mut methods = Vec::new();
    for route in ROUTES {
        let Some(literals) = matched_literals(route.path, path) else { continue };
        let fits = match *method {
            Method::OPTIONS => true,
            Method::HEAD => route.method == "GET",
            _ => route.method == method.as_str(),
        };
        if !fits {
            methods.push(route.method);
        } else if best.is_none_or(|(_, most)| literals > most) {
            best = Some((route, literals));
        }
    }
    match best {
        Some((route, _)) => Destination::Function(route.function),
        None if methods.is_empty() => Destination::Nowhere,
        None => {
            methods.sort_unstable();
            methods.dedup();
            Destination::MethodNotAllowed(methods)
        }
    }
}

/// How many segments of a path are literally those of a pattern such as `/keys/{key_id}` or `/scim/{*rest}`;
/// `None` where it does not match.
fn matched_literals(pattern: &str, path: &str) -> Option<usize> {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    let mut literals = 0;
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(literals),
            (Some(wanted), Some(_)) if wanted.starts_with("{*") => return Some(literals),
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            (Some(wanted), Some(given)) if wanted == given => literals += 1,
            _ => return None,
        }
    }
}

/// SCIM's clients read no other errors (RFC 7644 section 3.12).
fn scim_problem(status: StatusCode, _: &str, detail: &str) -> Response<Body> {
    let body = serde_json::json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.as_u16().to_string(),
        "detail": detail,
    });
    answer(status, "application/scim+json", &body)
}

/// The gateway knows no request ids: only what leads nowhere ends here.
fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Body> {
    let body = serde_json::json!({
        "type": format!("urn:edge-iam:problem:{code}"),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    });
    answer(status, "application/problem+json", &body)
}

fn answer(status: StatusCode, media_type: &'static str, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_decides_between_functions_of_one_path() {
        assert_eq!(destination(&Method::POST, "/api/v1/auth/keys"), Destination::Function("key-create"));
        assert_eq!(destination(&Method::GET, "/api/v1/auth/keys"), Destination::Function("key-list"));
        assert_eq!(destination(&Method::HEAD, "/api/v1/auth/keys"), Destination::Function("key-list"));
        assert_eq!(
            destination(&Method::PUT, "/api/v1/auth/keys"),
            Destination::MethodNotAllowed(vec!["GET", "POST"])
        );
    }

    #[test]
    fn a_literal_goes_before_a_parameter() {
        assert_eq!(
            destination(&Method::POST, "/api/v1/auth/keys/verify"),
            Destination::Function("key-verify")
        );
        let path = "/api/v1/auth/keys/key_1/rotate";
        assert_eq!(destination(&Method::POST, path), Destination::Function("key-rotate"));
    }

    #[test]
    fn what_nobody_has_leads_nowhere() {
        for path in
            ["/", "", "/api", "/api/v1/auth/keys/", "/internal/telemetry", "//health", "/health/../ready"]
        {
            assert_eq!(destination(&Method::GET, path), Destination::Nowhere, "{path}");
        }
    }
}
