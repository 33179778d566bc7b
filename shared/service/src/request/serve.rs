//! The way of every request through a function: identity and trace, limits, browsers' rules, the route with
//! its access check and handler, errors made into answers, security headers, one log line, telemetry.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::{Body, HttpBody as _};
use axum::response::IntoResponse as _;
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use iam_core::id::RequestId;
use iam_edge::{Host, HostKind};
use iam_telemetry::{Answered, Attribute, RequestTrace};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::context::{Context, short_user_agent};
use crate::function::{Declaration, Function};
use crate::instance::{Instance, lock};
use crate::request::address::client_address;
use crate::request::cors;
use crate::request::error::{ApiError, ErrorStyle};

/// The largest request body, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// How much of a body that is too large is read before its sender is cut off, in bytes.
const MAX_DRAINED_BYTES: usize = 8 << 20;

/// The longest path and query, in bytes.
pub const MAX_URI_BYTES: usize = 8192;

/// The longest names and values of all headers together, in bytes.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// The longest `X-Request-Id` that is taken over.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// How long telemetry waits in an isolate for company before it is handed over.
const HAND_OVER_DELAY_MS: u32 = 2_000;

/// How much randomness for ids is drawn at once.
const ENTROPY_POOL_BYTES: usize = 1024;

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A function as an instance runs it.
pub struct Service {
    function: Function,
    instance: OnceLock<Arc<Instance>>,
    hand_over_waits: Arc<AtomicBool>,
}

/// In an answer's extensions: worth a log line, though its route is routine.
#[derive(Clone, Copy, Debug)]
pub struct Notable;

/// How many round trips to the database an answer waited for, and how many its route allows: in the
/// extensions of answers on the native host, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    /// What it took.
    pub used: u32,
    /// What the route declares.
    pub budget: u32,
}

impl Service {
    /// A function that has not served yet.
    #[must_use]
    pub fn new(mut function: Function) -> Self {
        // The second one is for the routes that are there by now.
        function.router = function
            .router
            .fallback(|| async { ApiError::not_found("there is no such resource") })
            .method_not_allowed_fallback(|| async {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                ApiError::new(status, "method_not_allowed", "this resource does not take that method")
            });
        Self { function, instance: OnceLock::new(), hand_over_waits: Arc::default() }
    }

    /// Answers a request.
    pub async fn handle(&self, host: Host, request: Request<Body>) -> Response<Body> {
        match self.instance(&host).await {
            Ok(instance) => self.answer(host, instance, request).await,
            Err(problem) => misconfigured(&problem),
        }
    }

    /// Runs the jobs of a cron expression that fired.
    pub async fn scheduled(&self, host: Host, cron: &str) {
        let instance = match self.instance(&host).await {
            Ok(instance) => instance,
            Err(problem) => return log_misconfiguration(&problem),
        };
        let request_id = RequestId::new(iam_edge::now(), entropy());
        let context = context(host, instance, request_id.as_str(), &HeaderMap::new(), None);
        self.prepare(&context).await;
        for schedule in self.function.schedules.iter().filter(|schedule| schedule.cron == cron) {
            if let Err(error) = (schedule.run)(context.clone()).await {
                let cause = error.log_cause().unwrap_or(error.code());
                context.log_failure(&format!("job {} failed", schedule.job), cause);
            }
        }
        self.hand_over(&context);
    }

    /// What the instance keeps, made at its first request. A bad configuration is kept by no one: it is
    /// refused again at the next request, until it is mended.
    async fn instance(&self, host: &Host) -> Result<Arc<Instance>, String> {
        if let Some(instance) = self.instance.get() {
            return Ok(Arc::clone(instance));
        }
        let started = Arc::new(Instance::start(self.function.name, host).await?);
        Ok(Arc::clone(self.instance.get_or_init(|| started)))
    }

    async fn answer(&self, host: Host, instance: Arc<Instance>, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let traceparent = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace = RequestTrace::start(&instance.telemetry, traceparent, entropy());
        let request_id = request_id(&parts.headers);
        let outgoing = trace.traceparent().to_string();
        let context = context(host, instance, &request_id, &parts.headers, Some(outgoing.into()));
        let facts = Facts::of(&parts);
        let style = ErrorStyle::of_path(parts.uri.path());
        let origin = cors::allowed_origin(&parts.headers, context.configuration());
        let response = self.route(&context, parts, body).instrument(trace.span()).await;
        // Read before anything deferred can run: what the caller waited for, and no more.
        let round_trips = context.host.round_trips();
        let response = finish(response, &context, (origin, style), round_trips);
        facts.record(trace, &context, &response, round_trips);
        self.hand_over(&context);
        response
    }

