//! The application's components, ready to answer.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ProxyHandler;

use crate::instance::InstanceFactory;
use crate::outbound::chained_component;
use crate::routes::{RESERVED_PREFIX, RouteMatch, Router};
use crate::stdio::report;

/// What Spin gives as the client of a request from one component to another.
const CHAINED_CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A request that can't be handed to any component: its connection ends without an answer.
#[derive(Debug)]
pub(crate) struct NoAuthority;

impl std::fmt::Display for NoAuthority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("request has no usable host, or two that differ")
    }
}

impl std::error::Error for NoAuthority {}

/// Every component that a trigger names, and the public routes to them.
pub(crate) struct Services {
    router: Router,
    handlers: BTreeMap<String, ProxyHandler<InstanceFactory>>,
}

impl Services {
    pub(crate) fn new(router: Router, handlers: BTreeMap<String, ProxyHandler<InstanceFactory>>) -> Self {
        Self { router, handlers }
    }

    /// Answers a request from outside.
    pub(crate) async fn call(
        &self,
        mut request: Request<WasiBody>,
        client: SocketAddr,
    ) -> Result<Response<WasiBody>, NoAuthority> {
        let chained = |host: &str| chained_component(host.split(':').next().unwrap_or(host)).is_some();
        if request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(chained) {
            request.headers_mut().remove(header::HOST);
        }
        let path = request.uri().path();
        if let Some(reserved) = path.strip_prefix(RESERVED_PREFIX) {
            return Ok(if reserved == "health" {
                Response::new(full(Bytes::from_static(b"OK")))
            } else {
                empty(StatusCode::NOT_FOUND)
            });
        }
        match self.router.find(path) {
            None => Ok(empty(StatusCode::NOT_FOUND)),
            Some(found) => self.call_matched(&found, request, client).await,
        }
    }

    /// Answers a request of another component; `None` when no trigger names `target`.
    pub(crate) async fn call_chained(
        &self,
        target: &str,
        mut request: Request<WasiBody>,
    ) -> Option<Response<WasiBody>> {
        request.headers_mut().remove(header::HOST);
        let found = RouteMatch::chained(target, request.uri().path());
        self.handlers.contains_key(target).then_some(())?;
        self.call_matched(&found, request, CHAINED_CLIENT).await.ok()
    }

    async fn call_matched(
        &self,
        found: &RouteMatch,
        mut request: Request<WasiBody>,
        client: SocketAddr,
    ) -> Result<Response<WasiBody>, NoAuthority> {
        *request.uri_mut() = absolute_uri(&request)?;
        if request.headers().values().any(|value| std::str::from_utf8(value.as_bytes()).is_err()) {
            report(&found.component, "a request header is not UTF-8");
            return Ok(empty(StatusCode::INTERNAL_SERVER_ERROR));
        }
        let uri = request.uri().clone();
        found.append_headers(request.headers_mut(), &uri, client);
        let Some(handler) = self.handlers.get(&found.component) else {
            return Ok(empty(StatusCode::NOT_FOUND));
        };
        Ok(handler.handle((), request).await.unwrap_or_else(|error| {
            report(&found.component, format_args!("request failed: {error:#}"));
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }))
    }
}

/// The request's own URI with the scheme and the authority that a server's request line leaves out.
fn absolute_uri(request: &Request<WasiBody>) -> Result<Uri, NoAuthority> {
    let stated = match request.headers().get(header::HOST) {
        Some(host) => Some(Authority::try_from(host.as_bytes()).map_err(|_| NoAuthority)?),
        None => None,
    };
    let mut parts = request.uri().clone().into_parts();
    let authority = match (stated, parts.authority.take()) {
        (Some(stated), Some(written)) if stated != written => return Err(NoAuthority),
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err(NoAuthority),
    };
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map_err(|_| NoAuthority)
}

fn full(bytes: Bytes) -> WasiBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn empty(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}
