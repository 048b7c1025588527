//! A proxy between the service and PostgreSQL that breaks connections in every way that networks do.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How connections are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Not at all.
    Pass,
    /// Nobody listens; what is open is closed.
    Refuse,
    /// Everything is taken, and nothing comes of it.
    Swallow,
    /// The next COMMIT arrives; its answer does not.
    LoseAnswerToCommit,
    /// The next COMMIT does not arrive.
    LoseCommit,
    /// Connections end with the next statement.
    CutNextStatement,
}

const MODES: [Mode; 6] =
    [Mode::Pass, Mode::Refuse, Mode::Swallow, Mode::LoseAnswerToCommit, Mode::LoseCommit, Mode::CutNextStatement];
/// How often a thread looks at the mode.
const LOOK: Duration = Duration::from_millis(10);

struct State {
    mode: AtomicU8,
    broken: AtomicUsize,
    stop: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    server: String,
}

impl State {
    fn mode(&self) -> Mode {
        MODES[usize::from(self.mode.load(Ordering::SeqCst))]
    }

    /// True for the one who breaks, where a mode breaks once.
    fn break_once(&self, mode: Mode) -> bool {
        let taken = self.mode.compare_exchange(mode as u8, Mode::Pass as u8, Ordering::SeqCst, Ordering::SeqCst);
        if taken.is_ok() {
            self.broken.fetch_add(1, Ordering::SeqCst);
        }
        taken.is_ok()
    }

    fn close_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A running proxy.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Starts one in front of a server, `host:port`.
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            mode: AtomicU8::new(Mode::Pass as u8),
            broken: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            open: Mutex::default(),
            server: server.to_owned(),
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || accept(listener, port, &accepting));
        Self { port, state }
    }

    pub fn set(&self, mode: Mode) {
        self.state.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// How often something was broken in a mode that breaks once.
    pub fn broken(&self) -> usize {
        self.state.broken.load(Ordering::SeqCst)
    }

    /// Closes every connection that is open now.
    pub fn cut(&self) {
        self.state.close_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        self.state.close_all();
    }
}

fn accept(listener: TcpListener, port: u16, state: &Arc<State>) {
    listener.set_nonblocking(true).unwrap();
    let mut listener = Some(listener);
    while !state.stop.load(Ordering::SeqCst) {
        if state.mode() == Mode::Refuse {
            listener = None;
            state.close_all();
        } else if listener.is_none()
            && let Ok(again) = TcpListener::bind(("127.0.0.1", port))
        {
            again.set_nonblocking(true).unwrap();
            listener = Some(again);
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => connect(client, state),
            _ => std::thread::sleep(LOOK),
        }
    }
}

fn connect(client: TcpStream, state: &Arc<State>) {
    client.set_nonblocking(false).unwrap();
    if state.mode() == Mode::Swallow {
        state.open.lock().unwrap().push(client);
        return;
    }
    let Ok(server) = TcpStream::connect(&state.server) else {
        return;
    };
    let cut = Arc::new(AtomicBool::new(false));
    for (from, to, upwards) in [(&client, &server, true), (&server, &client, false)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let (state, cut) = (Arc::clone(state), Arc::clone(&cut));
        std::thread::spawn(move || pump(from, to, upwards, &state, &cut));
    }
    state.open.lock().unwrap().extend([client, server]);
}

fn pump(mut from: TcpStream, mut to: TcpStream, upwards: bool, state: &State, cut: &AtomicBool) {
    from.set_read_timeout(Some(LOOK)).unwrap();
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => continue,
            Err(_) => break,
        };
        let chunk = &bytes[..count];
        if !upwards && cut.load(Ordering::SeqCst) {
            break;
        }
        let commits = upwards && chunk.windows(6).any(|six| six == b"COMMIT");
        match state.mode() {
            Mode::Swallow => continue,
            Mode::CutNextStatement if upwards => break,
            Mode::LoseCommit if commits && state.break_once(Mode::LoseCommit) => break,
            Mode::LoseAnswerToCommit if commits && state.break_once(Mode::LoseAnswerToCommit) => {
                cut.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
        if to.write_all(chunk).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
