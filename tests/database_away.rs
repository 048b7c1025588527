//! PostgreSQL goes away in every way that it can, and comes back.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::binary::*;
use crate::proxy::{Mode, Proxy};
use crate::raw::eventually;
use crate::support::{Answer, Client, POSTGRES, lines, on_postgres};

/// The promise is a second; this leaves room for a machine that does everything at once.
const ANSWER_MAX: Duration = Duration::from_millis(4_000);
/// The promise is five seconds.
const BACK_MAX: Duration = Duration::from_secs(8);

fn body(title: &str) -> Value {
    json!({"title": title, "requester": {"name": "Ana Souza", "email": "ana@example.org"}})
}

fn create(client: &Client, title: &str) -> Answer {
    client.post_once("/releases", &title.replace(' ', "-"), &body(title))
}

/// The address with another host and port.
fn through(url: &str, port: u16) -> String {
    let (credentials, rest) = url.split_once('@').unwrap();
    let (_, name) = rest.split_once('/').unwrap();
    format!("{credentials}@127.0.0.1:{port}/{name}")
}

fn server_of(url: &str) -> String {
    let rest = url.split_once('@').unwrap().1;
    let host = rest.split('/').next().unwrap();
    if host.contains(':') { host.to_owned() } else { format!("{host}:5432") }
}

/// The service, with a proxy between it and its database.
struct Setting {
    installation: Installation,
    proxy: Proxy,
    _service: Service,
    admin: Client,
}

impl Setting {
    fn start() -> Option<Self> {
        if !on_postgres() {
            return None;
        }
        let installation = Installation::new();
        let url = installation.database_url();
        let proxy = Proxy::start(&server_of(&url));
        let mut command = installation.command(&["serve"]);
        command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD).env("DATABASE_URL", through(&url, proxy.port));
        let service = Service::start(command);
        let admin = service.session("admin", ADMIN_PASSWORD);
        // What the service does by itself at its start shares the proxy.
        let mut connection = installation.database.open().connect().unwrap();
        let done = "SELECT name AS line FROM leases WHERE done_at IS NOT NULL";
        eventually("what was due is done", || lines(&mut connection, done).len() == 4);
        Some(Self { installation, proxy, _service: service, admin })
    }

    fn titles(&self) -> Vec<String> {
        titles(&self.admin)
    }

    fn assert_sound(&self) {
        self.installation.run(&["doctor"]).expect(0);
    }
}

fn titles(client: &Client) -> Vec<String> {
    let (mut titles, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/releases?limit=200{cursor}")).expect(200).body;
        titles.extend(page["data"].as_array().unwrap().iter().map(|r| r["title"].as_str().unwrap().to_owned()));
        match page["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    titles.sort();
    titles
}

/// The answer, which came in time: 503 with the time to come back.
#[track_caller]
fn refused(began: Instant, answer: Answer) {
    assert!(began.elapsed() < ANSWER_MAX, "after {:?}: {}", began.elapsed(), answer.text);
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(answer.header("retry-after"), "1");
}

/// Polls until the service works again; within the time that is promised.
#[track_caller]
fn back(client: &Client) {
    let began = Instant::now();
    loop {
        let answer = client.get("/me");
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(began.elapsed() < BACK_MAX, "not back after {:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = writeln!(std::io::stderr(), "back after {:?}", began.elapsed());
}

/// Reads and writes while the database is away, one after the other and many at once.
fn assert_refused(setting: &Setting) {
    let admin = &setting.admin;
    for turn in 0..4 {
        let began = Instant::now();
        if turn % 2 == 0 {
            refused(began, admin.get("/me"));
        } else {
            refused(began, create(admin, "while away"));
        }
        let _ = writeln!(std::io::stderr(), "refused after {:?}", began.elapsed());
    }
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let began = Instant::now();
                refused(began, admin.get("/releases"));
            });
        }
    });
    let livez = reqwest::blocking::get(format!("{}/livez", admin.base)).unwrap();
    assert_eq!(livez.status().as_u16(), 200);
}