    async fn route(&self, context: &Context, parts: Parts, body: Body) -> Response<Body> {
        if let Err(error) = check_sizes(&parts) {
            return error.into_response();
        }
        if cors::is_preflight(&parts) {
            return StatusCode::NO_CONTENT.into_response();
        }
        let body = match read_body(&parts.headers, body).await {
            Ok(body) => body,
            Err(error) => return error.into_response(),
        };
        self.prepare(context).await;
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(context.clone());
        match self.function.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Before a handler or a job: what it asks of the instance without waiting is there.
    async fn prepare(&self, context: &Context) {
        if self.function.uses.master_key {
            context.learn_master_keys().await;
        }
    }

    /// Hands gathered telemetry to `metrics-push` after the answer: at once where an instance may end with
    /// its request, every few seconds where it lives on.
    fn hand_over(&self, context: &Context) {
        let is_wanted = context.configuration().monitoring.otlp_endpoint.is_some();
        if !is_wanted || !self.function.uses.calls.contains(&"metrics-push") {
            return;
        }
        let deferred = context.clone();
        if context.host.kind() != HostKind::Cloudflare || context.instance.telemetry.is_due() {
            context.host.defer(async move { push(&deferred).await });
        } else if !self.hand_over_waits.swap(true, Ordering::AcqRel) {
            let waits = Arc::clone(&self.hand_over_waits);
            context.host.defer(async move {
                deferred.host.sleep(HAND_OVER_DELAY_MS).await;
                waits.store(false, Ordering::Release);
                push(&deferred).await;
            });
        }
    }
}

/// Calls `metrics-push`. What could not be handed over is counted in the next batch.
async fn push(context: &Context) {
    let telemetry = &context.instance.telemetry;
    let Some(batch) = telemetry.drain() else { return };
    let Some(token) = context.instance.internal_token() else { return telemetry.note_lost(&batch) };
    let request = batch.encode().ok().and_then(|bytes| {
        Request::post("/internal/telemetry")
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Bytes::from(bytes))
            .ok()
    });
    let Some(request) = request else { return telemetry.note_lost(&batch) };
    match context.host.call("metrics-push", request).await {
        Ok(answer) if answer.status().is_success() => {}
        Ok(_) | Err(_) => telemetry.note_lost(&batch),
    }
}

fn context(
    host: Host,
    instance: Arc<Instance>,
    request_id: &str,
    headers: &HeaderMap,
    traceparent: Option<Arc<str>>,
) -> Context {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Context {
        now: iam_edge::now(),
        request_id: request_id.into(),
        client_address: client_address(
            host.client_address(),
            headers,
            &instance.configuration.network.trusted_proxies,
        ),
        user_agent: user_agent.map(short_user_agent),
        traceparent,
        host,
        instance,
    }
}

/// Randomness for ids that only tell requests apart, drawn from the host for many at once: where it has none
/// to give, zeros do. For nothing that must not be guessed.
fn entropy<const N: usize>() -> [u8; N] {
    static POOL: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    let mut pool = lock(&POOL);
    if pool.len() < N {
        pool.resize(ENTROPY_POOL_BYTES.max(N), 0);
        if iam_edge::random(&mut pool).is_err() {
            pool.clear();
            return [0; N];
        }
    }
    let rest = pool.len() - N;
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(pool.drain(rest..)) {
        *to = from;
    }
    bytes
}

/// The caller's request id where it is a sane one, otherwise ours.
fn request_id(headers: &HeaderMap) -> String {
    let sane = |text: &&str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !text.is_empty() && text.len() <= MAX_REQUEST_ID_BYTES && text.bytes().all(known)
    };
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
    given.map_or_else(|| RequestId::new(iam_edge::now(), entropy()).to_string(), str::to_owned)
}

fn check_sizes(parts: &Parts) -> Result<(), ApiError> {
    let uri = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if uri > MAX_URI_BYTES {
        let detail = format!("path and query may be {MAX_URI_BYTES} bytes long");
        return Err(ApiError::new(StatusCode::URI_TOO_LONG, "uri_too_long", detail));
    }
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > MAX_HEADER_BYTES {
        let detail = format!("headers may be {MAX_HEADER_BYTES} bytes long together");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(ApiError::new(status, "headers_too_large", detail));
    }
    Ok(())
}

