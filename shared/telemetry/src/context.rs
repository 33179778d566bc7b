//! W3C trace context: which trace a request belongs to, and whether that trace is sampled.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names a trace: 16 bytes, never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceId(pub [u8; 16]);

/// Names a span within a trace: 8 bytes, never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpanId(pub [u8; 8]);

/// Digit by digit: every log line has two identifiers, and formatting each byte by itself would be half its
/// cost.
fn write_hexadecimal(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[hexadecimal_digit(byte >> 4), hexadecimal_digit(byte & 15)]);
    }
    let written = digits.get(..2 * bytes.len()).and_then(|digits| std::str::from_utf8(digits).ok());
    formatter.write_str(written.unwrap_or_default())
}

fn hexadecimal_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hexadecimal(formatter, &self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hexadecimal(formatter, &self.0)
    }
}

/// The `traceparent` header, <https://www.w3.org/TR/trace-context/>.
///
/// ```
/// use iam_telemetry::TraceParent;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent = TraceParent::parse(header).unwrap();
/// assert!(parent.sampled);
/// assert_eq!(parent.to_string(), header);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// Whether the caller records this trace.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the header. `None` where the standard says that it must be ignored.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.splitn(5, '-');
        let [version] = hexadecimal(parts.next()?)?;
        let trace_id = TraceId(hexadecimal(parts.next()?)?);
        let span_id = SpanId(hexadecimal(parts.next()?)?);
        let [flags] = hexadecimal(parts.next()?)?;
        // Version 0 has exactly four parts; a later one may append more; 255 is forbidden.
        let well_formed = match version {
            0 => parts.next().is_none(),
            255 => false,
            _ => true,
        };
        let named = trace_id.0 != [0; 16] && span_id.0 != [0; 8];
        (well_formed && named).then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Lower-case hexadecimal digits of exactly `N` bytes.
fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N.checked_mul(2)? {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// The head sampling decision. It depends on the trace's random bits alone, so that every function comes to
/// the same one without asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    /// Traces whose last 56 bits are below this are recorded.
    threshold: u64,
    honour_caller: bool,
}

impl Sampler {
    pub(crate) fn new(rate: f64, honour_caller: bool) -> Self {
        const RANDOM_VALUES: f64 = (1_u64 << 56) as f64;
        // A cast of a float saturates, and takes NaN to zero.
        let threshold = (rate.clamp(0.0, 1.0) * RANDOM_VALUES) as u64;
        Self { threshold, honour_caller }
    }

    pub(crate) fn samples(self, trace_id: TraceId, caller: Option<TraceParent>) -> bool {
        if let Some(caller) = caller
            && self.honour_caller
        {
            return caller.sampled;
        }
        let [.., a, b, c, d, e, f, g] = trace_id.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) < self.threshold
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_that_must_be_ignored() {
        for header in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(TraceParent::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let header = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more-and-more";
        let parent = TraceParent::parse(header).unwrap();
        assert_eq!(parent.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }

    #[test]
    fn the_rate_is_kept() {
        let sampler = Sampler::new(0.1, true);
        let sampled = (0..10_000_u64)
            .filter(|n| {
                let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                let mut id = [1; 16];
                id[8..].copy_from_slice(&random);
                sampler.samples(TraceId(id), None)
            })
            .count();
        assert!((900..1100).contains(&sampled), "{sampled}");
        for (rate, expected) in [(0.0, false), (-1.0, false), (f64::NAN, false), (1.0, true), (7.0, true)] {
            assert_eq!(Sampler::new(rate, true).samples(TraceId([255; 16]), None), expected, "{rate}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) {
            prop_assume!(trace_id != [0; 16] && span_id != [0; 8]);
            let parent = TraceParent { trace_id: TraceId(trace_id), span_id: SpanId(span_id), sampled };
            prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
        }

        #[test]
        fn foreign_text_never_panics(header in ".{0,80}") {
            let _ = TraceParent::parse(&header);
        }
    }
}
