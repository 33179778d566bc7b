//! Log records and their one-line JSON form.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::attribute::{Attribute, Value};
use crate::batch::Resource;
use crate::context::{SpanId, TraceId};

/// How grave a log record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Detail for whoever looks for a fault.
    Debug,
    /// What normally happens.
    Info,
    /// What should not happen, and did no harm.
    Warn,
    /// What failed.
    Error,
}

impl Severity {
    /// As it is written in a log line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When; nanoseconds since the epoch.
    pub time: u64,
    /// How grave.
    pub severity: Severity,
    /// What, for people.
    pub message: String,
    /// What is known about it, for machines: dotted names with their units.
    pub attributes: Vec<Attribute>,
    /// The trace and span it belongs to.
    pub context: Option<(TraceId, SpanId)>,
}

/// A log record as one line of JSON, without the line's end. The record is written as it is: one that went
/// through a [`crate::Redaction`] shows no secret.
///
/// ```
/// use iam_telemetry::{Attribute, LogRecord, Resource, Severity, json_line};
///
/// let resource = Resource {
///     service_name: "login".into(),
///     service_version: "1.0.0".into(),
///     host: "spin".into(),
///     instance_id: "7f".into(),
/// };
/// let record = LogRecord {
///     time: 1_737_023_400_000_000_000,
///     severity: Severity::Info,
///     message: "POST /api/v1/auth/login 200".into(),
///     attributes: vec![Attribute::new("http.server.request.duration_ms", 41.5)],
///     context: None,
/// };
/// assert_eq!(
///     json_line(&resource, &record),
///     r#"{"time":"2025-01-16T10:30:00Z","severity":"INFO","service.name":"login","#.to_owned()
///         + r#""message":"POST /api/v1/auth/login 200","http.server.request.duration_ms":41.5}"#
/// );
/// ```
#[must_use]
pub fn json_line(resource: &Resource, record: &LogRecord) -> String {
    let mut line = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut line);
    match (Line { resource, record }).serialize(&mut serializer) {
        Ok(()) => String::from_utf8(line).unwrap_or_default(),
        // Every key is a text and the sink is memory: JSON has no other way to fail.
        Err(_) => String::new(),
    }
}

struct Line<'a> {
    resource: &'a Resource,
    record: &'a LogRecord,
}

/// The keys that every line has; an attribute of such a name is left to the OTLP record.
const OWN_KEYS: [&str; 6] = ["time", "severity", "service.name", "message", "trace_id", "span_id"];

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { resource, record } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &rfc3339(record.time))?;
        map.serialize_entry("severity", record.severity.as_str())?;
        map.serialize_entry("service.name", &resource.service_name)?;
        map.serialize_entry("message", &record.message)?;
        if let Some((trace_id, span_id)) = record.context {
            map.serialize_entry("trace_id", &trace_id.to_string())?;
            map.serialize_entry("span_id", &span_id.to_string())?;
        }
        for Attribute { key, value } in &record.attributes {
            if OWN_KEYS.contains(&key.as_ref()) {
                continue;
            }
            match value {
                Value::Text(text) => map.serialize_entry(key, text)?,
                Value::Integer(number) => map.serialize_entry(key, number)?,
                Value::Float(number) => map.serialize_entry(key, number)?,
                Value::Boolean(truth) => map.serialize_entry(key, truth)?,
            }
        }
        map.end()
    }
}

fn rfc3339(nanoseconds: u64) -> String {
    let milliseconds = i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX);
    iam_core::time::rfc3339::format(milliseconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resource() -> Resource {
        Resource {
            service_name: "login".into(),
            service_version: "1".into(),
            host: "native".into(),
            instance_id: "1".into(),
        }
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_of_json(
            message in "\\PC{0,40}|[\\x00-\\x7f]{0,40}",
            text in "[\\x00-\\x7f]{0,40}",
            number: f64,
            time: u64,
        ) {
            let record = LogRecord {
                time,
                severity: Severity::Error,
                message: message.clone(),
                attributes: vec![
                    Attribute::new("user.name", text.clone()),
                    Attribute::new("process.cpu_ms", number),
                    Attribute::new("severity", "forged"),
                ],
                context: Some((TraceId([1; 16]), SpanId([2; 8]))),
            };
            let line = json_line(&resource(), &record);
            prop_assert!(!line.contains('\n'));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&value["message"], &serde_json::Value::String(message));
            prop_assert_eq!(&value["user.name"], &serde_json::Value::String(text));
            prop_assert_eq!(&value["severity"], "ERROR");
            prop_assert_eq!(&value["trace_id"], "01010101010101010101010101010101");
        }
    }
}