/// Reads the body within its bound. One that is too large is read on for a while and thrown away: a client
/// that is still sending would otherwise see a broken connection and never the answer.
async fn read_body(headers: &HeaderMap, mut body: Body) -> Result<Bytes, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|length| length.parse::<usize>().ok()).unwrap_or_default();
    let mut whole = BytesMut::with_capacity(announced.min(MAX_BODY_BYTES));
    let mut read = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::bad_request("body_unreadable", "the body broke off").cause(error.to_string())
        })?;
        let Some(bytes) = frame.data_ref() else { continue };
        read = read.saturating_add(bytes.len());
        if read <= MAX_BODY_BYTES {
            whole.extend_from_slice(bytes);
        } else if read > MAX_DRAINED_BYTES {
            break;
        }
    }
    if read > MAX_BODY_BYTES {
        let detail = format!("a body may be {MAX_BODY_BYTES} bytes long");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    Ok(whole.freeze())
}

/// Makes errors into answers, of that style where no route was found, and adds what every answer has.
fn finish(
    mut response: Response<Body>,
    context: &Context,
    (origin, undeclared): (Option<HeaderValue>, ErrorStyle),
    round_trips: u32,
) -> Response<Body> {
    let declaration = response.extensions_mut().remove::<Arc<Declaration>>();
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let style = declaration.as_ref().map_or(undeclared, |declaration| declaration.style);
        let mut rendered = error.render(style, &context.request_id);
        if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
            rendered.headers_mut().insert(header::ALLOW, allow);
        }
        rendered.extensions_mut().insert(error);
        response = rendered;
    }
    let budget = declaration.as_ref().map_or(0, |declaration| declaration.round_trips);
    if let Some(declaration) = declaration {
        response.extensions_mut().insert(declaration);
    }
    response.extensions_mut().insert(RoundTrips { used: round_trips, budget });
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&context.request_id) {
        headers.insert(&REQUEST_ID, value);
    }
    if let Some(origin) = origin {
        cors::allow(headers, origin);
    }
    response
}

/// On every answer, unless its handler said otherwise.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// What telemetry wants to know of a request that is gone by the time it is told.
struct Facts {
    method: http::Method,
    scheme: &'static str,
    request_bytes: u64,
}

impl Facts {
    fn of(parts: &Parts) -> Self {
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        Self {
            method: parts.method.clone(),
            scheme: if parts.uri.scheme_str() == Some("https") { "https" } else { "http" },
            request_bytes: length.and_then(|length| length.parse().ok()).unwrap_or_default(),
        }
    }

    fn record(self, trace: RequestTrace, context: &Context, response: &Response<Body>, round_trips: u32) {
        let declaration = response.extensions().get::<Arc<Declaration>>();
        let error = response.extensions().get::<ApiError>();
        let answered = Answered {
            method: self.method.as_str(),
            route: declaration.map_or("", |declaration| declaration.path),
            scheme: self.scheme,
            status: response.status().as_u16(),
            error_type: error.map_or("", ApiError::code),
            request_bytes: self.request_bytes,
            response_bytes: response.body().size_hint().exact().unwrap_or_default(),
            is_routine: declaration.is_some_and(|declaration| declaration.routine)
                && response.status().is_success()
                && response.extensions().get::<Notable>().is_none(),
        };
        let mut attributes = vec![
            Attribute::new("request.id", context.request_id.to_string()),
            Attribute::new("db.round_trips", i64::from(round_trips)),
        ];
        if let Some(address) = context.client_address {
            attributes.push(Attribute::new("client.address", address.to_string()));
        }
        if let Some(cause) = error.and_then(ApiError::log_cause) {
            attributes.push(Attribute::new("error.cause", cause.to_owned()));
        }
        trace.finish(&answered, attributes);
    }
}

fn misconfigured(problem: &str) -> Response<Body> {
    log_misconfiguration(problem);
    let detail = "this deployment is misconfigured; its log names the field";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "configuration_invalid", detail)
        .render(ErrorStyle::Problem, "")
}

fn log_misconfiguration(problem: &str) {
    let line = serde_json::json!({"severity": "ERROR", "message": "misconfigured", "error.cause": problem});
    iam_edge::log(&line.to_string());
}