#[test]
fn while_nobody_listens_everybody_is_told_within_a_second_and_it_comes_back_by_itself() {
    let Some(setting) = Setting::start() else { return };
    for round in 0..2 {
        create(&setting.admin, &format!("before {round}")).expect(201);
        setting.proxy.set(Mode::Refuse);
        eventually("the database is away", || setting.admin.get("/me").status == 503);
        assert_refused(&setting);
        setting.proxy.set(Mode::Pass);
        back(&setting.admin);
        create(&setting.admin, &format!("after {round}")).expect(201);
    }
    assert_eq!(setting.titles(), ["after 0", "after 1", "before 0", "before 1"]);
    setting.assert_sound();
}

#[test]
fn a_network_that_swallows_everything_is_noticed_within_a_second() {
    let Some(setting) = Setting::start() else { return };
    for round in 0..3 {
        create(&setting.admin, &format!("before {round}")).expect(201);
        setting.proxy.set(Mode::Swallow);
        assert_refused(&setting);
        // The connections that hang are never closed: new ones must do.
        setting.proxy.set(Mode::Pass);
        back(&setting.admin);
        create(&setting.admin, &format!("after {round}")).expect(201);
    }
    assert_eq!(setting.titles().len(), 6, "what was refused was not done behind anybody's back");
    setting.assert_sound();
}

#[test]
fn what_was_refused_while_packets_were_swallowed_is_not_done_when_they_come_through_at_last() {
    let Some(setting) = Setting::start() else { return };
    // The server itself stands still while it works on the write: a lock that somebody holds, and no answer to anything.
    let mut holder = diesel::PgConnection::establish(&setting.installation.database_url()).unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE releases IN ACCESS EXCLUSIVE MODE").unwrap();
    let admin = setting.admin.clone();
    let writing = std::thread::spawn(move || create(&admin, "in the dark"));
    let waiting = "SELECT count(*)::text AS line FROM pg_locks WHERE NOT granted";
    let mut watcher = setting.installation.database.open().connect().unwrap();
    eventually("the write waits", || crate::support::lines(&mut watcher, waiting) != ["0"]);
    setting.proxy.set(Mode::Swallow);
    writing.join().unwrap().problem(503, "UNAVAILABLE");
    holder.batch_execute("ROLLBACK").unwrap();
    setting.proxy.set(Mode::Pass);
    back(&setting.admin);
    assert!(setting.titles().is_empty());
    // What the server still holds for a connection that it believes in, it lets go within seconds.
    eventually("the write is done at last", || create(&setting.admin, "in the dark").status == 201);
    assert_eq!(setting.titles(), ["in the dark"]);
    setting.assert_sound();
}

#[test]
fn a_slow_statement_is_not_taken_for_a_database_that_is_away() {
    let Some(setting) = Setting::start() else { return };
    let mut holder = diesel::PgConnection::establish(&setting.installation.database_url()).unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE releases IN ACCESS EXCLUSIVE MODE").unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| create(&setting.admin, "slow"));
        // Longer than any silence that is suffered.
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            assert!(!slow.is_finished());
            std::thread::sleep(Duration::from_millis(20));
        }
        holder.batch_execute("ROLLBACK").unwrap();
        slow.join().unwrap().expect(201);
    });
}

