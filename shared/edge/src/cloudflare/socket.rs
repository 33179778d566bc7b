use std::future::{Future, poll_fn};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use worker::send::SendFuture;
use worker::{ConnectionBuilder, SecureTransport};

use crate::deadline::within;
use crate::types::SOCKET_TIMEOUT_MS;
use crate::{ConnectError, Tls};

/// A TCP connection. Every operation gives up after ten seconds.
pub struct Socket(worker::Socket);

impl Socket {
    pub(super) async fn open(host: &str, port: u16, tls: Tls) -> Result<Self, ConnectError> {
        let transport = match tls {
            Tls::Off => SecureTransport::Off,
            Tls::On => SecureTransport::On,
        };
        SendFuture::new(async move {
            let socket = ConnectionBuilder::new()
                .secure_transport(transport)
                .connect(host, port)
                .map_err(|error| ConnectError::Unreachable(error.to_string()))?;
            bounded(socket.opened()).await?;
            Ok(Self(socket))
        })
        .await
    }

    /// Reads what is there, at most the buffer's length; zero at the end of the stream.
    ///
    /// # Errors
    /// When the peer is silent for too long or the connection broke.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConnectError> {
        let mut buffer = ReadBuf::new(buffer);
        let read = poll_fn(|context| Pin::new(&mut self.0).poll_read(context, &mut buffer));
        SendFuture::new(bounded(read)).await?;
        Ok(buffer.filled().len())
    }

    /// Writes all the bytes.
    ///
    /// # Errors
    /// When the peer takes them too slowly or the connection broke.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        // workerd takes a chunk whole or not at all.
        let write = poll_fn(|context| Pin::new(&mut self.0).poll_write(context, bytes));
        SendFuture::new(bounded(write)).await.map(drop)
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// When it broke before.
    pub async fn close(mut self) -> Result<(), ConnectError> {
        SendFuture::new(bounded(self.0.close())).await
    }
}

async fn bounded<T, E: std::fmt::Display>(
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, ConnectError> {
    match within(SOCKET_TIMEOUT_MS, operation).await {
        Some(result) => result.map_err(|error| ConnectError::Unreachable(error.to_string())),
        None => Err(ConnectError::Timeout),
    }
}
