use bytes::Bytes;
use http::{Request, Response};

use crate::deadline::within;
use crate::{FetchError, FetchLimits, message};

pub(super) async fn send(
    client: &reqwest::Client,
    request: Request<Bytes>,
    limits: FetchLimits,
) -> Result<Response<Bytes>, FetchError> {
    let request =
        reqwest::Request::try_from(request).map_err(|error| FetchError::Invalid(error.to_string()))?;
    let exchange = exchange(client, request, limits.max_response_bytes);
    within(limits.timeout_ms, exchange).await.unwrap_or(Err(FetchError::Timeout))
}

async fn exchange(
    client: &reqwest::Client,
    request: reqwest::Request,
    max_response_bytes: usize,
) -> Result<Response<Bytes>, FetchError> {
    let response: Response<reqwest::Body> = client.execute(request).await.map_err(failure)?.into();
    if message::announces_more_than(response.headers(), max_response_bytes) {
        return Err(FetchError::TooLarge);
    }
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, message::read_bounded(body, max_response_bytes).await?))
}

fn failure(error: reqwest::Error) -> FetchError {
    if error.is_builder() {
        FetchError::Invalid(error.to_string())
    } else {
        FetchError::Unreachable(error.to_string())
    }
}
