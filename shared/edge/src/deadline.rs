//! One way to give up waiting, on every host.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};

/// The future's output, or `None` when the host's clock got there first.
pub(crate) async fn within<T>(milliseconds: u32, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(crate::platform::sleep(milliseconds))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}
