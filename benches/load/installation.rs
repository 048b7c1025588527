//! A seeded installation that serves, and what the callers need to know of it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::client::{Connection, Request};
use crate::cmdb;
use crate::options::Plan;
use crate::postgres::{self, Server};
use crate::process::{self, Process};
use crate::work::{BOARD_CARDS, INCLUDE, LIST_ROWS, List};

const SERVICE: &str = env!("CARGO_BIN_EXE_slipway");
const PASSWORD: &str = "under load, 12 characters and more";
/// A service is at rest where it takes less than a twentieth of a processor for so long.
const SETTLE_LOOK: Duration = Duration::from_secs(3);
/// It is waited for at most so long.
const SETTLE_MAX: Duration = Duration::from_secs(1200);
/// Up to this size the seeded database is kept and every run works on a copy; beyond, it grows with the runs.
const COPIED_RELEASES_MAX: u32 = 100_000;
/// So many releases are read.
const KNOWN_MAX: usize = 1_000;
/// So many releases are changed.
const EDITABLE_MAX: usize = 2_000;
/// An access token lives ten minutes; it is renewed after this time.
const TOKEN_SECONDS_MAX: u64 = 240;
/// What belongs to the release of the release view.
const VIEW_ACTIVITIES: usize = 50;
const VIEW_ROLES: usize = 10;
const VIEW_CHECKLISTS: usize = 5;
const VIEW_RECORDS: usize = 20;
/// The seeded model whose releases begin with their authorization.
const EMERGENCY_MODEL: &str = "Emergency fix";
/// The group that the member belongs to, and whose releases are changed.
const GROUP: &str = "Payments delivery";

/// Who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A member of two groups, without a global role.
    Member,
    /// A release manager.
    Manager,
}

impl Role {
    const ALL: [Self; 2] = [Self::Member, Self::Manager];

    const fn username(self) -> &'static str {
        match self {
            Self::Member => "ana.souza",
            Self::Manager => "tomas.ferreira",
        }
    }
}

/// A release that is read: its answer is known.
pub struct Known {
    pub id: String,
    pub tag: String,
    pub length: usize,
}

/// A release that is changed.
#[derive(Clone)]
pub struct Editable {
    pub id: String,
    pub tag: String,
    pub suspended: bool,
}

/// What the callers know.
pub struct Fixture {
    pub address: SocketAddr,
    pub bare: SocketAddr,
    tokens: RefCell<[String; 2]>,
    logged_in: Cell<Instant>,
    /// Distinguishes the keys and texts of one slice from those of all others.
    pub run: Cell<u128>,
    pub known: Vec<Known>,
    pub editables: Vec<RefCell<Editable>>,
    pub justification: String,
    /// A release with as many activities as there may be.
    pub board: String,
    /// A release with everything that belongs to one, as the release view answers it.
    pub view: Known,
    /// The approvals of the same release.
    pub approvals: Known,
    /// Releases at closure over items of the CMDB, where there is one.
    pub over_items: RefCell<Vec<String>>,
    /// The body that closes one of them.
    pub closing: String,
    pub read_bytes: Vec<u8>,
    pub list_bytes: Vec<u8>,
    group: String,
    user: String,
    tag: String,
    prefix: String,
    /// What the titles of releases begin with, as often as they do.
    products: Vec<String>,
    started: String,
    windows: String,
}

/// A kind of database with a number of releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    pub postgres: bool,
    pub releases: u32,
}

impl Kind {
    pub const fn database(&self) -> &'static str {
        if self.postgres { "PostgreSQL" } else { "SQLite" }
    }
}

/// A database with its key file.
struct Place {
    url: String,
    key_file: PathBuf,
    /// Name of the database on the server, or path of the file.
    name: String,
    /// Where the content of documents lies.
    documents: PathBuf,
}

impl Place {
    fn service(&self, folder: &Path) -> Command {
        let mut command = Command::new(SERVICE);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SLIPWAY_")) {
            command.env_remove(name);
        }
        command
            .current_dir(folder)
            .env_remove("RUST_LOG")
            .env("DATABASE_URL", &self.url)
            .env("SLIPWAY_KEY_FILE", &self.key_file)
            .env("SLIPWAY_DOCUMENTS", format!("file:{}", self.documents.display()))
            .env("SLIPWAY_ADMIN_PASSWORD", PASSWORD)
            .env("SLIPWAY_LISTEN", "127.0.0.1:0");
        command
    }
}

