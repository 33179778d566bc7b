//! Log records.

use iam_telemetry::{Batch, LogRecord, Resource, Severity};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{
    LogRecord as OtlpLogRecord, ResourceLogs, ScopeLogs, SeverityNumber,
};

use super::{key_values, otlp_resource, scope};

pub(super) fn of_resource(resource: &Resource, batches: &[&Batch]) -> Option<ResourceLogs> {
    let log_records: Vec<_> =
        batches.iter().flat_map(|batch| batch.logs.iter().map(|log| otlp_log(log, batch.end))).collect();
    if log_records.is_empty() {
        return None;
    }
    Some(ResourceLogs {
        resource: Some(otlp_resource(resource)),
        scope_logs: vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    })
}

fn otlp_log(log: &LogRecord, observed: u64) -> OtlpLogRecord {
    let (trace_id, span_id) = log.context.unzip();
    OtlpLogRecord {
        time_unix_nano: log.time,
        observed_time_unix_nano: observed,
        severity_number: severity(log.severity).into(),
        severity_text: log.severity.as_str().to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(log.message.clone())) }),
        attributes: key_values(&log.attributes),
        trace_id: trace_id.map(|id| id.0.to_vec()).unwrap_or_default(),
        span_id: span_id.map(|id| id.0.to_vec()).unwrap_or_default(),
        ..OtlpLogRecord::default()
    }
}

fn severity(severity: Severity) -> SeverityNumber {
    match severity {
        Severity::Debug => SeverityNumber::Debug,
        Severity::Info => SeverityNumber::Info,
        Severity::Warn => SeverityNumber::Warn,
        Severity::Error => SeverityNumber::Error,
    }
}
