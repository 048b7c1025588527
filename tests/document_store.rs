//! The store of documents: a folder or a bucket, what is left over in it, what is missing, and when it is away.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use slipway::service::document_keeping::{Collected, LEFT_OVER_KEPT_DAYS};
use slipway::service::keeping::Keeping;
use slipway::store::{Error, Place, Store, fresh_key};

use crate::binary::*;
use crate::raw::eventually;
use crate::support::*;

fn path_of(app: &App) -> String {
    format!("/releases/{}/documents", app.release().make()["id"].as_str().unwrap())
}

/// Collects, at an instant so many days from the present of the store.
fn collected(app: &App, days: i64) -> Option<Collected> {
    let at = chrono::Utc::now() + chrono::TimeDelta::days(days);
    app.set_clock(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    Keeping::new(Arc::clone(&app.env), None).run_due().unwrap().collected
}

fn keys(store: &Store) -> Vec<String> {
    let mut keys: Vec<String> =
        store.list_blocking().unwrap().flat_map(|portion| portion.unwrap()).map(|object| object.key).collect();
    keys.sort();
    keys
}

/// Puts an object into a store on a thread of its own.
fn put(store: &Store, key: &str, content: &[u8]) -> Result<(), Error> {
    let (store, key, content) = (store.clone(), key.to_owned(), content.to_vec());
    actix_web::rt::System::new().block_on(async move {
        let mut receiving = store.receive(&key)?;
        for chunk in content.chunks(100_000) {
            receiving.push(bytes::Bytes::copy_from_slice(chunk)).await?;
        }
        let seal = receiving.seal().await?;
        assert_eq!(seal.size_bytes, content.len() as u64);
        receiving.complete().await
    })
}

fn documents_finding(app: &App) -> slipway::service::doctor::Finding {
    slipway::service::document_keeping::examine(&app.env.database, app.env.store().unwrap()).unwrap()
}

#[test]
fn an_object_without_a_document_is_told_and_collected_when_it_is_old() {
    let app = App::start();
    let path = path_of(&app);
    let lead = app.client(Role::Lead);
    let kept = lead.upload(&path, &[("class", "general")], "a.txt", b"kept").expect(201);
    let store = app.env.store().unwrap().clone();
    // What a process leaves that is killed between the store and the database.
    put(&store, &fresh_key(uuid::Uuid::now_v7()), b"orphan").unwrap();
    let finding = documents_finding(&app);
    assert_eq!(finding.fault, None);
    assert!(finding.seen.contains("1 objects belong to none"), "{finding:?}");
    assert_eq!(collected(&app, LEFT_OVER_KEPT_DAYS - 1), Some(Collected::default()));
    assert_eq!(keys(&store).len(), 2);
    let second = collected(&app, LEFT_OVER_KEPT_DAYS + 1);
    assert_eq!(second, Some(Collected { left_over: 1, ..Collected::default() }));
    assert_eq!(keys(&store).len(), 1);
    let content = app.client(Role::Lead).get(&format!("{path}/{}/content", kept.id())).expect(200);
    assert_eq!(content.text, "kept");
    app.assert_sound();
}

#[test]
fn a_beginning_that_was_never_completed_is_collected_when_it_is_old() {
    let app = App::start();
    let root = documents_of(&app.database.target);
    let [old, fresh] = [0, 0].map(|_| root.join(format!("{}#1", fresh_key(uuid::Uuid::now_v7()))));
    for file in [&old, &fresh] {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    }
    for (file, age_days) in [(&old, 2 * LEFT_OVER_KEPT_DAYS), (&fresh, 0)] {
        let written = std::fs::File::create(file).unwrap();
        written.set_modified(SystemTime::now() - Duration::from_secs(age_days.unsigned_abs() * 86_400)).unwrap();
    }
    assert_eq!(collected(&app, 0), Some(Collected { unfinished: 1, ..Collected::default() }));
    assert!(!old.exists() && fresh.exists());
}

#[test]
fn what_others_keep_in_the_folder_is_neither_told_nor_collected() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = App::start();
    let root = documents_of(&app.database.target);
    let key = fresh_key(uuid::Uuid::now_v7());
    let (shard, id) = key.split_once('/').unwrap();
    let foreign = [
        "report.pdf".to_owned(),
        "photos/2019/cat.jpg".to_owned(),
        "ab/notes.txt".to_owned(),
        "ab/draft#1".to_owned(),
        format!("elsewhere/{key}"),
        format!("{shard}/{id}.part"),
        format!("{shard}/{id}#copy"),
    ];
    for name in &foreign {
        let file = root.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let written = std::fs::File::create(file).unwrap();
        written.set_modified(SystemTime::now() - Duration::from_secs(86_400 * 365)).unwrap();
    }
    let closed = root.join("lost+found");
    std::fs::create_dir_all(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(documents_finding(&app).seen.split(';').count(), 1);
    assert_eq!(collected(&app, LEFT_OVER_KEPT_DAYS + 1), Some(Collected::default()));
    assert!(foreign.iter().all(|name| root.join(name).exists()));
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_content_of_a_deleted_document_is_taken_out_later() {
    let app = App::start();
    let path = path_of(&app);
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    app.set_clock(&now);
    let lead = app.client(Role::Lead);
    let made = lead.upload(&path, &[("class", "general")], "a.txt", b"gone soon").expect(201);
    lead.delete(&format!("{path}/{}", made.id()), "*").expect(204);
    let store = app.env.store().unwrap().clone();
    assert_eq!(collected(&app, LEFT_OVER_KEPT_DAYS - 1), Some(Collected::default()));
    assert_eq!(keys(&store).len(), 1);
    assert_eq!(collected(&app, LEFT_OVER_KEPT_DAYS + 1), Some(Collected { deleted: 1, ..Collected::default() }));
    assert_eq!(keys(&store), [""; 0]);
    assert_eq!(collected(&app, LEFT_OVER_KEPT_DAYS + 2), Some(Collected::default()), "once is enough");
    let listed = app.client(Role::Lead).get(&format!("{path}?deleted=true")).expect(200);
    assert_eq!(listed.body["data"][0]["id"], made.id(), "the tombstone stays");
    app.assert_sound();
}

#[test]
fn a_document_without_its_content_is_a_clear_problem_and_a_fault_for_the_doctor() {
    let app = App::start();
    let path = path_of(&app);
    let lead = app.client(Role::Lead);
    let lost = lead.upload(&path, &[("class", "general")], "a.txt", b"lost").expect(201);
    let store = app.env.store().unwrap().clone();
    let key = keys(&store).pop().unwrap();
    let file = documents_of(&app.database.target).join(&key);
    let cut = lead.upload(&path, &[("class", "general")], "b.txt", b"cut short").expect(201);
    let other = keys(&store).into_iter().find(|other| *other != key).unwrap();
    std::fs::write(documents_of(&app.database.target).join(other), b"cut").unwrap();
    std::fs::remove_file(&file).unwrap();
    for document in [&lost, &cut] {
        lead.get(&format!("{path}/{}/content", document.id())).problem(404, "CONTENT_MISSING");
        lead.get(&format!("{path}/{}", document.id())).expect(200);
    }
    let fault = documents_finding(&app).fault.unwrap();
    assert!(fault.contains(&lost.id()) && fault.contains("is not there"), "{fault}");
    assert!(fault.contains(&cut.id()) && fault.contains("3 bytes"), "{fault}");
    // It can be put back.
    std::fs::write(&file, b"lost").unwrap();
    assert_eq!(lead.get(&format!("{path}/{}/content", lost.id())).expect(200).text, "lost");
}

#[test]
fn a_store_that_is_away_is_told_and_everything_else_goes_on() {
    // A folder that cannot be made: its parent is a file.
    let file = std::env::temp_dir().join(format!("slipway-no-folder-{}", std::process::id()));
    std::fs::write(&file, b"").unwrap();
    let app = App::start_with(|config| config.documents = Place::Folder(file.join("documents")));
    let path = path_of(&app);
    let lead = app.client(Role::Lead);
    let refused = lead.upload(&path, &[("class", "general")], "a.txt", b"x").problem(503, "STORE_UNAVAILABLE");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(lead.get(&path).expect(200).body["data"], json!([]));
    lead.get("/readyz").expect(200);
    std::fs::remove_file(&file).unwrap();
    lead.upload(&path, &[("class", "general")], "a.txt", b"x").expect(201);
    std::fs::remove_dir_all(&file).unwrap();
}

#[test]
fn the_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = App::start();
    app.client(Role::Lead).upload(&path_of(&app), &[("class", "general")], "a.txt", b"x").expect(201);
    let mode = std::fs::metadata(documents_of(&app.database.target)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn two_installations_do_not_share_a_store() {
    let (first, second) = (Installation::new(), Installation::new());
    let shared = first.folder.path().join("shared");
    let command = |installation: &Installation, arguments: &[&str]| {
        let mut command = installation.command(arguments);
        command.env("SLIPWAY_DOCUMENTS", format!("file:{}", shared.display()));
        command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD).env("SLIPWAY_LISTEN", "127.0.0.1:0");
        command
    };
    {
        let _service = Service::start(command(&first, &["serve"]));
        assert!(shared.join("installation").exists());
    }
    for (installation, status) in [(&first, 201), (&second, 503)] {
        let log = installation.folder.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        let service = Service::start_with_log(command(installation, &["serve"]), file.into());
        let client = service.session("admin", ADMIN_PASSWORD);
        let release = client.post("/releases", &new_release()).expect(201).id();
        let path = format!("/releases/{release}/documents");
        let answer = client.upload(&path, &[("class", "general")], "a.txt", b"x").expect(status);
        let told = std::fs::read_to_string(log).unwrap().contains("belongs to another installation");
        assert_eq!(told, status == 503, "{answer:?}");
    }
}

#[test]
fn the_doctor_of_the_command_line_looks_at_documents() {
    let installation = Installation::new();
    let service = installation.serve();
    let client = service.session("admin", ADMIN_PASSWORD);
    let release = client.post("/releases", &new_release()).expect(201).id();
    let path = format!("/releases/{release}/documents");
    let made = client.upload(&path, &[("class", "general")], "a.txt", b"content").expect(201);
    assert!(installation.run(&["doctor"]).expect(0).stdout.contains("ok     documents: 1 documents"));
    let printed = service.printed.join("\n");
    let folder = printed.split("Documents file:").nth(1).unwrap().lines().next().unwrap();
    let folder = installation.folder.path().join(folder);
    for shard in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        std::fs::remove_dir_all(shard).unwrap();
    }
    let told = installation.run(&["doctor"]).expect(5);
    assert!(told.stdout.contains("FAULT  documents:") && told.stdout.contains(&made.id()), "{told:?}");
    drop(service);
    let _ = std::fs::remove_dir_all(&folder);
}

/// An S3-compatible service of moto, with a bucket.
struct S3 {
    child: Child,
    address: String,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl S3 {
    /// Nothing where moto is not installed.
    fn start() -> Option<Self> {
        let program = std::env::var("SLIPWAY_TEST_MOTO_SERVER").unwrap_or_else(|_| "moto_server".into());
        let child = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!(
                "\n*** SKIPPED: {program} is not there; pip install 'moto[server]' and set SLIPWAY_TEST_MOTO_SERVER \
                 to test documents on S3 ***\n"
            );
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("moto says where it listens").unwrap();
            if let Some(at) = line.find("http://127.0.0.1:") {
                break line[at..].trim().to_owned();
            }
        };
        // What it says later is of no interest, and must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let s3 = Self { child, address };
        let http = reqwest::blocking::Client::new();
        let made = http.put(format!("{}/files", s3.address)).send().unwrap();
        assert!(made.status().is_success(), "{made:?}");
        Some(s3)
    }

    fn store(&self) -> Store {
        let place = Place::parse("s3://files/of/tests").unwrap();
        Store::new(place, self.options())
    }

    fn options(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT", self.address.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "a secret of the tests"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

#[test]
fn a_bucket_takes_documents_as_a_folder_does() {
    let Some(s3) = S3::start() else { return };
    let installation = Installation::new();
    let mut command = installation.command(&["serve"]);
    command.env("SLIPWAY_ADMIN_PASSWORD", ADMIN_PASSWORD).env("SLIPWAY_DOCUMENTS", "s3://files/of/tests");
    command.envs(s3.options());
    let log = installation.folder.path().join("log");
    let service = Service::start_with_log(command, std::fs::File::create(&log).unwrap().into());
    assert!(service.printed.iter().any(|line| line == "Documents s3://files/of/tests"), "{:?}", service.printed);
    let client = service.session("admin", ADMIN_PASSWORD);
    let release = client.post("/releases", &new_release()).expect(201).id();
    let path = format!("/releases/{release}/documents");
    // The service does not wait for the bucket before it serves.
    let first = || client.upload(&path, &[("class", "general")], "a.txt", b"x").status == 201;
    eventually("it is known whose the bucket is", first);
    // Less than a part, several parts, and a whole number of them.
    for length in [0, 1000, 12 * 1024 * 1024 + 5, 10 * 1024 * 1024] {
        let content: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let made = client.upload(&path, &[("class", "package")], "a.bin", &content).expect(201);
        let at = format!("{path}/{}/content", made.id());
        let whole = client.request("GET", &at).send().unwrap();
        assert_eq!(whole.status(), 200);
        assert!(whole.bytes().unwrap() == content, "{length}");
        if length > 100 {
            let part = client.request("GET", &at).header("range", "bytes=-100").send().unwrap();
            assert_eq!(part.status(), 206);
            assert!(part.bytes().unwrap() == content[length - 100..]);
        }
    }
    // What is refused leaves nothing.
    client.upload(&path, &[("class", "odd")], "a.bin", &vec![0; 6 * 1024 * 1024]).problem(422, "INVALID_VALUES");
    let store = s3.store();
    eventually("only what was taken is there", || keys(&store).len() == 5);
    let mut doctor = installation.command(&["doctor"]);
    doctor.env("SLIPWAY_DOCUMENTS", "s3://files/of/tests").envs(s3.options());
    assert!(finish(doctor, "").expect(0).stdout.contains("5 documents have their content in s3://files/of/tests"));
    // Away: uploads and downloads say so, and nothing else does.
    let made = client.get(&path).expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    drop(s3);
    client.get(&format!("{path}/{made}/content")).problem(503, "STORE_UNAVAILABLE");
    client.upload(&path, &[("class", "general")], "a.txt", b"x").problem(503, "STORE_UNAVAILABLE");
    client.get(&path).expect(200);
    drop(service);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("a secret of the tests"), "{log}");
}

#[test]
fn the_store_by_itself_keeps_whole_objects_only() {
    let folder = std::env::temp_dir().join(format!("slipway-store-{}", std::process::id()));
    let mut stores = vec![Store::new(Place::Folder(folder.clone()), Vec::new())];
    let s3 = S3::start();
    stores.extend(s3.as_ref().map(S3::store));
    for store in stores {
        let (key, other) = (fresh_key(uuid::Uuid::now_v7()), fresh_key(uuid::Uuid::now_v7()));
        let content = vec![7; 6 * 1024 * 1024];
        put(&store, &key, &content).unwrap();
        // Given up in the middle, behind a whole part.
        {
            let (store, other) = (store.clone(), other.clone());
            actix_web::rt::System::new().block_on(async move {
                let mut receiving = store.receive(&other).unwrap();
                for _ in 0..60 {
                    receiving.push(bytes::Bytes::from(vec![1; 100_000])).await.unwrap();
                }
            });
        }
        assert_eq!(keys(&store), std::slice::from_ref(&key));
        let read = |key: String, size: u64| {
            let store = store.clone();
            actix_web::rt::System::new()
                .block_on(async move { store.read(&key, (size, ""), 0..size).await.map(|_| ()) })
        };
        assert_eq!(read(key.clone(), content.len() as u64), Ok(()));
        assert_eq!(read(key.clone(), 5), Err(Error::Missing));
        assert_eq!(read(other, 5), Err(Error::Missing));
        store.claim_blocking("one").unwrap();
        store.claim_blocking("one").unwrap();
        assert_eq!(store.claim_blocking("two"), Err(Error::Foreign("one".into())));
        store.delete_blocking(&key).unwrap();
        store.delete_blocking(&key).unwrap();
        assert_eq!(keys(&store), [""; 0]);
    }
    let _ = std::fs::remove_dir_all::<PathBuf>(folder);
}

#[test]
fn content_that_was_altered_is_not_given_out_and_the_doctor_names_it() {
    let app = App::start();
    let lead = app.client(Role::Lead);
    let path = format!("/releases/{}/documents", app.release().make()["id"].as_str().unwrap());
    let large = vec![b'x'; 3 * 1024 * 1024];
    let documents = [&b"hello world"[..], &large].map(|content| {
        let made = lead.upload(&path, &[("class", "evidence")], "tests.txt", content).expect(201);
        format!("{path}/{}/content", made.id())
    });
    let mut connection = app.env.database.connect().unwrap();
    let folder = documents_of(app.env.database.target());
    for key in lines(&mut connection, "SELECT store_key AS line FROM documents ORDER BY id") {
        let file = folder.join(&key);
        let mut content = std::fs::read(&file).unwrap();
        content[0] = b'H';
        std::fs::write(&file, content).unwrap();
    }
    lead.get(&documents[0]).problem(404, "CONTENT_MISSING");
    // Of the other one much was sent before it was known; it never ends well.
    let broken = lead.request("GET", &documents[1]).send().unwrap();
    assert!(broken.bytes().is_err());
    let store = app.env.store().unwrap();
    let finding = slipway::service::document_keeping::examine(&app.env.database, store).unwrap();
    let told = format!("{finding:?}");
    assert_eq!(told.matches("has the SHA-256").count(), 2, "{told}");
}

#[test]
fn of_two_installations_that_claim_a_store_at_the_same_time_one_has_it_and_before_that_nobody() {
    let folder = std::env::temp_dir().join(format!("slipway-claim-{}", uuid::Uuid::now_v7()));
    let open = || Store::new(Place::Folder(folder.clone()), []);
    for round in 0..20 {
        let _ = std::fs::remove_dir_all(&folder);
        let start = std::sync::Barrier::new(2);
        let claim = |name: &'static str| {
            start.wait();
            open().claim_blocking(name)
        };
        let claimed = std::thread::scope(|scope| {
            let others = scope.spawn(|| claim("one"));
            [claim("two"), others.join().unwrap()]
        });
        let had: Vec<_> = claimed.iter().filter(|result| result.is_ok()).collect();
        assert_eq!(had.len(), 1, "round {round}: {claimed:?}");
    }
    let _ = std::fs::remove_dir_all(&folder);
    let guarded = open();
    guarded.guard();
    assert!(guarded.awaits_claim());
    let unknown = guarded.receive("00/x").map(|_| ());
    assert!(matches!(&unknown, Err(Error::Away(told)) if told.contains("whose")), "{unknown:?}");
    guarded.claim_blocking("one").unwrap();
    assert!(!guarded.awaits_claim() && guarded.receive("00/x").is_ok());
    // Somebody else's, it stays closed.
    let other = open();
    other.guard();
    assert_eq!(other.claim_blocking("two"), Err(Error::Foreign("one".into())));
    assert_eq!(other.receive("00/x").map(|_| ()), Err(Error::Foreign("one".into())));
    std::fs::remove_dir_all(&folder).unwrap();
}
