//! The peers that the suite talks to: an HTTP server that behaves badly on demand, and a TCP echo.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Both servers, on ports of their own; they end when this is dropped.
pub struct Peers {
    /// Where the HTTP server listens: `CONFORMANCE_PEER` is `http://` and this.
    pub http: SocketAddr,
    /// Where the echo listens: `CONFORMANCE_ECHO`.
    pub echo: SocketAddr,
    _servers: JoinSet<()>,
}

impl Peers {
    /// Starts both.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> std::io::Result<Self> {
        let (http, echo) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let addresses = (http.local_addr()?, echo.local_addr()?);
        let mut servers = JoinSet::new();
        servers.spawn(serve(http, answer));
        servers.spawn(serve(echo, mirror));
        Ok(Self { http: addresses.0, echo: addresses.1, _servers: servers })
    }
}

async fn serve<F>(listener: TcpListener, connection: impl Fn(TcpStream) -> F)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // A client that goes away is what some checks are about.
        connections.spawn(connection(stream));
    }
}

async fn mirror(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await.map(drop)
}

/// One request per connection.
async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let mut request_line = head.first().map(String::as_str).unwrap_or_default().split(' ');
    let (method, path) = (request_line.next().unwrap_or_default(), request_line.next().unwrap_or_default());
    let body = read_body(&head, &mut stream).await?;
    match path.split('?').next().unwrap_or_default() {
        "/silent" => std::future::pending().await,
        "/endless" => endless(&mut stream).await,
        "/large" => {
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 200000\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&[b'x'; 200_000]).await
        }
        "/large-chunked" => large_chunked(&mut stream).await,
        "/redirect" => {
            let head =
                "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: /mirror\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(head.as_bytes()).await
        }
        _ => {
            let header = header(&head, "x-conformance").unwrap_or_default();
            let head = format!(
                "HTTP/1.1 201 Created\r\nconnection: close\r\nx-conformance: {header}\r\nx-method: \
                 {method}\r\nx-path: {path}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await
        }
    }?;
    stream.shutdown().await
}

fn header<'a>(head: &'a [String], wanted: &str) -> Option<&'a str> {
    head.iter()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim()))
}

async fn read_body(head: &[String], stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    if header(head, "transfer-encoding").is_some() {
        return read_chunks(stream).await;
    }
    let length = header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

async fn read_chunks(stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; length];
        stream.read_exact(&mut chunk).await?;
        stream.read_line(&mut line).await?;
        if length == 0 {
            return Ok(body);
        }
        body.extend(chunk);
    }
}

async fn endless(stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    loop {
        stream.write_all(b"1\r\nx\r\n").await?;
        stream.flush().await?;
        super::super::platform::sleep(50).await;
    }
}

async fn large_chunked(stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    for _ in 0..200 {
        stream.write_all(b"3e8\r\n").await?;
        stream.write_all(&[b'x'; 1000]).await?;
        stream.write_all(b"\r\n").await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}
