//! Backup and restore, by the real binary.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use slipway::repository::Target;

use crate::binary::*;
use crate::support::{Client, assert_no_table_is_known_to_be_empty, on_postgres};

const WRITERS: usize = 8;
/// So many writes are acknowledged before the backup begins, and so many more while it is made or after it.
const WRITES_BEFORE: usize = 60;

/// An installation that has been started once, so that it has an administrator.
fn started() -> Installation {
    let installation = Installation::new();
    drop(installation.serve());
    installation
}

fn path(installation: &Installation, name: &str) -> PathBuf {
    installation.folder.path().join(name)
}

fn release(title: &str) -> Value {
    json!({"title": title, "requester": {"name": "Ana Souza", "email": "ana@example.org"}})
}

/// Brings the key file of one installation to another.
fn carry_key(from: &Installation, to: &Installation) {
    std::fs::copy(path(from, "slipway.key"), path(to, "slipway.key")).unwrap();
}

/// Everything on the pages of a list.
fn everything(client: &Client, path: &str) -> Vec<Value> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{separator}limit=200{cursor}")).expect(200);
        items.extend(page.body["data"].as_array().unwrap().iter().cloned());
        match page.body["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// The names in a folder that are not what a test put there.
fn leftovers(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".part") || name.ends_with("-journal")).collect()
}

#[test]
fn a_backup_under_write_load_restores_to_a_service_that_goes_on() {
    let original = Installation::new();
    let service = original.serve();
    let admin = service.session("admin", ADMIN_PASSWORD);
    let acknowledged = Mutex::new(HashMap::<String, Value>::new());
    let stop = AtomicBool::new(false);
    let before = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (admin, acknowledged, stop) = (admin.clone(), &acknowledged, &stop);
            scope.spawn(move || {
                for write in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let key = format!("writer-{writer}-write-{write}");
                    let made = admin.post_once("/releases", &key, &release(&key)).expect(201);
                    let path = format!("/releases/{}", made.id());
                    admin.patch(&path, "*", &json!({"description": "Patched"})).expect(200);
                    acknowledged.lock().unwrap().insert(key, made.body);
                }
            });
        }
        while acknowledged.lock().unwrap().len() < WRITES_BEFORE {
            std::thread::yield_now();
        }
        let before = acknowledged.lock().unwrap().clone();
        let run = original.run(&["backup", "kept.backup"]);
        while acknowledged.lock().unwrap().len() < before.len() + WRITERS {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
        let run = run.expect(0);
        assert!(run.stdout.contains("ok     audit chains") && run.stdout.contains("key file"), "{}", run.stdout);
        before
    });
    let file = path(&original, "kept.backup");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(leftovers(original.folder.path()), [""; 0]);
    let mut whole = HashMap::<String, String>::new();
    for row in everything(&admin, "/audit") {
        whole.insert(row["id"].as_str().unwrap().to_owned(), row["hash"].as_str().unwrap().to_owned());
    }

    let place = Installation::without_migrations();
    carry_key(&original, &place);
    let run = place.run(&["restore", file.to_str().unwrap()]).expect(0);
    assert_no_table_is_known_to_be_empty(&place.database);
    assert!(run.stdout.contains("Restored") && run.stdout.contains("fits"), "{}", run.stdout);
    let doctor = place.run(&["doctor"]).expect(0);
    assert!(doctor.stdout.lines().all(|line| line.starts_with("ok ")), "{}", doctor.stdout);

    let restored = place.serve();
    let admin = restored.session("admin", ADMIN_PASSWORD);
    let releases = everything(&admin, "/releases");
    let stored: HashMap<&str, &Value> = releases.iter().map(|r| (r["title"].as_str().unwrap(), r)).collect();
    for (title, release) in &before {
        assert_eq!(stored.get(title.as_str()).map(|stored| &stored["id"]), Some(&release["id"]), "{title}");
    }
    let after = acknowledged.into_inner().unwrap();
    assert!(after.len() > before.len());
    // What the backup has of history is the history of the original, row by row.
    let rows = everything(&admin, "/audit?record_type=release");
    assert!(rows.len() >= before.len() * 2);
    for row in rows {
        assert_eq!(whole.get(row["id"].as_str().unwrap()).map(String::as_str), row["hash"].as_str(), "{row}");
    }
    let (key, first) = before.iter().next().unwrap();
    let again = admin.post_once("/releases", key, &release(key)).expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", first));
    admin.post("/releases", &release("After the restore")).expect(201);
    place.run(&["doctor"]).expect(0);
}

