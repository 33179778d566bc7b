//! Calls from one function to another.

use bytes::Bytes;
use http::{Request, Response, header};
use iam_edge::FetchLimits;
use serde::Serialize;

use crate::context::Context;

impl Context {
    /// Posts JSON to another function of this installation, with the internal token. The function declares
    /// that it does ([`Function::calls_only`](crate::Function::calls_only)).
    ///
    /// # Errors
    /// What went wrong, for the log: no internal token, no such function, no answer in time.
    pub async fn call(
        &self,
        function: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Response<Bytes>, String> {
        self.call_within(function, path, body, FetchLimits::default()).await
    }

    /// The same with an answer that may take longer, or be larger.
    ///
    /// # Errors
    /// As [`Context::call`].
    pub(crate) async fn call_within(
        &self,
        function: &str,
        path: &str,
        body: &impl Serialize,
        limits: FetchLimits,
    ) -> Result<Response<Bytes>, String> {
        let token = self.instance.internal_token().ok_or("this installation has no internal token")?;
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body))
            .map_err(|_| "the request can't be made".to_owned())?;
        self.host.call_within(function, request, limits).await.map_err(|error| error.to_string())
    }
}
