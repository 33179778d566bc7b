//! Outgoing HTTP requests of components: denied, passed to another component, or sent.

use std::sync::{Arc, Weak};

use http::{Request, Response};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::instance::Component;
use crate::outbound::chained_component;
use crate::services::Services;
use crate::stdio::report;

/// Judges and sends the requests of one instance.
pub(crate) struct OutboundHttp {
    component: Arc<Component>,
    services: Weak<Services>,
}

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Transmission), Error>;

impl OutboundHttp {
    pub(crate) fn new(component: Arc<Component>, services: Weak<Services>) -> Self {
        Self { component, services }
    }
}

impl WasiHttpHooks for OutboundHttp {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Transmission,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.component.allowed_hosts.allows_request(request.uri()) {
            let authority = request.uri().authority().map_or("", |authority| authority.as_str());
            report(&self.component.id, format_args!("denied: HTTP request to {authority:?}"));
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        let chained = request.uri().host().and_then(chained_component).map(ToOwned::to_owned);
        match chained {
            Some(target) => Box::new(send_chained(self.services.clone(), target, request)),
            None => Box::new(send_outside(request, options)),
        }
    }
}

async fn send_chained(services: Weak<Services>, target: String, request: Request<WasiBody>) -> Sent {
    let services = services.upgrade().ok_or(Error::ConnectionTerminated)?;
    let response = services
        .call_chained(&target, request)
        .await
        .ok_or_else(|| Error::InternalError(Some(format!("no triggered component {target}"))))?;
    Ok((response, Box::new(std::future::ready(Ok(())))))
}

async fn send_outside(request: Request<WasiBody>, options: Option<RequestOptions>) -> Sent {
    let (response, transmission) = default_send_request(request, options).await?;
    Ok((response.map(BodyExt::boxed_unsync), Box::new(transmission)))
}
