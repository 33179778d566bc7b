use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deadline::within;
use crate::types::SOCKET_TIMEOUT_MS;
use crate::{ConnectError, Tls};

/// A TCP connection. Every operation gives up after ten seconds.
pub struct Socket(TcpStream);

impl Socket {
    pub(super) async fn open(host: &str, port: u16, tls: Tls) -> Result<Self, ConnectError> {
        match tls {
            Tls::Off => bounded(TcpStream::connect((host, port))).await.map(Self),
            Tls::On => Err(ConnectError::TlsUnsupported),
        }
    }

    /// Reads what is there, at most the buffer's length; zero at the end of the stream.
    ///
    /// # Errors
    /// When the peer is silent for too long or the connection broke.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConnectError> {
        bounded(self.0.read(buffer)).await
    }

    /// Writes all the bytes.
    ///
    /// # Errors
    /// When the peer takes them too slowly or the connection broke.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        bounded(self.0.write_all(bytes)).await
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// When it broke before.
    pub async fn close(mut self) -> Result<(), ConnectError> {
        bounded(self.0.shutdown()).await
    }
}

async fn bounded<T>(operation: impl Future<Output = std::io::Result<T>>) -> Result<T, ConnectError> {
    match within(SOCKET_TIMEOUT_MS, operation).await {
        Some(result) => result.map_err(|error| ConnectError::Unreachable(error.to_string())),
        None => Err(ConnectError::Timeout),
    }
}
