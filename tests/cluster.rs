//! A PostgreSQL server of a test's own, that it may stop.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use slipway::repository::Target;

use crate::binary::{Folder, Installation};
use crate::support::TestDatabase;

/// The server; it ends with the test.
pub struct Cluster {
    folder: Folder,
    binaries: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes and starts a server; nothing where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let binaries =
            versions.map(|entry| entry.unwrap().path().join("bin")).filter(|path| path.join("initdb").exists());
        let binaries = binaries.max()?;
        let folder = Folder::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { folder, binaries, port };
        if is_root() {
            // The server refuses to be root.
            let owned = Command::new("chown").arg("postgres").arg(cluster.folder.path()).status().unwrap();
            assert!(owned.success());
        }
        cluster.run("initdb", &["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]);
        cluster.up();
        Some(cluster)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.binaries.join(program);
        let mut command = if is_root() { as_postgres(&program) } else { Command::new(program) };
        command.arg("-D").arg(self.folder.path().join("data")).args(arguments).current_dir(self.folder.path());
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{command:?} ended with {status}");
    }

    fn up(&self) {
        let log = self.folder.path().join("log");
        // What a process wrote survives its death; only a loss of power needs the wait for the disk.
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=100",
            self.port,
            self.folder.path().display()
        );
        self.run("pg_ctl", &["-w", "-l", log.to_str().unwrap(), "-o", &options, "start"]);
    }

    /// Stops the server as a crash does, without an end of any transaction, and starts it again.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-m", "immediate", "-w", "stop"]);
        self.up();
    }

    /// Ends every connection.
    pub fn end_connections(&self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        self.connect().batch_execute(end).unwrap();
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.url("postgres")).unwrap()
    }

    /// An installation on a new, migrated database.
    pub fn installation(&self, name: &str) -> Installation {
        self.connect().batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        Installation::on(TestDatabase::borrowed(Target::Postgres(self.url(name))))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}