#[test]
fn a_backup_takes_no_name_that_something_has() {
    let installation = started();
    installation.run(&["backup", "one.backup"]).expect(0);
    let first = std::fs::read(path(&installation, "one.backup")).unwrap();
    assert!(installation.run(&["backup", "one.backup"]).failure(1).contains("--force"));
    assert_eq!(std::fs::read(path(&installation, "one.backup")).unwrap(), first);
    installation.database.execute("UPDATE settings SET value = value || ' '");
    installation.run(&["backup", "one.backup", "--force"]).expect(0);
    assert_ne!(std::fs::read(path(&installation, "one.backup")).unwrap(), first);

    assert!(installation.run(&["backup", "."]).failure(1).contains("folder"));
    installation.run(&["backup", "no/such/folder/x.backup"]).failure(1);
    if let Target::Sqlite(file) = &installation.database.target {
        for own in ["", "-wal", ".lock"] {
            let own = format!("{}{own}", file.display());
            assert!(installation.run(&["backup", &own, "--force"]).failure(1).contains("itself"));
        }
        installation.run(&["doctor"]).expect(0);
    }
    assert_eq!(leftovers(installation.folder.path()), [""; 0]);
}

#[test]
fn a_database_that_is_not_there_or_not_ours_is_not_backed_up() {
    let folder = Folder::new();
    finish(binary(folder.path(), &["backup", "x.backup"]), "").failure(4);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let installation = Installation::without_migrations();
    installation.database.execute("CREATE TABLE others (id TEXT)");
    assert!(installation.run(&["backup", "x.backup"]).failure(1).contains("no database of slipway"));
    assert!(!path(&installation, "x.backup").exists());
}

#[test]
fn an_unsound_database_gives_no_backup_and_the_row_is_named() {
    let installation = Installation::new();
    let id = {
        let service = installation.serve();
        service.session("admin", ADMIN_PASSWORD).post("/releases", &release("One")).expect(201).id()
    };
    installation.database.execute(&format!("UPDATE audit SET actor_name = 'bdmin' WHERE record_id = '{id}'"));
    let run = installation.run(&["backup", "x.backup"]).expect(5);
    assert!(run.stdout.contains(&format!("FAULT  audit chains: release {id} row 1")), "{}", run.stdout);
    assert!(!path(&installation, "x.backup").exists());
    assert_eq!(leftovers(installation.folder.path()), [""; 0]);
}

#[test]
fn a_restore_replaces_nothing_unless_it_is_forced() {
    let original = started();
    original.run(&["backup", "one.backup"]).expect(0);
    let file = path(&original, "one.backup");
    let file = file.to_str().unwrap();

    let place = Installation::new();
    let service = place.serve();
    service.session("admin", ADMIN_PASSWORD).post("/units", &json!({"name": "Theirs"})).expect(201);
    // While the service runs, not even that.
    place.run(&["restore", file, "--force"]).failure(4);
    drop(service);
    let units = |place: &Installation| {
        let service = place.serve();
        everything(&service.session("admin", ADMIN_PASSWORD), "/units").len()
    };
    let line = place.run(&["restore", file]).failure(1);
    assert!(line.contains("--force"), "{line}");
    assert_eq!(units(&place), 1);

    let run = restored_over(&place, file);
    assert!(run.contains("another one"), "{run}");
    assert!(place.run(&["serve"]).failure(3).contains("another key file"));
    carry_key(&original, &place);
    assert_eq!(units(&place), 0);
    place.run(&["doctor"]).expect(0);
}

/// Restores by force; answers what was said.
fn restored_over(place: &Installation, file: &str) -> String {
    place.run(&["restore", file, "--force"]).expect(0).stdout
}

#[test]
fn the_log_of_the_database_before_never_gets_into_the_restored_one() {
    let original = started();
    original.run(&["backup", "one.backup"]).expect(0);
    let Target::Sqlite(_) = original.database.target else {
        return;
    };
    let place = Installation::without_migrations();
    let Target::Sqlite(database) = &place.database.target else { unreachable!() };
    // Killed in the middle of its work, a service leaves its log behind.
    let service = place.serve();
    let admin = service.session("admin", ADMIN_PASSWORD);
    for unit in 0..20 {
        admin.post("/units", &json!({"name": format!("Unit {unit}")})).expect(201);
    }
    drop(service);
    let log = PathBuf::from(format!("{}-wal", database.display()));
    assert!(log.metadata().unwrap().len() > 0);
    let copy = std::fs::read(&log).unwrap();
    let file = path(&original, "one.backup");
    restored_over(&place, file.to_str().unwrap());
    assert!(!log.exists());

    // The file is gone and its log is there: whose is it?
    std::fs::remove_file(database).unwrap();
    std::fs::write(&log, copy).unwrap();
    assert!(place.run(&["restore", file.to_str().unwrap()]).failure(1).contains("-wal"));
    restored_over(&place, file.to_str().unwrap());
    carry_key(&original, &place);
    place.run(&["doctor"]).expect(0);
    let service = place.serve();
    assert!(everything(&service.session("admin", ADMIN_PASSWORD), "/units").is_empty());
}

