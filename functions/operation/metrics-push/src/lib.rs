//! Telemetry out: what functions gathered, turned into OTLP and delivered to a collector.
//!
//! Functions hand over [`iam_telemetry::Batch`]es; this one alone links the protocol's messages and knows how
//! to retry. [`otlp`] converts, [`delivery`] says what is sent and what an answer means, [`push()`] does it.

pub mod delivery;
mod function;
pub mod otlp;
mod push;

use std::fmt;

pub use function::{HEADERS, function};
pub use push::{Delivery, FailedDelivery, Outcome, push};

iam_service::deploy!(function);

/// A destination that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsPushError {
    /// Not an absolute `http` or `https` URL without query.
    Endpoint,
    /// Not a header that HTTP can carry.
    Header,
}

impl fmt::Display for MetricsPushError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Endpoint => {
                "collector's endpoint is not an absolute http or https URL without query, as in \
                 `http://127.0.0.1:4318`"
            }
            Self::Header => "collector's header has a name or value that HTTP can't carry",
        })
    }
}

impl std::error::Error for MetricsPushError {}
