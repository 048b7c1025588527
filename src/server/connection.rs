//! One connection of a client, and how long it may keep us waiting.
//!
//! The framework reads slow heads on a reused connection, rests of bodies and slow readers without any deadline,
//! and answers what is no HTTP without a body. [`Guarded`] stands between it and the socket: every wait for the
//! client has an end, and a refusal of the framework becomes a problem document.
//!
//! ```text
//! idle --first byte--> head --the service is called--> serving --it has answered--> answering --sent--> idle
//! ```

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::Sleep;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Problem;
use crate::telemetry::lines::{REQUEST_TARGET, requests_are_logged};

/// A client that reads slowly takes at least so much in each span of its deadline.
const WRITE_BYTES_MIN: usize = 16 * 1024;
/// After a refusal that the client has not read yet, so much more of what it sends is thrown away.
const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// ... and for so long: closing at once would reset the connection before the refusal is read.
const LINGER_MS_MAX: u64 = 1_000;
/// A connection beyond those that are wanted gets so long for its head: enough for a probe.
const SURPLUS_HEAD_MS_MAX: u64 = 1_000;

/// The framework takes no longer address than this, and calls a longer one malformed.
const TARGET_BYTES_MAX: usize = 65_534;

/// How long clients may keep a connection waiting.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// Between two requests, and before the first.
    pub keep_alive: Duration,
    /// For a client that does not read its answer.
    pub write: Duration,
}

/// The connections of the process.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    open: AtomicUsize,
}

impl Connections {
    /// None yet; so many are wanted.
    pub const fn new(max: usize) -> Self {
        Self { max, open: AtomicUsize::new(0) }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Serving,
    Answering,
}

/// What the service and its connection know of each other; it travels with each request.
#[derive(Debug)]
pub struct Link {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    surplus: bool,
    /// The request in service is the last of the connection.
    last: Cell<bool>,
    /// The framework knows that the connection takes no further request.
    told: Cell<bool>,
}

thread_local! {
    /// The link of the connection that is being set up on this thread. The framework asks for the signal that ends
    /// a connection right after it was told of the connection, and says neither time which one it is.
    static BEGINNING: RefCell<Option<Rc<Link>>> = const { RefCell::new(None) };
}

/// Takes the next request for the signal of [`until_last`] for one of this connection.
pub fn begins(link: &Rc<Link>) {
    BEGINNING.set(Some(Rc::clone(link)));
}

/// Ends when the connection that has just begun takes no further request: because the one in service is its last,
/// or because the process ends. What waits behind that is thrown away then.
pub fn until_last(process_ends: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let link = BEGINNING.take();
    async move {
        let mut process_ends = pin!(process_ends);
        poll_fn(|context| match &link {
            Some(link) if link.last.get() => Poll::Ready(()),
            _ => process_ends.as_mut().poll(context),
        })
        .await;
        if let Some(link) = &link {
            link.told.set(true);
        }
    }
}

impl Link {
    /// Nothing that came behind the request in service is acted upon. Answers when the framework knows: it reads
    /// ahead, and would carry out what it has read.
    pub async fn last_request(&self) {
        self.last.set(true);
        poll_fn(|context| {
            if self.told.get() {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// True where the connection is one more than are wanted.
    pub const fn is_surplus(&self) -> bool {
        self.surplus
    }

    /// The service has taken the request; it has answered when the value is dropped.
    pub fn serving(self: &Rc<Self>) -> Serving {
        self.phase.set(Phase::Serving);
        Serving(Rc::clone(self))
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }
}

/// A request in service.
#[derive(Debug)]
pub struct Serving(Rc<Link>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.phase.set(Phase::Answering);
    }
}

/// A last word to the client, and the end of the connection.
struct Refusal {
    bytes: Vec<u8>,
    sent: usize,
    closed: bool,
    /// Bytes of the client that are still thrown away.
    linger: usize,
    until: Instant,
}

/// The time since which a client does not take its answer, and what it took since.
struct Stall {
    since: Instant,
    taken: usize,
}

/// A socket whose client has deadlines.
pub struct Guarded {
    socket: TcpStream,
    link: Rc<Link>,
    deadlines: Deadlines,
    connections: Arc<Connections>,
    alarm: Pin<Box<Sleep>>,
    alarm_at: Option<Instant>,
    stall: Option<Stall>,
    refusal: Option<Refusal>,
    first_line: FirstLine,
}

/// The length of the first line of a head, as far as it has come.
#[derive(Debug, Clone, Copy, Default)]
struct FirstLine {
    bytes: usize,
    ended: bool,
}

impl FirstLine {
    fn read(&mut self, mut bytes: &[u8]) {
        while !self.ended {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.bytes += bytes.len();
                return;
            };
            self.bytes += end;
            // Empty lines before a request are passed over.
            self.ended = self.bytes > 1;
            bytes = &bytes[end + 1..];
        }
    }
}

impl Guarded {
    /// Guards a connection that has just been accepted.
    pub fn new(socket: TcpStream, deadlines: Deadlines, connections: Arc<Connections>) -> Self {
        let surplus = connections.open.fetch_add(1, Ordering::AcqRel) >= connections.max;
        // Answers are written whole; nothing is gained by waiting for more.
        let _ = socket.set_nodelay(true);
        let deadlines = if surplus {
            let head = deadlines.head.min(Duration::from_millis(SURPLUS_HEAD_MS_MAX));
            Deadlines { head, keep_alive: head, ..deadlines }
        } else {
            deadlines
        };
        let link = Link {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            surplus,
            last: Cell::new(false),
            told: Cell::new(false),
        };
        Self {
            socket,
            link: Rc::new(link),
            deadlines,
            connections,
            alarm: Box::pin(actix_web::rt::time::sleep(Duration::ZERO)),
            alarm_at: None,
            stall: None,
            refusal: None,
            first_line: FirstLine::default(),
        }
    }

    /// What goes along with each request of the connection.
    pub fn link(&self) -> Rc<Link> {
        Rc::clone(&self.link)
    }

    /// The client's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    /// True when the instant has come; otherwise the task is woken when it comes. An alarm that is set for an
    /// earlier instant is left alone, so that a busy connection hardly ever touches the timer.
    fn is_due(&mut self, at: Instant, context: &mut Context<'_>) -> bool {
        loop {
            if Instant::now() >= at {
                return true;
            }
            if self.alarm_at.is_none_or(|set| set > at) {
                self.alarm.as_mut().reset(at.into());
                self.alarm_at = Some(at);
            }
            match self.alarm.as_mut().poll(context) {
                Poll::Pending => return false,
                Poll::Ready(()) => self.alarm_at = None,
            }
        }
    }

    /// Waits for the client to send something; the error or the end of the stream when it took too long.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wait = match self.link.phase.get() {
            Phase::Idle => self.deadlines.keep_alive,
            Phase::Head => self.deadlines.head,
            // The body has its deadline where it is read, the work its own, the answer where it is written.
            Phase::Serving | Phase::Answering => return Poll::Pending,
        };
        if !self.is_due(self.link.since.get() + wait, context) {
            return Poll::Pending;
        }
        if self.link.phase.get() == Phase::Head {
            let seconds = wait.as_secs_f32();
            let detail = format!("The head of a request arrives whole within {seconds} seconds.");
            self.refuse(&Problem::new("REQUEST_TIMEOUT", detail), 0);
        }
        // For the framework the client has closed: it ends the connection without a word.
        Poll::Ready(Ok(()))
    }

