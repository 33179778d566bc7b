use std::future::Future;

use spin_sdk::wasip3::sockets::ip_name_lookup::resolve_addresses;
use spin_sdk::wasip3::sockets::types::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};
use spin_sdk::wasip3::wit_stream;
use spin_sdk::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};

use crate::deadline::within;
use crate::types::SOCKET_TIMEOUT_MS;
use crate::{ConnectError, Tls};

/// As much as one read takes from the host.
const CHUNK_BYTES: usize = 16 * 1024;

/// A TCP connection. Every operation gives up after ten seconds.
pub struct Socket {
    outgoing: StreamWriter<u8>,
    sent: FutureReader<Result<(), ErrorCode>>,
    incoming: StreamReader<u8>,
    received: Vec<u8>,
}

impl Socket {
    pub(super) async fn open(host: &str, port: u16, tls: Tls) -> Result<Self, ConnectError> {
        match tls {
            Tls::Off => bounded(Self::connect(host, port)).await,
            Tls::On => Err(ConnectError::TlsUnsupported),
        }
    }

    async fn connect(host: &str, port: u16) -> Result<Self, ConnectError> {
        let addresses = resolve_addresses(host.to_owned()).await.map_err(unreachable)?;
        let mut failure = ConnectError::Unreachable("the name has no address".to_owned());
        for address in addresses {
            match Self::connect_to(address, port).await {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_to(address: IpAddress, port: u16) -> Result<Self, ConnectError> {
        let (family, address) = match address {
            IpAddress::Ipv4(address) => {
                (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }))
            }
            IpAddress::Ipv6(address) => (
                IpAddressFamily::Ipv6,
                IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 }),
            ),
        };
        let socket = TcpSocket::create(family).map_err(unreachable)?;
        socket.connect(address).await.map_err(unreachable)?;
        let (outgoing, to_send) = wit_stream::new();
        let sent = socket.send(to_send);
        let (incoming, _) = socket.receive();
        Ok(Self { outgoing, sent, incoming, received: Vec::new() })
    }

    /// Reads what is there, at most the buffer's length; zero at the end of the stream.
    ///
    /// # Errors
    /// When the peer is silent for too long or the connection broke.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConnectError> {
        if self.received.is_empty() {
            let incoming = &mut self.incoming;
            self.received = bounded(async {
                let (result, chunk) = incoming.read(Vec::with_capacity(CHUNK_BYTES)).await;
                match result {
                    StreamResult::Complete(_) | StreamResult::Dropped => Ok(chunk),
                    StreamResult::Cancelled => Err(ConnectError::Timeout),
                }
            })
            .await?;
        }
        let count = buffer.len().min(self.received.len());
        for (place, byte) in buffer.iter_mut().zip(self.received.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    /// Writes all the bytes.
    ///
    /// # Errors
    /// When the peer takes them too slowly or the connection broke.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        let outgoing = &mut self.outgoing;
        bounded(async {
            match outgoing.write_all(bytes.to_vec()).await.is_empty() {
                true => Ok(()),
                false => Err(ConnectError::Unreachable("the connection broke off".to_owned())),
            }
        })
        .await
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// When it broke before.
    pub async fn close(self) -> Result<(), ConnectError> {
        let Self { outgoing, sent, .. } = self;
        drop(outgoing);
        bounded(async { sent.await.map_err(unreachable) }).await
    }
}

async fn bounded<T>(operation: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
    within(SOCKET_TIMEOUT_MS, operation).await.unwrap_or(Err(ConnectError::Timeout))
}

fn unreachable(error: impl std::fmt::Display) -> ConnectError {
    ConnectError::Unreachable(error.to_string())
}
