//! A guest's output, line by line on the host's standard error.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// Longer lines are cut here, so that a guest can't fill the host's memory.
const LONGEST_LINE: usize = 16 * 1024;

/// Where one component's output goes.
#[derive(Clone)]
pub(crate) struct Output {
    component: Arc<str>,
}

impl Output {
    pub(crate) fn new(component: Arc<str>) -> Self {
        Self { component }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(LineWriter { component: self.component.clone(), line: Vec::new() })
    }
}

struct LineWriter {
    component: Arc<str>,
    line: Vec<u8>,
}

impl LineWriter {
    fn add(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LONGEST_LINE {
                self.end_line()?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> std::io::Result<()> {
        let text = String::from_utf8_lossy(&self.line);
        let line = format!("[{}] {}\n", self.component, text.trim_end_matches('\n'));
        self.line.clear();
        std::io::stderr().lock().write_all(line.as_bytes())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            // Nobody is left to hear that standard error is closed.
            self.end_line().ok();
        }
    }
}

impl AsyncWrite for LineWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.add(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Tells the operator something about a component.
pub(crate) fn report(component: &str, message: impl std::fmt::Display) {
    // A closed standard error is no reason to fail a request.
    writeln!(std::io::stderr().lock(), "[{component}] {message}").ok();
}
