//! The load generator's half of HTTP/1.1: one connection, one request at a time, as little work as possible.
//!
//! It shares the machine with what it measures, so requests are bytes made beforehand, and of an answer only the
//! status, the length and the `ETag` are read. What it does not understand is an error, never a guess.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer larger than this is none that is measured.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const BUFFER_BYTES: usize = 128 * 1024;

/// What a request is made of.
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub token: &'a str,
    /// Further lines, each ending in a line break.
    pub headers: &'a str,
    pub body: &'a str,
}

impl Request<'_> {
    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let Request { method, path, token, headers, body } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}");
        if !token.is_empty() {
            text.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            let kind = if *method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
            text.push_str(&format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        text.into_bytes()
    }
}

/// An answer, inside the connection's buffer.
pub struct Answer<'a> {
    pub status: u16,
    pub head: &'a str,
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// The beginning of the answer, for people.
    pub fn told(&self) -> String {
        let body: String = String::from_utf8_lossy(self.body).chars().take(300).collect();
        format!("status {}, {} bytes: {body}", self.status, self.body.len())
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (given, value) = line.split_once(':')?;
        given.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream, buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    /// Sends a request and waits for the whole of its answer.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>, String> {
        let failed = |error: std::io::Error| format!("connection: {error}");
        self.stream.write_all(request).await.map_err(failed)?;
        self.buffer.clear();
        let (head_end, whole) = loop {
            if self.stream.read_buf(&mut self.buffer).await.map_err(failed)? == 0 {
                return Err("the connection was closed before the answer".into());
            }
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break (end, end + 4 + body_length(&self.buffer[..end])?);
            }
        };
        if whole > ANSWER_BYTES_MAX {
            return Err(format!("an answer of {whole} bytes"));
        }
        self.buffer.reserve(whole.saturating_sub(self.buffer.len()));
        while self.buffer.len() < whole {
            if self.stream.read_buf(&mut self.buffer).await.map_err(failed)? == 0 {
                return Err("the connection was closed inside the answer".into());
            }
        }
        if self.buffer.len() != whole {
            return Err("more bytes than the answer has".into());
        }
        let head = std::str::from_utf8(&self.buffer[..head_end]).map_err(|error| error.to_string())?;
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.filter(|_| head.starts_with("HTTP/1.1 ")).ok_or("not an HTTP/1.1 answer")?;
        Ok(Answer { status, head, body: &self.buffer[head_end + 4..] })
    }
}

fn body_length(head: &[u8]) -> Result<usize, String> {
    let head = std::str::from_utf8(head).map_err(|error| error.to_string())?;
    if header(head, "transfer-encoding").is_some() {
        return Err("a chunked answer, whose length is not told".into());
    }
    match header(head, "content-length") {
        Some(length) => length.parse().map_err(|_| format!("content-length: {length}")),
        // These have no body whatever.
        None if head.starts_with("HTTP/1.1 304") || head.starts_with("HTTP/1.1 204") => Ok(0),
        None => Err("an answer without a length".into()),
    }
}
