//! A client that speaks to a socket byte by byte, as slowly and as badly as a test wants.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What takes longer than this never comes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until something holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A connection.
pub struct Raw {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer: status, head in lower case, and body.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl RawAnswer {
    /// The same answer, which must be this problem, by all conventions.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.body["status"], status);
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let id = format!("x-request-id: {}", self.body["request_id"].as_str().unwrap());
        assert!(self.head.contains(&id) && id.len() > 20, "{self:?}");
        assert!(self.head.contains("x-content-type-options: nosniff"), "{}", self.head);
        self
    }

    pub fn closes(&self) -> bool {
        self.head.contains("connection: close")
    }
}

impl Raw {
    pub fn connect(address: &str) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Nothing where nobody listens.
    pub fn try_connect(address: &str) -> Option<Self> {
        TcpStream::connect(address).ok().map(Self::over)
    }

    /// True while the server has not closed the connection.
    pub fn is_open(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let seen = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// A whole request without a body.
    pub fn get(&mut self, path: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
    }

    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 8192];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}; before it {:?}", String::from_utf8_lossy(&self.buffer)),
        }
    }

    /// The next answer; nothing where the server closed the connection without one.
    pub fn answer(&mut self) -> Option<RawAnswer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more() {
                assert!(self.buffer.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        let length = length.unwrap_or(0);
        while self.buffer.len() < length {
            assert!(self.read_more(), "the body of {head} broke off");
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        Some(RawAnswer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        })
    }

    #[track_caller]
    pub fn expect(&mut self, status: u16) -> RawAnswer {
        let answer = self.answer().expect("an answer");
        assert_eq!(answer.status, status, "{answer:?}");
        answer
    }

    /// The status of the next answer; 0 where there is none.
    pub fn expect_any(&mut self) -> u16 {
        self.answer().map_or(0, |answer| answer.status)
    }

    /// Waits until the server closes the connection without another word.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        let more = self.answer();
        assert!(more.is_none(), "{more:?}");
    }
}