#[test]
fn connections_that_the_server_ends_are_replaced_and_nobody_notices() {
    let Some(setting) = Setting::start() else { return };
    let mut killer = diesel::PgConnection::establish(&setting.installation.database_url()).unwrap();
    let over = AtomicBool::new(false);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (setting, over, done) = (&setting, &over, &done);
            scope.spawn(move || {
                for write in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let title = format!("{writer}-{write}");
                    // A COMMIT that was cut off is told as such; the key tells what became of it.
                    eventually("the write is acknowledged", || match create(&setting.admin, &title) {
                        answer if answer.status == 201 => true,
                        answer => {
                            assert_eq!(answer.status, 503, "{}", answer.text);
                            false
                        }
                    });
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..5 {
            let from = done.load(Ordering::SeqCst);
            eventually("writes go on", || done.load(Ordering::SeqCst) > from + 20);
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
            killer.batch_execute(kill).unwrap();
        }
        over.store(true, Ordering::SeqCst);
    });
    // Idle connections that were ended in their sleep: the next read, and the next write, are answered.
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    killer.batch_execute(kill).unwrap();
    setting.admin.get("/me").expect(200);
    killer.batch_execute(kill).unwrap();
    create(&setting.admin, "after").expect(201);
    let titles = setting.titles();
    assert_eq!(titles.len(), done.load(Ordering::SeqCst) + 1);
    assert!(titles.windows(2).all(|pair| pair[0] != pair[1]), "something happened twice");
    setting.assert_sound();
}

#[test]
fn a_connection_that_breaks_in_the_middle_of_the_work_costs_nobody_anything() {
    let Some(setting) = Setting::start() else { return };
    for turn in 0..5 {
        let title = format!("turn {turn}");
        setting.proxy.set(Mode::CutNextStatement);
        let answer = create(&setting.admin, &title);
        assert_eq!(answer.status, 503, "{}", answer.text);
        setting.proxy.set(Mode::Pass);
        back(&setting.admin);
        assert!(!setting.titles().contains(&title));
        // Connections are there; each is cut once in its next statement, and replaced.
        setting.proxy.cut();
        let answer = create(&setting.admin, &title).expect(201);
        assert_eq!(answer.header("idempotent-replayed"), "");
    }
    assert_eq!(setting.titles().len(), 5);
    setting.assert_sound();
}

#[test]
fn a_commit_without_an_answer_is_told_as_unknown_and_its_key_tells_the_rest() {
    let Some(setting) = Setting::start() else { return };
    for turn in 0..5 {
        for (mode, happened) in [(Mode::LoseAnswerToCommit, true), (Mode::LoseCommit, false)] {
            let title = format!("{turn} {mode:?}");
            let broken = setting.proxy.broken();
            setting.proxy.set(mode);
            let answer = create(&setting.admin, &title).problem(503, "OUTCOME_UNKNOWN");
            assert_eq!(answer.header("retry-after"), "1");
            assert_eq!(setting.proxy.broken(), broken + 1);
            back(&setting.admin);
            assert_eq!(setting.titles().contains(&title), happened);
            let again = create(&setting.admin, &title).expect(201);
            assert_eq!(again.header("idempotent-replayed"), if happened { "true" } else { "" });
            assert_eq!(create(&setting.admin, &title).expect(201).id(), again.id());
        }
    }
    assert_eq!(setting.titles().len(), 10);
    setting.assert_sound();
}

/// A PostgreSQL of the test's own, which can be stopped and started.
struct Cluster {
    folder: Folder,
    port: u16,
    binaries: PathBuf,
}

impl Cluster {
    fn start() -> Option<Self> {
        if POSTGRES.is_none() {
            return None;
        }
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
        found.retain(|folder| folder.join("initdb").exists());
        found.sort();
        let Some(binaries) = found.pop() else {
            let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: no server binaries of PostgreSQL are here ***\n");
            return None;
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { folder: Folder::new(), port, binaries };
        // The server refuses to run as root.
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(cluster.folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = cluster.data();
        cluster.run("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync"]);
        cluster.up();
        Some(cluster)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.binaries.join(program);
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut command = match root {
            true => Command::new("runuser"),
            false => Command::new(&program),
        };
        if root {
            command.args(["-u", "postgres", "--"]).arg(&program);
        }
        // What stays behind keeps no pipe open.
        let status = command.args(arguments).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.unwrap().success(), "{} {arguments:?}", program.display());
    }

