//! A disk without room, on SQLite: a small file system of the service's own.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::binary::*;
use crate::raw::eventually;
use crate::support::{Client, on_postgres};

const DISK_MB: u32 = 16;

/// The ways to get a file system of one's own: as root, or as root of a name space of one's own.
fn unshare() -> Option<&'static [&'static str]> {
    const WAYS: [&[&str]; 2] = [&["-m"], &["-r", "-m"]];
    let works = |way: &&&[&str]| {
        let mount = "mount -t tmpfs -o size=1m none /mnt";
        let tried = Command::new("unshare").args(**way).args(["sh", "-c", mount]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    WAYS.iter().find(works).copied()
}

/// The service on a small disk, which only its own name space sees.
struct SmallDisk {
    service: Service,
    /// The disk, seen from here.
    disk: PathBuf,
    _folder: Folder,
}

impl SmallDisk {
    fn start() -> Option<Self> {
        if on_postgres() {
            return None;
        }
        let Some(way) = unshare() else {
            let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: no file system can be mounted here ***\n");
            return None;
        };
        let folder = Folder::new();
        let disk = folder.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let inner = binary(folder.path(), &["serve"]);
        let mut command = Command::new("unshare");
        let script = format!("mount -t tmpfs -o size={DISK_MB}m none {} && exec \"$0\" serve", disk.display());
        command.args(way).args(["sh", "-c", &script]).arg(inner.get_program()).current_dir(folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLIPWAY_")) {
            command.env_remove(name);
        }
        command
            .env("DATABASE_URL", format!("sqlite:{}/slipway.db", disk.display()))
            .env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD);
        let service = Service::start(command);
        let seen = PathBuf::from(format!("/proc/{}/root{}", service.pid(), disk.display()));
        Some(Self { service, disk: seen, _folder: folder })
    }

    /// Fills the disk to the last byte.
    fn fill(&self) {
        let mut filler = std::fs::OpenOptions::new().create(true).append(true).open(self.disk.join("filler")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.disk.join("filler")).unwrap();
    }
}

fn body(title: &str) -> Value {
    json!({"title": title, "requester": {"name": "Ana Souza", "email": "ana@example.org"}})
}

fn titles(client: &Client) -> Vec<String> {
    let (mut titles, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/releases?limit=200{cursor}")).expect(200).body;
        titles.extend(page["data"].as_array().unwrap().iter().map(|r| r["title"].as_str().unwrap().to_owned()));
        match page["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return titles,
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_with_507_reads_go_on_and_room_is_all_it_takes() {
    let Some(small) = SmallDisk::start() else {
        return;
    };
    let admin = small.service.session("admin", ADMIN_PASSWORD);
    let first = admin.post("/releases", &body("before")).expect(201).id();
    for round in 0..2 {
        small.fill();
        // What room there is in the log is used up first.
        let mut stored = 0;
        eventually("a write is refused", || {
            let answer = admin.post_once("/releases", &format!("fill-{round}-{stored}"), &body("fills the log"));
            stored += 1;
            if answer.status == 507 {
                answer.problem(507, "STORAGE_FULL");
                return true;
            }
            answer.expect(201);
            false
        });
        for attempt in 0..20 {
            admin.post("/releases", &body("refused")).problem(507, "STORAGE_FULL");
            admin.get(&format!("/releases/{first}")).expect(200);
            let key = format!("kept-{round}-{attempt}");
            admin.post_once("/releases", &key, &body("later")).problem(507, "STORAGE_FULL");
        }
        admin.get("/releases").expect(200);
        small.make_room();
        // The same keys: nothing was kept under them.
        for attempt in 0..20 {
            let key = format!("kept-{round}-{attempt}");
            let answer = admin.post_once("/releases", &key, &body("later")).expect(201);
            assert_eq!(answer.header("idempotent-replayed"), "");
        }
    }
    let titles = titles(&admin);
    assert!(titles.iter().all(|title| title != "refused"));
    assert_eq!(titles.iter().filter(|title| *title == "later").count(), 40);
}

/// A file may not grow beyond this: writing further fails, and not for want of room.
const FILE_KB_MAX: u32 = 3 * 1024;

#[test]
fn a_commit_that_fails_without_a_reason_is_told_as_unknown_and_nothing_runs_again() {
    if on_postgres() {
        return;
    }
    let installation = Installation::new();
    drop(installation.serve());
    let inner = installation.command(&["serve"]);
    let mut command = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f {FILE_KB_MAX}; exec \"$0\" serve");
    command.args(["-c", &script]).arg(inner.get_program()).current_dir(installation.folder.path()).env_clear();
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let log = installation.folder.path().join("log");
    let service = Service::start_with_log(command, std::fs::File::create(&log).unwrap().into());
    let admin = service.session("admin", ADMIN_PASSWORD);
    let mut stored = 0;
    eventually("a commit fails", || {
        let answer = admin.post("/releases", &body("one"));
        match answer.status {
            201 => {
                stored += 1;
                false
            }
            _ => {
                answer.problem(503, "OUTCOME_UNKNOWN");
                true
            }
        }
    });
    assert!(stored > 0);
    // Reading goes on, and shows what was acknowledged.
    assert_eq!(titles(&admin).len(), stored);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("COMMIT") && !log.contains("runs once more"), "{log}");
    drop(service);
    let stored_after = titles(&installation.serve().session("admin", ADMIN_PASSWORD)).len();
    assert!([stored, stored + 1].contains(&stored_after), "{stored_after} of {stored}");
    installation.run(&["doctor"]).expect(0);
}

#[test]
fn everybody_who_writes_while_the_disk_fills_is_told_the_truth() {
    let Some(small) = SmallDisk::start() else {
        return;
    };
    let admin = small.service.session("admin", ADMIN_PASSWORD);
    let (acknowledged, refused) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let (admin, acknowledged, refused) = (&admin, &acknowledged, &refused);
            scope.spawn(move || {
                for write in 0.. {
                    let title = format!("{writer}-{write}");
                    let answer = admin.post("/releases", &body(&title));
                    match answer.status {
                        201 => acknowledged.lock().unwrap().push(title),
                        _ => {
                            answer.problem(507, "STORAGE_FULL");
                            refused.lock().unwrap().push(title);
                            return;
                        }
                    }
                }
            });
        }
        eventually("writes are acknowledged", || acknowledged.lock().unwrap().len() >= 100);
        small.fill();
    });
    small.make_room();
    assert_eq!(refused.lock().unwrap().len(), 16);
    let mut stored = titles(&admin);
    let mut acknowledged = acknowledged.into_inner().unwrap();
    stored.sort();
    acknowledged.sort();
    assert_eq!(stored, acknowledged);
    admin.post("/releases", &body("after")).expect(201);
}
