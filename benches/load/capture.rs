//! The statements that the service really sends: a proxy between it and PostgreSQL that reads along.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Codes of the requests for an encrypted connection, which are declined: what is encrypted cannot be read.
const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A statement with its parameters, as it was sent.
#[derive(Debug, Clone)]
pub struct Statement {
    pub sql: String,
    /// Type and binary value of each parameter.
    pub parameters: Vec<(u32, Option<Vec<u8>>)>,
}

type Log = Arc<Mutex<Vec<Statement>>>;

/// The proxy; it lives as long as the process.
pub struct Recorder {
    pub address: SocketAddr,
    log: Log,
}

impl Recorder {
    /// Listens, and passes everything on to `server`.
    pub fn start(server: String) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let log = Log::default();
        let recorded = Arc::clone(&log);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                let log = Arc::clone(&recorded);
                std::thread::spawn(move || pass(client, upstream, &log));
            }
        });
        Ok(Self { address, log })
    }

    /// What was sent since the last time.
    pub fn take(&self) -> Vec<Statement> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn pass(mut client: TcpStream, mut upstream: TcpStream, log: &Log) {
    let (Ok(mut answers), Ok(mut back)) = (upstream.try_clone(), client.try_clone()) else { return };
    let _ = client.set_nodelay(true);
    let _ = upstream.set_nodelay(true);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    // The end of either side is the end of the connection.
    let _ = listen_in(&mut client, &mut upstream, log);
    let _ = upstream.shutdown(Shutdown::Both);
}

fn listen_in(client: &mut TcpStream, upstream: &mut TcpStream, log: &Log) -> std::io::Result<()> {
    loop {
        let body = message(client)?;
        if ENCRYPTION_REQUESTS.iter().any(|code| body == code.to_be_bytes()) {
            client.write_all(b"N")?;
            continue;
        }
        send(upstream, None, &body)?;
        break;
    }
    let mut prepared: HashMap<Vec<u8>, (String, Vec<u32>)> = HashMap::new();
    loop {
        let mut tag = [0];
        client.read_exact(&mut tag)?;
        let body = message(client)?;
        let heard = match tag[0] {
            b'P' => parse(&body).map(|(name, statement)| {
                prepared.insert(name, statement);
                None
            }),
            b'B' => bind(&body, &prepared).map(Some),
            b'Q' => Cursor(&body).text().map(|sql| Some(Statement { sql, parameters: Vec::new() })),
            _ => Some(None),
        };
        if let Some(Some(statement)) = heard {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(statement);
        }
        send(upstream, Some(tag[0]), &body)?;
    }
}

fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(0);
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn send(stream: &mut TcpStream, tag: Option<u8>, body: &[u8]) -> std::io::Result<()> {
    let mut bytes: Vec<u8> = tag.into_iter().collect();
    bytes.extend(u32::try_from(body.len() + 4).unwrap_or(0).to_be_bytes());
    bytes.extend(body);
    stream.write_all(&bytes)
}

/// Reads a message from its beginning.
struct Cursor<'b>(&'b [u8]);

impl Cursor<'_> {
    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head.to_vec())
    }

    fn short(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_be_bytes(self.bytes(2)?.try_into().ok()?)))
    }

    fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn name(&mut self) -> Option<Vec<u8>> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let name = self.bytes(end)?;
        self.bytes(1)?;
        Some(name)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.name()?).ok()
    }
}

/// The name of a prepared statement, its text, and the types of its parameters.
type Prepared = (Vec<u8>, (String, Vec<u32>));

fn parse(body: &[u8]) -> Option<Prepared> {
    let mut cursor = Cursor(body);
    let (name, sql) = (cursor.name()?, cursor.text()?);
    let types = (0..cursor.short()?).map(|_| cursor.long()).collect::<Option<_>>()?;
    Some((name, (sql, types)))
}

fn bind(body: &[u8], prepared: &HashMap<Vec<u8>, (String, Vec<u32>)>) -> Option<Statement> {
    let mut cursor = Cursor(body);
    let (_, name) = (cursor.name()?, cursor.name()?);
    let (sql, types) = prepared.get(&name)?;
    for _ in 0..cursor.short()? {
        cursor.short()?;
    }
    let count = cursor.short()?;
    let mut parameters = Vec::with_capacity(count);
    for index in 0..count {
        let length = cursor.long()?;
        let value = if length == u32::MAX { None } else { Some(cursor.bytes(usize::try_from(length).ok()?)?) };
        parameters.push((types.get(index).copied().unwrap_or(0), value));
    }
    Some(Statement { sql: sql.clone(), parameters })
}