/// An installation that serves.
pub struct Installation {
    pub kind: Kind,
    place: Place,
    process: Process,
    /// A copy is removed when it has served.
    copied: bool,
}

impl Installation {
    /// Seeds, where that was not done before, and serves.
    pub fn start(plan: &Plan, kind: Kind, server: &mut Option<Server>) -> Result<Self, String> {
        let folder = &plan.directory;
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let seeded = place(folder, &kind, server.as_ref(), "seeded");
        ensure_seeded(plan, &kind, &seeded, server)?;
        let copied = kind.releases <= COPIED_RELEASES_MAX;
        let place = if copied {
            let copy = place(folder, &kind, server.as_ref(), "run");
            match server {
                Some(server) if kind.postgres => server.create(&copy.name, Some(&seeded.name))?,
                _ => copy_sqlite(&seeded.name, &copy.name)?,
            }
            // The copy is an installation of its own.
            remove_folder(&copy.documents)?;
            Place { key_file: seeded.key_file, ..copy }
        } else {
            seeded
        };
        process::run(place.service(folder).args(["migrate", "up"]), "")?;
        if let Some((items, relationships)) = plan.cmdb {
            import(&place, &kind, folder, items, relationships)?;
        }
        if kind.postgres {
            postgres::vacuum(&place.url)?;
        }
        let process = Process::start(place.service(folder).arg("serve").stderr(Stdio::null()))?;
        let installation = Self { kind, place, process, copied };
        installation.settle(server)?;
        Ok(installation)
    }

    /// Waits until what a service does by itself is done: the first checkpoints of a seeded past take minutes.
    fn settle(&self, server: &mut Option<Server>) -> Result<(), String> {
        let started = Instant::now();
        let mut before = self.cost(server);
        while started.elapsed() < SETTLE_MAX {
            std::thread::sleep(SETTLE_LOOK);
            let now = self.cost(server);
            // Where it has fallen, a backend of the database has ended with its part.
            let (now_all, before_all) = (now.0 + now.1, before.0 + before.1);
            if now_all >= before_all && now_all - before_all < SETTLE_LOOK / 20 {
                let (of, database) = (self.kind.releases, self.kind.database());
                eprintln!("{of} releases on {database} came to rest within {:.0} s", started.elapsed().as_secs_f64());
                return Ok(());
            }
            before = now;
        }
        Err(format!("the service is still at work after {} s", SETTLE_MAX.as_secs()))
    }

    pub const fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// True where the database is thrown away afterwards.
    pub const fn is_copy(&self) -> bool {
        self.copied
    }

    pub fn url(&self) -> &str {
        &self.place.url
    }

    /// Another process on the same database, by way of another address.
    pub fn serve_also(&self, folder: &Path, url: &str) -> Result<Process, String> {
        let folder = folder.to_owned();
        Process::start(self.place.service(&folder).env("DATABASE_URL", url).arg("serve").stderr(Stdio::null()))
    }

    /// Processor time of the service, and of its database's backends.
    pub fn cost(&self, server: &mut Option<Server>) -> (Duration, Duration) {
        let backends = match server {
            Some(server) if self.kind.postgres => server.processor_time(&self.place.name),
            _ => Duration::ZERO,
        };
        (process::processor_time(self.process.id()), backends)
    }

    /// Resident memory of the service in MiB: now, and at most.
    pub fn resident_mib(&self) -> (u64, u64) {
        process::resident_mib(self.process.id())
    }

    /// Ends the service and removes a copy.
    pub fn end(self, server: &mut Option<Server>) -> Result<(), String> {
        drop(self.process);
        match server {
            _ if !self.copied => {}
            Some(server) if self.kind.postgres => server.drop(&self.place.name)?,
            _ => remove_sqlite(&self.place.name),
        }
        if self.copied { remove_folder(&self.place.documents) } else { Ok(()) }
    }
}

