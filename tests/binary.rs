//! The real binary on a database and in a folder of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use slipway::repository::Target;

use crate::support::{Client, TestDatabase};

/// Password of `admin`, where a test does not want one made up.
pub const ADMIN_PASSWORD: &str = "a long enough password";

/// A folder that is taken away again.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = format!("slipway-binary-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command left behind.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The same, which must have ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// The one line on standard error of a command that failed with this code.
    #[track_caller]
    pub fn failure(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("slipway: "), "{self:?}");
        self.stderr.trim_end().to_owned()
    }
}

/// A folder to work in and a database to work on.
pub struct Installation {
    pub folder: Folder,
    pub database: TestDatabase,
}

impl Installation {
    /// Nothing has happened yet, but that PostgreSQL is migrated.
    pub fn new() -> Self {
        let installation = Self::without_migrations();
        if crate::support::on_postgres() {
            installation.run(&["migrate", "up"]).expect(0);
        }
        installation
    }

    /// Nothing has happened yet.
    pub fn without_migrations() -> Self {
        Self { folder: Folder::new(), database: TestDatabase::empty() }
    }

    pub fn database_url(&self) -> String {
        match &self.database.target {
            Target::Sqlite(file) => format!("sqlite:{}", file.display()),
            Target::Postgres(url) => url.clone(),
        }
    }

    /// The binary, in the folder, with an environment that says nothing but the database.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary(self.folder.path(), arguments);
        command.env("DATABASE_URL", self.database_url());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments), "")
    }

    /// Runs a command that reads a line.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        finish(self.command(arguments), input)
    }

    /// Starts the service with [`ADMIN_PASSWORD`] for `admin`.
    pub fn serve(&self) -> Service {
        let mut command = self.command(&["serve"]);
        command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD);
        Service::start(command)
    }
}

/// The binary, in a folder, with an environment that sets nothing.
pub fn binary(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLIPWAY_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).env_remove("DATABASE_URL").env_remove("RUST_LOG");
    command
}

/// Runs a command to its end.
pub fn finish(mut command: Command, input: &str) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input closes it: that is no fault.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The running service.
pub struct Service {
    child: Child,
    pub address: String,
    /// What it printed up to the login line.
    pub printed: Vec<String>,
}

impl Service {
    /// Starts it on a free port and waits until it prints the login line, the last of its start.
    pub fn start(command: Command) -> Self {
        Self::start_with_log(command, Stdio::null())
    }

    /// The same with its log lines going somewhere.
    pub fn start_with_log(mut command: Command, log: Stdio) -> Self {
        command.env("SLIPWAY_LISTEN", "127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut printed = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            printed.push(line.unwrap());
            if printed.last().is_some_and(|line| line.starts_with("Log in")) {
                break;
            }
        }
        let address = printed.iter().find_map(|line| line.strip_prefix("API ")?.trim().strip_prefix("http://"));
        let Some(address) = address.and_then(|rest| rest.split('/').next()).map(str::to_owned) else {
            panic!("the service did not start: {printed:?}, {:?}", child.wait());
        };
        Self { child, address, printed }
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A client with a token.
    pub fn client(&self, token: Option<&str>) -> Client {
        Client {
            base: format!("http://{}", self.address),
            token: token.map(str::to_owned),
            http: reqwest::blocking::Client::builder().timeout(std::time::Duration::from_secs(60)).build().unwrap(),
        }
    }

    /// Logs in; answers the status and the body.
    pub fn login(&self, username: &str, password: &str) -> (u16, Value) {
        let answer = self.client(None).post("/auth/login", &json!({"username": username, "password": password}));
        (answer.status, answer.body)
    }

    /// A client with a session.
    #[track_caller]
    pub fn session(&self, username: &str, password: &str) -> Client {
        let (status, body) = self.login(username, password);
        assert_eq!(status, 200, "{body}");
        self.client(Some(body["access_token"].as_str().unwrap()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