#[test]
fn a_database_that_cannot_be_opened_any_more_is_replaced_by_force() {
    let installation = started();
    let Target::Sqlite(database) = &installation.database.target else {
        return;
    };
    installation.run(&["backup", "one.backup"]).expect(0);
    std::fs::write(database, vec![b'x'; 10_000]).unwrap();
    installation.run(&["doctor"]).failure(4);
    installation.run(&["restore", "one.backup"]).failure(1);
    restored_over(&installation, "one.backup");
    installation.run(&["doctor"]).expect(0);
    installation.serve().session("admin", ADMIN_PASSWORD);
}

#[test]
fn what_is_no_backup_for_this_database_is_refused_and_nothing_is_touched() {
    let original = started();
    original.run(&["backup", "one.backup"]).expect(0);
    let whole = std::fs::read(path(&original, "one.backup")).unwrap();
    let place = started();
    let before = place.run(&["doctor"]).expect(0).stdout;
    let refused = |name: &str, content: &[u8], says: &str| {
        std::fs::write(path(&place, name), content).unwrap();
        let run = place.run(&["restore", name, "--force"]);
        assert!([1, 4, 5].contains(&run.code), "{name}: {run:?}");
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(told.contains(says), "{name}: {told}");
    };
    refused("empty", b"", "no backup");
    refused("text", b"hello", "no backup");
    refused("cut", &whole[..whole.len() / 2], "");
    let (other, kind): (&[u8], _) = match on_postgres() {
        true => (b"SQLite format 3\0and so on", "a backup of SQLite"),
        false => (b"PGDMP and so on", "a backup of PostgreSQL"),
    };
    refused("other", other, kind);
    assert!(place.run(&["restore", "nowhere", "--force"]).failure(1).contains("nowhere"));
    assert_eq!(place.run(&["doctor"]).expect(0).stdout, before);
    assert_eq!(leftovers(place.folder.path()), [""; 0]);
}

#[test]
fn a_backup_of_an_older_version_is_migrated_and_one_of_a_later_version_refused() {
    let original = started();
    original.run(&["migrate", "down", "1"]).expect(0);
    let run = original.run(&["backup", "older.backup"]).expect(0);
    assert!(run.stdout.contains("not proved"), "{}", run.stdout);
    let place = Installation::without_migrations();
    carry_key(&original, &place);
    let older = path(&original, "older.backup");
    let run = place.run(&["restore", older.to_str().unwrap()]).expect(0);
    assert!(run.stdout.lines().any(|line| line.starts_with("applied 2026")), "{}", run.stdout);
    place.run(&["doctor"]).expect(0);
    place.serve().session("admin", ADMIN_PASSWORD);

    let original = started();
    original.database.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000001')");
    let doctor = original.run(&["doctor"]).expect(5);
    assert!(doctor.stdout.contains("FAULT  migrations: of a later version"), "{}", doctor.stdout);
    original.run(&["backup", "later.backup"]).expect(0);
    let place = Installation::without_migrations();
    let later = path(&original, "later.backup");
    let line = place.run(&["restore", later.to_str().unwrap()]).failure(1);
    assert!(line.contains("later version") && line.contains("29990101000001"), "{line}");
}

#[test]
fn a_backup_that_was_altered_is_not_restored() {
    let original = started();
    original.run(&["backup", "one.backup"]).expect(0);
    if on_postgres() {
        return;
    }
    let place = started();
    let altered = slipway::repository::connection::open(
        &Target::Sqlite(path(&original, "one.backup")),
        slipway::repository::Limits { statement_timeout_ms: 1000, lock_timeout_ms: 1000 },
        slipway::repository::connection::Purpose::Write,
    );
    crate::support::execute(&mut altered.unwrap(), "DELETE FROM audit WHERE record_type = 'model' AND seq = 1")
        .unwrap();
    let file = path(&original, "one.backup");
    let run = place.run(&["restore", file.to_str().unwrap(), "--force"]).expect(5);
    assert!(run.stdout.contains("FAULT  audit chains: model "), "{}", run.stdout);
    place.run(&["doctor"]).expect(0);
    place.serve().session("admin", ADMIN_PASSWORD);
}