/// Imports a generated CMDB, and tells how long that took.
fn import(place: &Place, kind: &Kind, folder: &Path, items: u64, relationships: u64) -> Result<(), String> {
    let file = folder.join("cmdb.ndjson");
    cmdb::write(&file, items, relationships).map_err(|error| format!("{}: {error}", file.display()))?;
    let (started, database) = (Instant::now(), kind.database());
    process::run(place.service(folder).arg("import").arg(&file), "")?;
    let took = started.elapsed().as_secs_f64();
    let rows = items + relationships;
    println!(
        "imported {items} items and {relationships} relationships on {database} in {took:.1} s: {:.0} rows/s",
        rows as f64 / took
    );
    Ok(())
}

fn place(folder: &Path, kind: &Kind, server: Option<&Server>, what: &str) -> Place {
    let of_kind = |ending: &str| format!("{}-{}{ending}", kind.database().to_lowercase(), kind.releases);
    let key_file = folder.join(of_kind(".key"));
    let documents = folder.join(of_kind(&format!("-{what}-documents")));
    match server {
        Some(server) if kind.postgres => {
            let name = format!("slipway_load_{what}_{}", kind.releases);
            Place { url: server.url_of(&name), key_file, name, documents }
        }
        _ => {
            let name = folder.join(format!("{what}-{}.db", kind.releases)).display().to_string();
            Place { url: format!("sqlite:{name}"), key_file, name, documents }
        }
    }
}

/// Copies a database that nobody has open, with what of its log is not in the file yet.
fn copy_sqlite(from: &str, to: &str) -> Result<(), String> {
    remove_sqlite(to);
    for ending in ["", "-wal"] {
        let source = format!("{from}{ending}");
        if Path::new(&source).exists() {
            std::fs::copy(&source, format!("{to}{ending}")).map_err(|error| format!("{source}: {error}"))?;
        }
    }
    Ok(())
}

fn remove_sqlite(file: &str) {
    for ending in ["", "-wal", "-shm", "-journal", ".lock"] {
        let _ = std::fs::remove_file(format!("{file}{ending}"));
    }
}

fn remove_folder(folder: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", folder.display())),
        _ => Ok(()),
    }
}

fn ensure_seeded(plan: &Plan, kind: &Kind, seeded: &Place, server: &mut Option<Server>) -> Result<(), String> {
    // A seeding that was cut off leaves no mark.
    let mark = seeded.key_file.with_extension("seeded");
    let there = match server {
        Some(server) if kind.postgres => server.exists(&seeded.name)?,
        _ => Path::new(&seeded.name).exists(),
    };
    if there && mark.exists() && !plan.reseed {
        return Ok(());
    }
    let (database, count) = (kind.database(), kind.releases);
    eprintln!("seeding {count} releases on {database} ...");
    for file in [&mark, &seeded.key_file] {
        let _ = std::fs::remove_file(file);
    }
    match server {
        Some(server) if kind.postgres => server.create(&seeded.name, None)?,
        _ => remove_sqlite(&seeded.name),
    }
    remove_folder(&seeded.documents)?;
    let started = Instant::now();
    let service = || seeded.service(&plan.directory);
    process::run(service().args(["migrate", "up"]), "")?;
    process::run(service().args(["seed", "--releases", &count.to_string()]).stderr(Stdio::inherit()), "")?;
    let took = started.elapsed().as_secs_f64();
    for role in Role::ALL {
        process::run(service().args(["user", "set-password", role.username()]), PASSWORD)?;
    }
    eprintln!("seeded {count} releases on {database} in {took:.1} s");
    std::fs::write(&mark, "").map_err(|error| error.to_string())
}

