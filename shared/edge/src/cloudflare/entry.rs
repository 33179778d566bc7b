//! What [`serve!`](crate::serve) expands to on Workers.

use std::future::Future;
use std::net::IpAddr;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use wasm_bindgen::{JsCast, JsValue};
use worker::web_sys;

use super::javascript::{ScheduledController, describe};
use super::message::{
    bytes_to_javascript, request_from_javascript, response_to_javascript, untouched_stream,
};
use crate::message::{LARGEST_MESSAGE, read_bounded, refusal};
use crate::{FetchError, Host};

pub use js_sys;
pub use wasm_bindgen;
pub use worker::wasm_bindgen_futures;

/// The `fetch` event.
///
/// # Errors
/// When the answer cannot be expressed in JavaScript; workerd then answers 500.
pub async fn fetch<H, F>(
    handler: H,
    request: JsValue,
    environment: JsValue,
    context: JsValue,
) -> Result<JsValue, JsValue>
where
    H: FnOnce(Host, Request<Body>) -> F,
    F: Future<Output = Response<Body>>,
{
    let request: web_sys::Request = request.unchecked_into();
    let response = match request_from_javascript(request) {
        Some(request) => {
            let host = Host::new(environment, context, client_address(&request));
            handler(host, request).await
        }
        None => refusal(StatusCode::BAD_REQUEST),
    };
    answer(response).await
}

/// The `scheduled` event.
///
/// # Errors
/// Never; the shape is the one that an exported function needs.
pub async fn scheduled<H, F>(
    job: H,
    controller: JsValue,
    environment: JsValue,
    context: JsValue,
) -> Result<JsValue, JsValue>
where
    H: FnOnce(Host, String) -> F,
    F: Future<Output = ()>,
{
    let controller: ScheduledController = controller.unchecked_into();
    job(Host::new(environment, context, None), controller.cron()).await;
    Ok(JsValue::UNDEFINED)
}

/// Cloudflare sets this header itself and overwrites what a client sends.
fn client_address(request: &Request<Body>) -> Option<IpAddr> {
    request.headers().get("cf-connecting-ip")?.to_str().ok()?.parse().ok()
}

async fn answer(response: Response<Body>) -> Result<JsValue, JsValue> {
    let (parts, body) = response.into_parts();
    if let Some(stream) = untouched_stream(&parts.extensions) {
        return response_to_javascript(&parts, Some(stream.as_ref()));
    }
    match read_bounded(body, LARGEST_MESSAGE).await {
        Ok(body) => response_to_javascript(&parts, bytes_to_javascript(&body).as_ref()),
        Err(error) => Err(unanswerable(&error)),
    }
}

fn unanswerable(error: &FetchError) -> JsValue {
    let error = js_sys::Error::new(&format!("answer cannot be sent: {error}"));
    web_sys::console::error_1(&JsValue::from_str(&describe(&error)));
    error.into()
}

/// Makes a function of this crate: `serve!(handler)` or `serve!(handler, scheduled = job)`.
///
/// The handler is `async fn(Host, http::Request<Body>) -> http::Response<Body>`, the job
/// `async fn(Host, &str)` with the cron expression that fired. On Workers this exports the `fetch` and
/// `scheduled` events, on Spin the HTTP handler (which knows no schedule); natively it exports nothing,
/// a test calls the handler itself.
#[macro_export]
macro_rules! serve {
    ($handler:path $(, scheduled = $job:path)? $(,)?) => {
        #[doc(hidden)]
        #[$crate::entry::wasm_bindgen::prelude::wasm_bindgen(
            js_name = "fetch",
            wasm_bindgen = $crate::entry::wasm_bindgen,
            wasm_bindgen_futures = $crate::entry::wasm_bindgen_futures,
            js_sys = $crate::entry::js_sys
        )]
        pub async fn __fetch_event(
            request: $crate::entry::wasm_bindgen::JsValue,
            environment: $crate::entry::wasm_bindgen::JsValue,
            context: $crate::entry::wasm_bindgen::JsValue,
        ) -> ::std::result::Result<
            $crate::entry::wasm_bindgen::JsValue,
            $crate::entry::wasm_bindgen::JsValue,
        > {
            $crate::entry::fetch($handler, request, environment, context).await
        }

        $(
            #[doc(hidden)]
            #[$crate::entry::wasm_bindgen::prelude::wasm_bindgen(
                js_name = "scheduled",
                wasm_bindgen = $crate::entry::wasm_bindgen,
                wasm_bindgen_futures = $crate::entry::wasm_bindgen_futures,
                js_sys = $crate::entry::js_sys
            )]
            pub async fn __scheduled_event(
                controller: $crate::entry::wasm_bindgen::JsValue,
                environment: $crate::entry::wasm_bindgen::JsValue,
                context: $crate::entry::wasm_bindgen::JsValue,
            ) -> ::std::result::Result<
                $crate::entry::wasm_bindgen::JsValue,
                $crate::entry::wasm_bindgen::JsValue,
            > {
                let job = |host, cron: ::std::string::String| async move { $job(host, &cron).await };
                $crate::entry::scheduled(job, controller, environment, context).await
            }
        )?
    };
}