#[test]
fn a_restore_says_where_the_key_file_is_missing_and_makes_none() {
    let original = started();
    original.run(&["backup", "one.backup"]).expect(0);
    let place = Installation::without_migrations();
    let file = path(&original, "one.backup");
    let run = place.run(&["restore", file.to_str().unwrap()]).expect(0);
    assert!(run.stdout.contains("There is no key file slipway.key"), "{}", run.stdout);
    assert!(!path(&place, "slipway.key").exists());
}

/// A program that says it is of a version, and writes its arguments down.
fn pretend(folder: &Path, name: &str, version: &str) {
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{name} (PostgreSQL) {version}'; exit 0; fi\n\
         echo \"$@\" >> '{0}/told'; echo \"$PGPASSWORD\" >> '{0}/password'; echo 'no such luck' >&2; exit 1\n",
        folder.display()
    );
    let file = folder.join(name);
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_programs_of_postgresql_are_found_or_asked_for_and_never_told_the_password_aloud() {
    if !on_postgres() {
        return;
    }
    let installation = started();
    let programs = Folder::new();
    let backup = |url: String| {
        let mut command = installation.command(&["backup", "x.backup"]);
        command.env("SLIPWAY_POSTGRES_PROGRAMS", programs.path()).env("DATABASE_URL", url);
        finish(command, "").failure(1)
    };
    let line = backup(installation.database_url());
    assert!(line.contains("there is no pg_dump") && line.contains("postgresql-client-"), "{line}");
    pretend(programs.path(), "pg_dump", "9.6.1");
    pretend(programs.path(), "pg_restore", "99.1");
    let line = backup(installation.database_url());
    assert!(line.contains("is of PostgreSQL 9"), "{line}");
    pretend(programs.path(), "pg_dump", "99.1");
    let with_password = installation.database_url().replacen("postgres@", "postgres:hunter%402@", 1);
    assert!(with_password.contains("hunter"), "the test server is reached as postgres");
    let line = backup(with_password);
    assert!(line.contains("pg_dump failed: no such luck"), "{line}");
    let told = std::fs::read_to_string(programs.path().join("told")).unwrap();
    assert!(told.contains("--snapshot=") && !told.contains("hunter"), "{told}");
    assert_eq!(std::fs::read_to_string(programs.path().join("password")).unwrap(), "hunter@2\n");
    assert_eq!(leftovers(installation.folder.path()), [""; 0]);
}

#[test]
fn what_a_refused_restore_replaced_on_postgresql_is_put_back() {
    if !on_postgres() {
        return;
    }
    let place = Installation::new();
    let service = place.serve();
    service.session("admin", ADMIN_PASSWORD).post("/units", &json!({"name": "Theirs"})).expect(201);
    drop(service);
    let programs = Folder::new();
    let original = started();
    original.run(&["backup", "one.backup"]).expect(0);
    std::fs::copy(path(&original, "one.backup"), path(&place, "one.backup")).unwrap();
    // It lists the migrations as the real one does, and restores nothing.
    let script = "#!/bin/sh\ncase \"$*\" in --version) echo 'pg_restore (PostgreSQL) 99.1';; *--data-only*) \
                  printf 'COPY x FROM stdin;\\n20261121000001\\tx\\n\\\\.\\n';; *) echo 'broken' >&2; exit 1;; esac\n";
    std::fs::write(programs.path().join("pg_restore"), script).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(programs.path().join("pg_restore"), mode).unwrap();
    let mut command = place.command(&["restore", "one.backup", "--force"]);
    command.env("SLIPWAY_POSTGRES_PROGRAMS", programs.path());
    assert!(finish(command, "").failure(1).contains("broken"));
    place.run(&["doctor"]).expect(0);
    let service = place.serve();
    assert_eq!(everything(&service.session("admin", ADMIN_PASSWORD), "/units").len(), 1);
}

#[test]
fn force_replaces_an_earlier_backup_and_nothing_else() {
    let installation = started();
    let key = std::fs::read(path(&installation, "slipway.key")).unwrap();
    std::fs::write(path(&installation, "checkpoints"), "a signed line\n").unwrap();
    for name in ["slipway.key", "checkpoints"] {
        let line = installation.run(&["backup", name, "--force"]).failure(1);
        assert!(line.contains("is no backup"), "{line}");
    }
    assert_eq!(std::fs::read(path(&installation, "slipway.key")).unwrap(), key);
    assert_eq!(std::fs::read_to_string(path(&installation, "checkpoints")).unwrap(), "a signed line\n");
}