impl Fixture {
    /// Looks at an installation: which releases are read, which changed, what the filters ask for.
    pub fn load(address: SocketAddr, releases: u32) -> Result<Self, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(look(address, releases))
    }

    /// Registers releases over items of the CMDB.
    pub fn prepare_over_items(&mut self) -> Result<(), String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let token = self.token(Role::Manager);
        let (releases, closing) = runtime.block_on(async {
            let mut reader = Reader { connection: Connection::open(self.address).await?, token };
            Ok::<_, String>((cmdb::releases(&mut reader).await?, cmdb::closing(&mut reader).await?))
        })?;
        (self.over_items, self.closing) = (RefCell::new(releases), closing);
        Ok(())
    }

    pub fn token(&self, role: Role) -> String {
        self.tokens.borrow()[role as usize].clone()
    }

    /// Before every slice: keys and texts that were never used, and tokens that live.
    pub fn refresh(&self) -> Result<(), String> {
        self.run.set(unique());
        if self.logged_in.get().elapsed() < Duration::from_secs(TOKEN_SECONDS_MAX) {
            return Ok(());
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        *self.tokens.borrow_mut() = runtime.block_on(async {
            let mut connection = Connection::open(self.address).await?;
            log_in(&mut connection).await
        })?;
        self.logged_in.set(Instant::now());
        Ok(())
    }

    pub fn list_path(&self, list: &List) -> String {
        let query = list
            .query
            .replace("{group}", &self.group)
            .replace("{user}", &self.user)
            .replace("{tag}", &self.tag)
            .replace("{prefix}", &self.prefix)
            .replace("{now}", &self.started);
        format!("/api/v1/releases?limit=50{}{query}", if query.is_empty() { "" } else { "&" })
    }

    /// A title that was never given, of one of the products there are.
    pub fn title(&self, caller: usize, turn: usize) -> String {
        let product = &self.products[(caller * 7 + turn) % self.products.len()];
        format!("{product}, measured {}-{caller}-{turn}", self.run.get())
    }

    /// The body of a creation, as a serious client sends it.
    pub fn new_release(&self, caller: usize, turn: usize) -> String {
        let (title, group, windows) = (self.title(caller, turn), &self.group, &self.windows);
        format!(
            "{{\"title\":\"{title}\",\"version\":\"4.2.0\",\"description\":\"Asked for by the business; replaces \
             what was patched by hand in the last quarter, and brings the nodes to one level.\",\
             \"executor_group_id\":\"{group}\",\"impact\":\"high\",\"urgency\":\"medium\",\"requester\":{{\
             \"name\":\"Ana Souza\",\"email\":\"ana@example.org\"}},\"acceptance_criteria\":[{{\"text\":\
             \"Card payments work in all shops\"}}],\"tags\":[\"payments\",\"measured\"],{windows}}}"
        )
    }
}

fn unique() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos())
}

async fn log_in(connection: &mut Connection) -> Result<[String; 2], String> {
    let mut tokens = [String::new(), String::new()];
    for role in Role::ALL {
        let body = json!({"username": role.username(), "password": PASSWORD}).to_string();
        let request =
            Request { method: "POST", path: "/api/v1/auth/login", token: "", headers: "", body: &body }.bytes();
        let answer = connection.send(&request).await?;
        let read: Value = serde_json::from_slice(answer.body).map_err(|_| answer.told())?;
        tokens[role as usize] = read["access_token"].as_str().ok_or_else(|| answer.told())?.to_owned();
    }
    Ok(tokens)
}

/// A client of the preparations, which reads JSON.
pub struct Reader {
    connection: Connection,
    token: String,
}

impl Reader {
    async fn get(&mut self, path: &str) -> Result<(Option<String>, Vec<u8>), String> {
        let path = format!("/api/v1{path}");
        let request = Request { method: "GET", path: &path, token: &self.token, headers: "", body: "" }.bytes();
        let answer = self.connection.send(&request).await?;
        match answer.status {
            200 => Ok((answer.header("etag").map(str::to_owned), answer.body.to_vec())),
            404 => Ok((None, Vec::new())),
            _ => Err(format!("GET {path}: {}", answer.told())),
        }
    }

    /// Creates something; answers its identifier.
    pub async fn create(&mut self, path: &str, body: &str) -> Result<String, String> {
        let (path, token) = (format!("/api/v1{path}"), self.token.clone());
        let request = Request { method: "POST", path: &path, token: &token, headers: "", body }.bytes();
        let answer = self.connection.send(&request).await?;
        let failed = || format!("POST {path}: {}", answer.told());
        let made: Value = serde_json::from_slice(answer.body).map_err(|_| failed())?;
        let id = made["id"].as_str().or_else(|| made["transition"]["id"].as_str());
        id.filter(|_| answer.status == 201).map(str::to_owned).ok_or_else(failed)
    }

    pub async fn json(&mut self, path: &str) -> Result<Value, String> {
        let (_, body) = self.get(path).await?;
        serde_json::from_slice(&body).map_err(|error| format!("GET {path}: {error}"))
    }

