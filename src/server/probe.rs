//! Asks a running service how it is, for whoever watches it from outside: `slipway health`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The answer is there within this time.
const ANSWER_SECONDS_MAX: u64 = 3;
/// The line with the status has at most so many bytes.
const STATUS_LINE_BYTES_MAX: usize = 64;

/// Where a service that listens on this address is reached from its own machine.
fn reached(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

/// Asks the service that listens on this address for a path. The error says, in words, why it is not well.
pub fn ask(listen: SocketAddr, path: &str) -> Result<(), String> {
    let address = reached(listen);
    let status = status(address, path).map_err(|error| format!("http://{address}{path}: {error}"))?;
    if status == 200 { Ok(()) } else { Err(format!("http://{address}{path} answers {status}")) }
}

fn status(address: SocketAddr, path: &str) -> std::io::Result<u16> {
    let patience = Duration::from_secs(ANSWER_SECONDS_MAX);
    let until = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_write_timeout(Some(patience))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < STATUS_LINE_BYTES_MAX && byte != *b"\n" {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        if stream.read(&mut byte)? == 0 {
            break;
        }
        line.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&line);
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other("this is no HTTP server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, address) in
            [("0.0.0.0:8080", "127.0.0.1:8080"), ("[::]:8080", "[::1]:8080"), ("192.0.2.7:80", "192.0.2.7:80")]
        {
            assert_eq!(reached(listen.parse().unwrap()), address.parse().unwrap());
        }
    }
}
