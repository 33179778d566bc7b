//! What every host takes and gives.

use zeroize::Zeroizing;

/// Which host runs this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// Cloudflare Workers (workerd).
    Cloudflare,
    /// Spin, or the compatible test host.
    Spin,
    /// The native test host.
    Native,
}

impl HostKind {
    /// The name written to logs and telemetry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Spin => "spin",
            Self::Native => "native",
        }
    }
}

/// How long an outgoing request may take, and how large its answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// From the first byte sent to the last byte received.
    pub timeout_ms: u32,
    /// The body of the answer; the headers are bounded by the host.
    pub max_response_bytes: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { timeout_ms: 5_000, max_response_bytes: 1 << 20 }
    }
}

/// Whether a connection is encrypted from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain TCP.
    Off,
    /// TLS with the host's trust roots. Only Workers offers it.
    On,
}

/// A secret. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text that a store other than the host gave.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself. Do not keep a copy longer than its use.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

/// How long one operation on a socket may take.
pub(crate) const SOCKET_TIMEOUT_MS: u32 = 10_000;