    pub async fn first(&mut self, path: &str) -> Result<Value, String> {
        let page = self.json(path).await?;
        let first = page["data"].get(0).cloned();
        first.ok_or_else(|| format!("GET {path}: nothing there"))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn look(address: SocketAddr, releases: u32) -> Result<Fixture, String> {
    let mut connection = Connection::open(address).await?;
    let tokens = log_in(&mut connection).await?;
    let mut reader = Reader { connection, token: tokens[Role::Member as usize].clone() };
    let user = text(&reader.json("/me").await?["id"]);
    let group = text(&reader.first(&format!("/groups?q={}", GROUP.replace(' ', "%20"))).await?["id"]);
    let reasons = reader.json("/justifications?limit=200").await?;
    let suspends =
        |reason: &&Value| reason["applies_to"].as_array().is_some_and(|uses| uses.contains(&json!("suspend")));
    let reason = reasons["data"].as_array().into_iter().flatten().find(suspends);
    let justification = reason.map(|reason| text(&reason["id"])).ok_or("no justification for suspending")?;
    let editables = editables(&mut reader, &group).await?;
    let changed: Vec<String> = editables.iter().map(|editable| editable.borrow().id.clone()).collect();
    let known = known(&mut reader, releases, &changed).await?;
    let one = known.first().ok_or("no release is visible")?;
    let (_, read_bytes) = reader.get(&format!("/releases/{}", one.id)).await?;
    let (_, list_bytes) = reader.get("/releases?limit=50").await?;
    let titled = reader.json("/releases?limit=200").await?;
    let first_words = |release: &Value| text(&release["title"]).split(' ').next().unwrap_or_default().to_owned();
    let products: Vec<String> = titled["data"].as_array().into_iter().flatten().map(first_words).collect();
    let tagged = reader.first(&format!("/releases?group={group}&tag=payments")).await?;
    let prefix = first_words(&tagged);
    let now = chrono::Utc::now();
    let at = |days: i64| (now + chrono::TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let windows = format!(
        "\"planning_window\":{{\"start\":\"{}\",\"end\":\"{}\"}},\"deployment_window\":{{\"start\":\"{}\",\
         \"end\":\"{}\"}}",
        at(1),
        at(3),
        at(10),
        at(11)
    );
    let board = board(&mut reader, &group).await?;
    let (view, approvals) = view(&mut reader, &tokens).await?;
    Ok(Fixture {
        address,
        bare: address,
        tokens: RefCell::new(tokens),
        logged_in: Cell::new(Instant::now()),
        run: Cell::new(unique()),
        known,
        editables,
        justification,
        board,
        view,
        approvals,
        over_items: RefCell::default(),
        closing: String::new(),
        read_bytes,
        list_bytes,
        group,
        user,
        tag: "payments".into(),
        prefix,
        products,
        started: at(0),
        windows,
    })
}

/// Registers a release with as many activities as there may be, each of which depends on the one before it.
async fn board(reader: &mut Reader, group: &str) -> Result<String, String> {
    let activities: Vec<Value> = (0..BOARD_CARDS)
        .map(|nth| {
            json!({
                "ref": nth.to_string(), "phase": "planning", "title": format!("Step {nth} of the runbook"),
                "due_at": "2031-01-01T00:00:00Z", "estimated_minutes": 30, "tags": ["runbook", "measured"],
                "description": "Do as the chapter says, and write down what was different this time.",
                "checklist": [{"text": "Done as described"}, {"text": "Written down"}],
                "depends_on": nth.checked_sub(1).map(|before| before.to_string()).into_iter().collect::<Vec<_>>(),
            })
        })
        .collect();
    let body = json!({
        "title": "Measured board", "executor_group_id": group, "activities": activities,
        "requester": {"name": "Ana Souza", "email": "ana@example.org"},
    })
    .to_string();
    reader.create("/releases", &body).await
}

/// Registers releases at authorization that a manager must approve, enough for a page of those that wait; and one more
/// that has a bit of everything, in which the manager has voted.
async fn view(reader: &mut Reader, tokens: &[String; 2]) -> Result<(Known, Known), String> {
    let member = reader.token.clone();
    reader.token.clone_from(&tokens[Role::Manager as usize]);
    let manager = reader.json("/me").await?;
    reader.token = member.clone();
    let models = reader.json("/models?status=active&limit=200").await?;
    let models = models["data"].as_array().cloned().unwrap_or_default();
    // The built-in one has a release team of its own; the seeded one is the group's.
    let emergency = models.iter().find(|model| model["workflow"] == "emergency" && model["name"] == EMERGENCY_MODEL);
    let model = emergency.map(|model| &model["id"]).ok_or("no model for emergencies")?;
    let release = json!({
        "title": "Measured view", "model_id": model, "version": "4.2.0",
        "requester": {"name": "Ana Souza", "email": "ana@example.org"},
        "approval_rule": {"kind": "all", "voters": [{"user_id": manager["id"]}]},
    });
    for _ in 0..LIST_ROWS {
        reader.create("/releases", &release.to_string()).await?;
    }
    let mut whole = release;
    whole["activities"] = (0..VIEW_ACTIVITIES)
        .map(|nth| {
            json!({
                "phase": "deployment", "title": format!("Step {nth} of the runbook"), "estimated_minutes": 30,
                "checklist": [{"text": "Done as described"}, {"text": "Written down"}], "tags": ["measured"],
            })
        })
        .collect();
    whole["roles"] = (0..VIEW_ROLES)
        .map(|nth| json!({"role": "informed", "name": format!("Reader {nth}"), "email": format!("r{nth}@example.org")}))
        .collect();
    let question = |nth: usize| json!({"key": format!("q{nth}"), "text": "Is it so?", "kind": "confirm"});
    whole["checklists"] = (0..VIEW_CHECKLISTS)
        .map(|nth| {
            let questions: Vec<Value> = (0..5).map(question).collect();
            json!({"title": format!("Before step {nth}"), "stage": "deployment", "questions": questions})
        })
        .collect();
    let id = reader.create("/releases", &whole.to_string()).await?;
    for _ in 0..VIEW_RECORDS {
        let record = json!({"kind": "note", "body": "The vendor was called, and will be there at ten."});
        reader.create(&format!("/releases/{id}/records"), &record.to_string()).await?;
    }
    reader.token.clone_from(&tokens[Role::Manager as usize]);
    reader.create(&format!("/releases/{id}/approvals/votes"), "{\"decision\":\"approve\"}").await?;
    reader.token = member;
    let (_, body) = reader.get(&format!("/releases/{id}?{INCLUDE}")).await?;
    let read: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let included = &read["included"];
    for (part, items, wanted) in [
        ("activities", &included["activities"]["data"], VIEW_ACTIVITIES),
        ("roles", &included["roles"]["data"], VIEW_ROLES),
        ("checklists", &included["checklists"]["data"], VIEW_CHECKLISTS),
        ("records", &included["records"]["data"], VIEW_RECORDS),
        ("votes", &included["approvals"]["votes"], 1),
    ] {
        let count = items.as_array().map_or(0, Vec::len);
        if count != wanted {
            return Err(format!("the release view has {count} {part} instead of {wanted}"));
        }
    }
    let known = |length| Known { id: id.clone(), tag: String::new(), length };
    let (_, approvals) = reader.get(&format!("/releases/{id}/approvals")).await?;
    Ok((known(body.len()), known(approvals.len())))
}

/// Open releases of the group, all over the installation.
async fn editables(reader: &mut Reader, group: &str) -> Result<Vec<RefCell<Editable>>, String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    while found.len() < EDITABLE_MAX {
        let page = reader.json(&format!("/releases?status=open&group={group}&limit=200&sort=title{cursor}")).await?;
        for release in page["data"].as_array().into_iter().flatten() {
            let tag = format!("\"{}\"", release["row_version"]);
            found.push(RefCell::new(Editable { id: text(&release["id"]), tag, suspended: false }));
        }
        match page["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    Ok(found)
}

/// Visible releases anywhere in the installation, without those that are changed.
async fn known(reader: &mut Reader, releases: u32, changed: &[String]) -> Result<Vec<Known>, String> {
    let mut found = Vec::new();
    let tries = u32::try_from(KNOWN_MAX * 8).unwrap_or(u32::MAX).min(releases);
    for nth in 0..tries {
        // Spread over all numbers, each once.
        let number = 1 + u64::from(nth) * u64::from(releases) / u64::from(tries);
        let (tag, body) = reader.get(&format!("/releases/REL-{number}")).await?;
        let Some(tag) = tag else { continue };
        let release: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let id = text(&release["id"]);
        if !changed.contains(&id) {
            found.push(Known { id, tag, length: body.len() });
        }
        if found.len() == KNOWN_MAX {
            break;
        }
    }
    Ok(found)
}
