//! An acknowledged write is on the disk, and callers share the wait for it. A kill alone does not show that: what a
//! killed process wrote is still in the machine's memory. So the waits themselves are counted, under strace.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::binary::*;
use crate::support::{App, Client, lines, on_postgres};

/// So many writes follow one another.
const WRITES: usize = 20;
/// So many callers write at the same time, each so often.
const CALLERS: usize = 64;
const WRITES_EACH: usize = 8;
/// A wait for the disk is shared by so many acknowledged writes at least, when that many callers write. An unoptimised
/// build on a busy machine takes requests so slowly that few of them meet: there it shows only that they are shared.
const WRITES_PER_WAIT_MIN: usize = if cfg!(debug_assertions) { 2 } else { 16 };

/// The service with a record of some of its system calls.
struct Traced {
    service: Service,
    installation: Installation,
    trace: PathBuf,
}

/// True where processes may be traced here.
fn can_trace() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let can = strace.status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("\n*** SKIPPED: strace is not installed or not allowed; waits for the disk are not counted ***\n");
    }
    can
}

impl Traced {
    /// Starts the service with these system calls recorded.
    fn start(calls: &str) -> Self {
        let installation = Installation::new();
        let trace = installation.folder.path().join("trace");
        let serve = installation.command(&["serve"]);
        let mut command = Command::new("strace");
        // The service stays the child of this process (-D); calls that are not recorded are not slowed down.
        command.args(["-D", "-f", "--seccomp-bpf", "-y", "-s", "40", "-e"]).arg(format!("trace={calls}"));
        command.arg("-o").arg(&trace).arg(serve.get_program()).args(serve.get_args());
        command.current_dir(serve.get_current_dir().unwrap());
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD);
        Self { service: Service::start(command), installation, trace }
    }

    fn file(&self) -> String {
        self.installation.database.target.file().unwrap().display().to_string()
    }

    /// Ends the service; answers all that was recorded.
    fn end(mut self) -> Vec<String> {
        self.service.kill();
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(&self.trace).unwrap();
            if text.lines().any(|line| line.contains("+++ killed by SIGKILL")) {
                return text.lines().map(str::to_owned).collect();
            }
            assert!(started.elapsed() < Duration::from_secs(30), "the trace does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn create(client: &Client, title: String) {
    let requester = json!({"name": "Ana Souza", "email": "ana@example.org"});
    client.post("/releases", &json!({"title": title, "requester": requester})).expect(201);
}

/// What happened, in the order in which it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Request,
    /// A wait for the disk came to its end.
    OnDisk,
    Acknowledged,
}

/// The steps in a trace that concern writes of releases and the files of the database.
fn steps(trace: &[String], file: &str) -> Vec<Step> {
    let mut waiting = HashSet::new();
    let mut steps = Vec::new();
    for line in trace {
        let (process, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let is_wait = call.starts_with("fsync(") || call.starts_with("fdatasync(");
        if is_wait && call.contains(&format!("<{file}")) {
            if call.contains("<unfinished") {
                waiting.insert(process);
            } else if call.ends_with("= 0") {
                steps.push(Step::OnDisk);
            }
        } else if (call.starts_with("<... fsync resumed>") || call.starts_with("<... fdatasync resumed>"))
            && waiting.remove(process)
            && call.ends_with("= 0")
        {
            steps.push(Step::OnDisk);
        } else if call.contains("\"POST /api/v1/releases ") {
            steps.push(Step::Request);
        } else if call.starts_with("sendto(") && call.contains("\"HTTP/1.1 201") {
            steps.push(Step::Acknowledged);
        }
    }
    steps
}

#[test]
fn between_a_write_and_its_answer_lies_a_wait_for_the_disk() {
    if on_postgres() || !can_trace() {
        return; // PostgreSQL waits for its own disk.
    }
    let traced = Traced::start("fsync,fdatasync,recvfrom,sendto");
    let admin = traced.service.session("admin", ADMIN_PASSWORD);
    for write in 0..WRITES {
        create(&admin, format!("Write {write}"));
    }
    let log = format!("{}-wal", traced.file());
    let steps = steps(&traced.end(), &log);
    let count = |step: Step| steps.iter().filter(|other| **other == step).count();
    assert_eq!((count(Step::Request), count(Step::Acknowledged)), (WRITES, WRITES), "{steps:?}");
    for from in steps.iter().enumerate().filter(|(_, step)| **step == Step::Request).map(|(at, _)| at) {
        let until_answer = steps[from..].iter().take_while(|step| **step != Step::Acknowledged);
        let waits = until_answer.filter(|step| **step == Step::OnDisk).count();
        assert!(waits > 0, "a write was acknowledged before it was on the disk: {steps:?}");
    }
}

#[test]
fn callers_who_write_at_the_same_time_share_the_waits_for_the_disk() {
    if on_postgres() || !can_trace() {
        return;
    }
    let traced = Traced::start("fsync,fdatasync");
    let admin = traced.service.session("admin", ADMIN_PASSWORD);
    let file = traced.file();
    let waits = |trace: &Path| {
        let text = std::fs::read_to_string(trace).unwrap();
        let trace: Vec<String> = text.lines().map(str::to_owned).collect();
        steps(&trace, &file).len()
    };
    let before = waits(&traced.trace);
    let start = Arc::new(Barrier::new(CALLERS));
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (admin, start) = (&admin, Arc::clone(&start));
            scope.spawn(move || {
                start.wait();
                for write in 0..WRITES_EACH {
                    create(admin, format!("Write {caller} {write}"));
                }
            });
        }
    });
    let waits = waits(&traced.trace) - before;
    let writes = CALLERS * WRITES_EACH;
    eprintln!("{CALLERS} callers: {waits} waits for the disk, {writes} acknowledged writes");
    assert!(waits > 0);
    assert!(waits * WRITES_PER_WAIT_MIN <= writes, "{waits} waits for the disk for {writes} acknowledged writes");
}

#[test]
fn a_commit_on_postgresql_waits_for_the_log() {
    if !on_postgres() {
        return; // SQLite is looked at under strace.
    }
    let app = App::start();
    let setting = app.env.database.write_blocking::<_, slipway::repository::Error>(|connection| {
        Ok(lines(connection, "SELECT current_setting('synchronous_commit') AS line"))
    });
    assert_eq!(setting.unwrap(), ["on"]);
}