    fn up(&self) {
        let options = format!("-p {} -k {} -c listen_addresses=127.0.0.1", self.port, self.folder.path().display());
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-o", &options, "start"]);
    }

    fn down(&self, how: &str) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", how, "stop"]);
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Cluster {
    /// The binary, in a folder, on this server.
    fn command(&self, folder: &Folder, arguments: &[&str]) -> Command {
        let mut command = binary(folder.path(), arguments);
        command.env("DATABASE_URL", self.url()).env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD);
        command
    }

    /// A service on this server, and its administrator.
    fn serve(&self, folder: &Folder) -> (Service, Client) {
        finish(self.command(folder, &["migrate", "up"]), "").expect(0);
        let service = Service::start(self.command(folder, &["serve"]));
        let admin = service.session("admin", ADMIN_PASSWORD);
        (service, admin)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(format!("{}/postmaster.pid", self.data())).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args(["-QUIT", pid]).status();
        }
    }
}

#[test]
fn a_server_stopped_and_started_under_load_loses_nothing_and_does_nothing_twice() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = Folder::new();
    let command = |arguments: &[&str]| cluster.command(&folder, arguments);
    let (service, admin) = cluster.serve(&folder);
    let over = AtomicBool::new(false);
    let acknowledged = Mutex::new(HashMap::new());
    let slowest = Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (admin, over, acknowledged, slowest) = (&admin, &over, &acknowledged, &slowest);
            scope.spawn(move || {
                for write in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let title = format!("{writer}-{write}");
                    eventually("the write is acknowledged", || {
                        let began = Instant::now();
                        let answer = create(admin, &title);
                        if answer.status == 201 {
                            acknowledged.lock().unwrap().insert(title.clone(), answer.id());
                            return true;
                        }
                        assert_eq!(answer.status, 503, "{}", answer.text);
                        let mut slowest = slowest.lock().unwrap();
                        *slowest = began.elapsed().max(*slowest);
                        std::thread::sleep(Duration::from_millis(10));
                        false
                    });
                }
            });
        }
        for how in ["fast", "immediate", "fast"] {
            let from = acknowledged.lock().unwrap().len();
            eventually("writes go on", || acknowledged.lock().unwrap().len() > from + 50);
            cluster.down(how);
            eventually("the database is away", || admin.get("/me").status == 503);
            cluster.up();
            back(&admin);
        }
        over.store(true, Ordering::SeqCst);
    });
    let slowest = slowest.into_inner().unwrap();
    let _ = writeln!(std::io::stderr(), "slowest refusal {slowest:?}");
    assert!(slowest < ANSWER_MAX, "{slowest:?}");
    let mut expected: Vec<String> = acknowledged.into_inner().unwrap().into_keys().collect();
    expected.sort();
    assert_eq!(titles(&admin), expected);
    finish(command(&["doctor"]), "").expect(0);
    drop(service);
}

#[test]
fn a_server_that_stands_still_is_noticed_and_taken_up_again_when_it_goes_on() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = Folder::new();
    let (_service, admin) = cluster.serve(&folder);
    // Every process of the server: it accepts connections, in the kernel, and says nothing.
    let all = |signal: &str| {
        let script =
            format!("head -1 {data}/postmaster.pid; pgrep -P $(head -1 {data}/postmaster.pid)", data = cluster.data());
        let pids = Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
        for pid in String::from_utf8(pids).unwrap().split_whitespace() {
            let _ = Command::new("kill").args([signal, pid]).status();
        }
    };
    all("-STOP");
    for turn in 0..4 {
        let began = Instant::now();
        refused(began, if turn % 2 == 0 { admin.get("/me") } else { create(&admin, "meanwhile") });
    }
    all("-CONT");
    back(&admin);
    create(&admin, "after").expect(201);
    assert!(!titles(&admin).contains(&"meanwhile".to_owned()));
}
