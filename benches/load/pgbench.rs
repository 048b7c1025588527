//! What PostgreSQL reaches by itself: pgbench with the statements that the service sends for the same work.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::capture::Recorder;
use crate::client::Connection;
use crate::installation::{Fixture, Installation};
use crate::script;
use crate::work::{Caller, Work};

/// So many requests of a kind are recorded at most. Each client of pgbench repeats one of them, so that it plans its
/// statements once, as a connection of the service does.
const REQUESTS_MAX: usize = 64;

/// The script of one kind of work.
struct Script {
    work: Work,
    file: PathBuf,
}

/// pgbench for one database.
pub struct Pgbench {
    program: PathBuf,
    url: String,
    scripts: Vec<Script>,
}

fn program() -> Result<PathBuf, String> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|folder| folder.path().join("bin/pgbench"))
        .filter(|program| program.exists())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("pgbench")).find(|program| program.exists())
    });
    found.pop().or(on_path).ok_or_else(|| "pgbench is not installed (Debian: postgresql); or choose with --only".into())
}

impl Pgbench {
    /// Sends every kind of work through a proxy that reads along, and writes the scripts.
    pub fn prepare(
        folder: &Path,
        installation: &Installation,
        fixture: &Rc<Fixture>,
        work: &[Work],
    ) -> Result<Self, String> {
        let (url, server) = (installation.url(), host_and_port(installation.url())?);
        let recorder = Recorder::start(server.clone())?;
        let through = url.replacen(&server, &recorder.address.to_string(), 1);
        let recorded = installation.serve_also(folder, &through)?;
        std::fs::create_dir_all(folder.join("pgbench")).map_err(|error| error.to_string())?;
        let mut scripts = Vec::new();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        // What pgbench writes is no sound history: only a copy that is thrown away may be written to.
        let measured = |work: &Work| !work.is_bare() && (installation.is_copy() || !work.writes());
        for work in work.iter().copied().filter(measured) {
            fixture.refresh()?;
            let count = match work {
                // The same for every caller.
                Work::List(_) => 1,
                Work::Create | Work::CreateWithoutKey | Work::CreatePlanned => 1,
                Work::Board | Work::View | Work::Approvals => 1,
                // A release of its own for each.
                _ => REQUESTS_MAX.min(fixture.editables.len()),
            };
            let mut requests = Vec::new();
            for index in 0..count {
                let request = runtime.block_on(async {
                    let mut connection = Connection::open(recorded.address).await?;
                    let mut caller = Caller::new(fixture, index, count);
                    let (run, since) = (fixture.run.get().to_string(), milliseconds());
                    if index == 0 {
                        // The first request also opens connections and fills caches.
                        caller.act(work, &mut connection).await?;
                        caller.finish(work, &mut connection).await?;
                    }
                    recorder.take();
                    caller.act(work, &mut connection).await?;
                    caller.finish(work, &mut connection).await?;
                    script::write(&recorder.take(), since, &run)
                })?;
                requests.push(request);
            }
            let text = format!("\\set own :client_id % {count}\n{}", one_of(&requests, 0));
            let name = work.label().replace([' ', ':', ',', '+'], "-");
            let file = folder.join("pgbench").join(format!("{name}-{}.sql", installation.kind.releases));
            std::fs::write(&file, text).map_err(|error| error.to_string())?;
            scripts.push(Script { work, file });
        }
        Ok(Self { program: program()?, url: url.to_owned(), scripts })
    }

    /// Requests a second of the same work without the service; `None` where there is no script of it.
    pub fn measure(&self, work: Work, callers: usize, slice: Duration) -> Result<Option<f64>, String> {
        let Some(script) = self.scripts.iter().find(|script| script.work.label() == work.label()) else {
            return Ok(None);
        };
        let mut command = Command::new(&self.program);
        // Its first second is not counted: it opens connections and plans. Of the last one it may not tell.
        let seconds = slice.as_secs_f64().ceil().max(1.0);
        command.args(["-n", "-M", "prepared", "-P", "1", "-j", "1"]);
        command.args(["-c", &callers.to_string(), "-T", &(seconds + 2.0).to_string(), "-f"]).arg(&script.file);
        let output = command.arg(&self.url).output().map_err(|error| error.to_string())?;
        let (told, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let per_second =
            |line: &str| line.strip_prefix("progress: ")?.split_once(" s, ")?.1.split_once(' ')?.0.parse().ok();
        let warm: Vec<f64> = progress.lines().filter_map(per_second).skip(1).take(seconds as usize).collect();
        if !output.status.success() {
            return Err(shortened(&progress));
        }
        if warm.is_empty() {
            return Err(format!("pgbench told of no second of {}", work.label()));
        }
        let transactions = warm.iter().sum::<f64>() / warm.len() as f64;
        if told.lines().any(|line| line.starts_with("number of failed transactions") && !line.contains(": 0 ")) {
            return Err(format!("pgbench: {told}"));
        }
        // One script suspends and reactivates.
        let requests = if matches!(work, Work::SuspendAndReactivate) { 2.0 } else { 1.0 };
        Ok(Some(transactions * requests))
    }
}

/// A script that runs the request of its client: the client finds it by halves.
fn one_of(requests: &[String], first: usize) -> String {
    if requests.len() < 2 {
        return requests.concat();
    }
    let (left, right) = requests.split_at(requests.len() / 2);
    let middle = first + left.len();
    format!("\\if :own < {middle}\n{}\\else\n{}\\endif\n", one_of(left, first), one_of(right, middle))
}

/// What pgbench complains of, without the progress before it.
fn shortened(error: &str) -> String {
    let (_, complaint) = error.split_once("pgbench: error: ").unwrap_or(("", error));
    format!("pgbench: {}", complaint.lines().take(2).collect::<Vec<_>>().join(" "))
}

/// Host and port out of the address of a database.
fn host_and_port(url: &str) -> Result<String, String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.contains(':') { Ok(host.to_owned()) } else { Err(format!("{host}: name the port, such as {host}:5432")) }
}

fn milliseconds() -> u64 {
    let elapsed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Mean of the rounds.
#[derive(Debug, Default)]
pub struct Mean {
    sum: Cell<f64>,
    count: Cell<f64>,
}

impl Mean {
    pub fn add(&self, value: f64) {
        self.sum.set(self.sum.get() + value);
        self.count.set(self.count.get() + 1.0);
    }

    pub fn value(&self) -> f64 {
        self.sum.get() / self.count.get().max(1.0)
    }
}