    fn refuse(&mut self, problem: &Problem, linger: usize) {
        self.refusal = Some(Refusal {
            bytes: on_the_wire(problem, self.peer()),
            sent: 0,
            closed: false,
            linger,
            until: Instant::now() + Duration::from_millis(LINGER_MS_MAX),
        });
    }

    /// Says the last word, if there is one, and waits a moment until the client may have read it.
    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(mut refusal) = self.refusal.take() else {
            return Poll::Ready(());
        };
        let done = self.poll_last_word(&mut refusal, context);
        let due = done.is_pending() && self.is_due(refusal.until, context);
        if done.is_ready() || due {
            refusal.sent = refusal.bytes.len();
            refusal.closed = true;
            refusal.linger = 0;
        }
        self.refusal = Some(refusal);
        if due { Poll::Ready(()) } else { done }
    }

    fn poll_last_word(&mut self, refusal: &mut Refusal, context: &mut Context<'_>) -> Poll<()> {
        while refusal.sent < refusal.bytes.len() {
            match ready!(Pin::new(&mut self.socket).poll_write(context, &refusal.bytes[refusal.sent..])) {
                Ok(sent) if sent > 0 => refusal.sent += sent,
                _ => return Poll::Ready(()),
            }
        }
        if !refusal.closed {
            if ready!(Pin::new(&mut self.socket).poll_shutdown(context)).is_err() {
                return Poll::Ready(());
            }
            refusal.closed = true;
        }
        let mut thrown_away = [0_u8; 8 * 1024];
        while refusal.linger > 0 {
            let mut room = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut self.socket).poll_read(context, &mut room)) {
                Ok(()) if !room.filled().is_empty() => {
                    refusal.linger = refusal.linger.saturating_sub(room.filled().len());
                }
                _ => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }

    /// The problem in place of what the framework answers by itself, before the service is called.
    fn refusal_of(&self, answer: &[u8]) -> Option<Problem> {
        if !matches!(self.link.phase.get(), Phase::Idle | Phase::Head) {
            return None;
        }
        match answer.strip_prefix(b"HTTP/1.")?.get(2..5)? {
            b"400" if self.first_line.bytes > TARGET_BYTES_MAX => {
                Some(Problem::new("URI_TOO_LONG", format!("An address has at most {TARGET_BYTES_MAX} bytes.")))
            }
            b"400" => Some(Problem::new("MALFORMED_REQUEST", "This is not a request in HTTP/1.1 (RFC 9112).")),
            b"431" => Some(Problem::new("HEAD_TOO_LARGE", "Address and headers are too large together.")),
            _ => None,
        }
    }

    /// Notes that the client took so many bytes of its answer, or none; the error when it is too slow.
    fn watch_reader(&mut self, taken: Option<usize>, context: &mut Context<'_>) -> io::Result<()> {
        let now = Instant::now();
        match (taken, &mut self.stall) {
            (None, None) => self.stall = Some(Stall { since: now, taken: 0 }),
            (Some(bytes), Some(stall)) => {
                stall.taken += bytes;
                if stall.taken >= WRITE_BYTES_MIN {
                    *stall = Stall { since: now, taken: 0 };
                }
            }
            _ => {}
        }
        let Some(at) = self.stall.as_ref().map(|stall| stall.since + self.deadlines.write) else {
            return Ok(());
        };
        if self.is_due(at, context) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer"));
        }
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return Poll::Ready(Ok(()));
        }
        let before = room.filled().len();
        match Pin::new(&mut this.socket).poll_read(context, room) {
            Poll::Pending => this.poll_patience(context),
            read => {
                if room.filled().len() > before && this.link.phase.get() == Phase::Idle {
                    this.link.enter(Phase::Head);
                    this.first_line = FirstLine::default();
                }
                if this.link.phase.get() == Phase::Head {
                    this.first_line.read(&room.filled()[before..]);
                }
                read
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refusal.is_none()
            && let Some(problem) = this.refusal_of(bytes)
        {
            this.refuse(&problem, LINGER_BYTES_MAX);
        }
        if this.refusal.is_some() {
            ready!(this.poll_refusal(context));
            return Poll::Ready(Ok(bytes.len()));
        }
        match Pin::new(&mut this.socket).poll_write(context, bytes) {
            Poll::Pending => {
                this.watch_reader(None, context)?;
                Poll::Pending
            }
            Poll::Ready(Ok(taken)) => {
                if this.stall.is_some() {
                    this.watch_reader(Some(taken), context)?;
                }
                Poll::Ready(Ok(taken))
            }
            failed => failed,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(context));
        ready!(Pin::new(&mut this.socket).poll_flush(context))?;
        this.stall = None;
        if this.link.phase.get() == Phase::Answering {
            this.link.enter(Phase::Idle);
            // The framework does not read again before it is woken.
            let at = this.link.since.get() + this.deadlines.keep_alive;
            let _ = this.is_due(at, context);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(context));
        Pin::new(&mut this.socket).poll_shutdown(context)
    }
}

/// A problem as a whole HTTP answer that ends its connection.
fn on_the_wire(problem: &Problem, peer: Option<SocketAddr>) -> Vec<u8> {
    let mut problem = problem.clone();
    problem.request_id = uuid::Uuid::now_v7().to_string();
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    let (id, length) = (&problem.request_id, body.len());
    let reason = status.canonical_reason().unwrap_or_default();
    if requests_are_logged() {
        let peer = peer.map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default();
        log::info!(
            target: REQUEST_TARGET,
            request_id = id.as_str(), status = status.as_u16(), code = problem.code, peer = peer.as_str();
            "refused before it was a request"
        );
    }
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         connection: close\r\ncache-control: no-store\r\nx-request-id: {id}\r\nx-content-type-options: nosniff\r\n\
         content-security-policy: default-src 'none'; frame-ancestors 'none'\r\nreferrer-policy: no-referrer\r\n\r\n\
         {body}",
        status.as_u16()
    )
    .into_bytes()
}
