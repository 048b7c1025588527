//! The test application: a real server on a database of its own, one client per role, builders with defaults.

#![allow(dead_code)]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, mpsc};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use serde_json::{Value, json};
use slipway::config::Config;
use slipway::domain::policy::{Actor, Via};
use slipway::domain::values::*;
use slipway::repository::nouns::{Group, User};
use slipway::repository::{AnyConnection, Database, Limits, Target, identity, migrations};
use slipway::service::env::Clock;
use slipway::service::identity::Credentials;
use slipway::service::keys::{Claims, ISSUER, Keys, Seal};
use slipway::service::setup::{console, console_request, first_start};
use slipway::service::{Env, Reply, catalogue, groups};
use slipway::store::{Place, Store};

/// The password of every user of the cast.
pub const PASSWORD: &str = "correct horse battery staple";
/// Where the clock of every test stands at first.
pub const NOW: &str = "2030-01-07T10:00:00Z";

/// The cast of every test.
///
/// `Lead` belongs to "Release team", which holds every permission and is the executor group of the models that the
/// first start makes. `Operator` belongs to "Operators", which may only execute. `Requester` belongs to
/// "Requesters", which may only create. `Outsider` belongs to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Admin,
    Manager,
    Viewer,
    Integration,
    Lead,
    Operator,
    Requester,
    Outsider,
}

impl Role {
    pub const ALL: [Self; 8] = [
        Self::Admin,
        Self::Manager,
        Self::Viewer,
        Self::Integration,
        Self::Lead,
        Self::Operator,
        Self::Requester,
        Self::Outsider,
    ];

    pub const fn username(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Viewer => "viewer",
            Self::Integration => "integration",
            Self::Lead => "lead",
            Self::Operator => "operator",
            Self::Requester => "requester",
            Self::Outsider => "outsider",
        }
    }

    const fn global_role(self) -> Option<GlobalRole> {
        match self {
            Self::Admin => Some(GlobalRole::Admin),
            Self::Manager => Some(GlobalRole::ReleaseManager),
            Self::Viewer => Some(GlobalRole::Viewer),
            Self::Integration => Some(GlobalRole::Integration),
            _ => None,
        }
    }
}

const LIMITS: Limits = Limits { statement_timeout_ms: 30_000, lock_timeout_ms: 20_000 };

static COUNTER: AtomicU32 = AtomicU32::new(0);

fn unique() -> String {
    format!("{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::SeqCst))
}

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("slipway-tests-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
});

/// The server that databases are made on, where the tests run on PostgreSQL.
pub static POSTGRES: LazyLock<Option<String>> = LazyLock::new(|| {
    let server = std::env::var("SLIPWAY_TEST_DATABASE_URL").ok().filter(|url| !url.is_empty());
    if server.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED: the tests run on SQLite only; set SLIPWAY_TEST_DATABASE_URL=postgres://… to run them on PostgreSQL ***\n"
        );
    }
    server
});

pub fn on_postgres() -> bool {
    POSTGRES.is_some()
}

fn database_url(server: &str, name: &str) -> String {
    let (base, _) = server.rsplit_once('/').unwrap();
    format!("{base}/{name}")
}

/// A database, made for one test and taken away after it.
pub struct TestDatabase {
    pub target: Target,
    name: String,
}

impl TestDatabase {
    /// A database without any tables.
    pub fn empty() -> Self {
        let name = format!("slipway_test_{}", unique());
        let target = match &*POSTGRES {
            None => Target::Sqlite(FOLDER.join(format!("{name}.db"))),
            Some(server) => {
                PgConnection::establish(server).unwrap().batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
                Target::Postgres(database_url(server, &name))
            }
        };
        Self { target, name }
    }

    /// A database that somebody else makes, and takes away.
    pub const fn borrowed(target: Target) -> Self {
        Self { target, name: String::new() }
    }

    /// A copy of the template: migrated, with the first start and the cast.
    fn copy_of_template() -> Self {
        let template = &*TEMPLATE;
        let name = format!("slipway_test_{}", unique());
        let target = match (&*POSTGRES, &template.target) {
            (None, Target::Sqlite(file)) => {
                let copy = FOLDER.join(format!("{name}.db"));
                std::fs::copy(file, &copy).unwrap();
                Target::Sqlite(copy)
            }
            (Some(server), _) => {
                PgConnection::establish(server)
                    .unwrap()
                    .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {}", template.name))
                    .unwrap();
                let url = database_url(server, &name);
                // The first connection to a database is the slow one: no service under test waits for it.
                PgConnection::establish(&url).unwrap();
                Target::Postgres(url)
            }
            _ => unreachable!(),
        };
        Self { target, name }
    }

    pub fn open(&self) -> Database {
        Database::open(self.target.clone(), LIMITS, 4).unwrap()
    }

    /// Runs statements past the service: what a test breaks on purpose.
    pub fn execute(&self, sql: &str) {
        let purpose = slipway::repository::connection::Purpose::Write;
        let mut connection = slipway::repository::connection::open(&self.target, LIMITS, purpose).unwrap();
        connection.batch_execute(sql).unwrap();
    }
}

/// PostgreSQL plans to read a table from end to end that it knows to be empty, and keeps that plan while it is filled.
#[track_caller]
pub fn assert_no_table_is_known_to_be_empty(database: &TestDatabase) {
    if on_postgres() {
        // What only migrations read is nobody's plan.
        let known = "SELECT relname::text AS line FROM pg_class WHERE relkind = 'r' AND reltuples = 0 \
                     AND relnamespace = 'public'::regnamespace AND relname <> 'set_aside_indexes'";
        assert_eq!(lines(&mut database.open().connect().unwrap(), known), [""; 0]);
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let _ = std::fs::remove_dir_all(documents_of(&self.target));
        }
        // Without a name it is somebody else's.
        match &self.target {
            _ if self.name.is_empty() => {}
            Target::Sqlite(file) => {
                for ending in ["", "-wal", "-shm", ".lock"] {
                    let _ = std::fs::remove_file(format!("{}{ending}", file.display()));
                }
            }
            Target::Postgres(_) if self.name.is_empty() => {}
            Target::Postgres(_) => {
                if let Some(server) = &*POSTGRES {
                    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
                    let _ = PgConnection::establish(server).unwrap().batch_execute(&drop);
                }
            }
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    pub table: String,
    /// Counted from 1.
    pub position: i64,
    pub name: String,
    /// `text`, `bigint`, `boolean` or `timestamp`.
    pub kind: String,
    pub nullable: bool,
}

/// One line of an answer to [`lines`].
#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

/// Runs a query with one column of text that is named `line`.
pub fn lines(connection: &mut AnyConnection, sql: &str) -> Vec<String> {
    use diesel::RunQueryDsl as _;
    let found: Vec<Line> = match connection {
        AnyConnection::Sqlite(sqlite) => diesel::sql_query(sql).load(sqlite).unwrap(),
        AnyConnection::Postgres(postgres) => diesel::sql_query(sql).load(postgres).unwrap(),
    };
    found.into_iter().map(|found| found.line).collect()
}

/// Runs statements.
pub fn execute(connection: &mut AnyConnection, sql: &str) -> Result<(), slipway::repository::Error> {
    Ok(connection.batch_execute(sql)?)
}

/// Runs work in a transaction inside the present one.
pub fn nested<T, E: From<diesel::result::Error>>(
    connection: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
) -> Result<T, E> {
    connection.transaction(work)
}

/// Every column of the product's tables, by table and position.
pub fn columns(connection: &mut AnyConnection) -> Vec<Column> {
    let sql = match connection {
        AnyConnection::Sqlite(_) => {
            "SELECT m.name || '|' || (c.cid + 1) || '|' || c.name || '|' || lower(c.type) || '|' || (NOT c.\"notnull\") \
             AS line FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '%diesel%'"
        }
        AnyConnection::Postgres(_) => {
            "SELECT table_name || '|' || ordinal_position || '|' || column_name || '|' || \
             replace(data_type, ' without time zone', '') || '|' || (is_nullable = 'YES')::int AS line \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '%diesel%'"
        }
    };
    let mut found: Vec<Column> = lines(connection, sql)
        .iter()
        .map(|line| {
            let parts: Vec<&str> = line.split('|').collect();
            Column {
                table: parts[0].into(),
                position: parts[1].parse().unwrap(),
                name: parts[2].into(),
                kind: parts[3].into(),
                nullable: parts[4] == "1",
            }
        })
        .collect();
    found.sort();
    found
}

/// The folder of the documents of a database.
pub fn documents_of(target: &Target) -> PathBuf {
    match target {
        Target::Sqlite(file) => PathBuf::from(format!("{}-documents", file.display())),
        Target::Postgres(url) => FOLDER.join(format!("{}-documents", url.rsplit('/').next().unwrap())),
    }
}

fn keys(database: &Database) -> Keys {
    let seal = Seal::open(&FOLDER.join("slipway.key")).unwrap();
    Keys::load(database, &seal, NOW.parse().unwrap()).unwrap()
}

struct Template {
    target: Target,
    name: String,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let made = TestDatabase::empty();
    {
        let database = made.open();
        migrations::up(&mut database.connect().unwrap()).unwrap();
        let keys = keys(&database);
        let clock = Clock::standing_at(NOW.parse().unwrap());
        let env = Arc::new(Env::new(database, keys, clock));
        first_start(&env, Some(PASSWORD)).unwrap();
        env.write_blocking(console_request(console()), |context| {
            let mut group = |name: &str, permissions: &[Permission]| {
                catalogue::create(
                    context,
                    Ok(Group {
                        name: name.into(),
                        description: None,
                        active: true,
                        permissions: Json(permissions.iter().copied().collect()),
                    }),
                )
                .map(|group| group.id)
            };
            let operators = group("Operators", &[Permission::Execute])?;
            let requesters = group("Requesters", &[Permission::Create])?;
            let team = slipway::repository::nouns::default_model(context.connection)?.unwrap();
            let team = team.content.executor_group_id.unwrap();
            for role in Role::ALL.into_iter().filter(|role| *role != Role::Admin) {
                let user = catalogue::create(
                    context,
                    Ok(User {
                        username: role.username().into(),
                        name: format!("The {}", role.username()),
                        email: format!("{}@example.org", role.username()),
                        phone: None,
                        extension: None,
                        unit_id: None,
                        location: None,
                        global_role: role.global_role(),
                        active: true,
                    }),
                )?;
                let member_of = match role {
                    Role::Lead => Some(team),
                    Role::Operator => Some(operators),
                    Role::Requester => Some(requesters),
                    _ => None,
                };
                if let Some(group) = member_of {
                    groups::add_member(context, group, Ok(user.id))?;
                }
            }
            Ok(())
        })
        .unwrap();
        if let Target::Sqlite(_) = made.target {
            env.database.connect().unwrap().batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }
    }
    // The template outlives every test; the folder of the process, or its name on the server, tells whose it is.
    let template = Template { target: made.target.clone(), name: made.name.clone() };
    std::mem::forget(made);
    template
});

/// A running service.
pub struct App {
    pub address: String,
    pub env: Arc<Env>,
    pub database: TestDatabase,
    stop: Option<(actix_web::dev::ServerHandle, std::thread::JoinHandle<()>)>,
}

impl App {
    /// Starts the service on a copy of the template; its clock stands at [`NOW`].
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same with other settings.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(TestDatabase::copy_of_template(), change)
    }

    /// A second service on the same database, at the same instant.
    pub fn beside(&self) -> Self {
        let name = String::new();
        let second = Self::on(TestDatabase { target: self.database.target.clone(), name }, |_| {});
        second.set_clock(&self.env.now().to_string());
        second
    }

    fn on(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        let opened = database.open();
        let keys = keys(&opened);
        let mut config = Config::read(None, &Default::default()).unwrap();
        config.workers = 1;
        config.pool_size = 4;
        config.documents = Place::Folder(documents_of(&database.target));
        change(&mut config);
        let store = Store::new(config.documents.clone(), Vec::new());
        let env = Env::new(opened, keys, Clock::standing_at(NOW.parse().unwrap())).with_store(store);
        let env = Arc::new(env);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (handle_out, handle_in) = mpsc::channel();
        let served = Arc::clone(&env);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = slipway::server::start(served, &config, listener).unwrap();
                handle_out.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = handle_in.recv().unwrap();
        Self { address, env, database, stop: Some((handle, thread)) }
    }

    /// A client with a session of the role's user.
    pub fn client(&self, role: Role) -> Client {
        let user = self.user_id(role);
        let session = SessionId::new(uuid::Uuid::now_v7());
        let now = self.env.now();
        let actor = Actor {
            user_id: user,
            username: role.username().into(),
            global_role: None,
            memberships: Vec::new(),
            scopes: None,
            via: Via::Session(session),
        };
        let mut request = console_request(console());
        request.credentials = Credentials::Console(actor);
        self.env
            .write_blocking(request, move |context| {
                let permit = context.authorise(slipway::domain::policy::Access::Own)?;
                let row = identity::SessionRow {
                    id: session,
                    user_id: user,
                    created_at: now,
                    expires_at: now.plus(chrono::TimeDelta::days(30)),
                    revoked_at: None,
                    audit_seq: 0,
                    audit_head: String::new(),
                };
                let stamp = context.record(
                    permit,
                    &Default::default(),
                    slipway::service::Recorded {
                        record_type: "session",
                        record_id: session.to_string(),
                        subject: None,
                        action: "session.login".into(),
                        before: None,
                        after: None,
                        published: false,
                    },
                )?;
                identity::insert_session(context.connection, &row, &stamp)?;
                Ok(Reply::empty())
            })
            .unwrap();
        let iat = now.unix_seconds();
        let claims = Claims {
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            sub: user,
            sid: session,
            exp: iat + 600,
            iat,
            jti: uuid::Uuid::now_v7().to_string(),
        };
        self.client_with(&self.env.keys.sign(&claims).unwrap())
    }

    /// A client with any token.
    pub fn client_with(&self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self.anonymous() }
    }

    /// A client without a credential.
    pub fn anonymous(&self) -> Client {
        Client {
            base: format!("http://{}", self.address),
            token: None,
            http: reqwest::blocking::Client::builder()
                .timeout(std::time::Duration::from_secs(60))
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        }
    }

    /// The user of a role.
    pub fn user_id(&self, role: Role) -> UserId {
        let found = self.env.database.read_blocking::<_, slipway::service::Error>(|connection| {
            Ok(slipway::repository::directory::account(connection, role.username())?)
        });
        found.unwrap().unwrap().0
    }

    /// Moves the clock to an instant.
    pub fn set_clock(&self, at: &str) {
        self.env.clock().set(at.parse().unwrap());
    }

    /// The identifier of a group, by name.
    pub fn group(&self, name: &str) -> String {
        self.named("groups", name)
    }

    /// The identifier of a model, by name.
    pub fn model(&self, name: &str) -> String {
        self.named("models", name)
    }

    /// The identifier of a record, by the start of its name.
    pub fn named(&self, collection: &str, name: &str) -> String {
        let q: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let page = self.client(Role::Admin).get(&format!("/{collection}?q={q}")).expect(200);
        page.body["data"][0]["id"].as_str().unwrap_or_else(|| panic!("no {name} in {collection}")).to_owned()
    }

    /// An active justification for a use.
    pub fn justification(&self, wanted: &str) -> String {
        let page = self.client(Role::Admin).get(&format!("/justifications?applies_to={wanted}")).expect(200);
        page.body["data"][0]["id"].as_str().unwrap().to_owned()
    }

    /// A solution category.
    pub fn solution_category(&self) -> String {
        let page = self.client(Role::Admin).get("/solution-categories").expect(200);
        page.body["data"][0]["id"].as_str().unwrap().to_owned()
    }

    /// A change with a status; answers its identifier.
    pub fn change(&self, status: &str) -> String {
        let key = unique();
        let change = json!({"source": "test", "external_id": key, "title": format!("Change {key}"), "status": status});
        self.client(Role::Integration).post("/changes", &change).expect(201).id()
    }

    /// A configuration item in production at version 1.0.0; answers its identifier.
    pub fn item(&self) -> String {
        let key = unique();
        let item = json!({
            "source": "cmdb", "external_id": key, "name": format!("Item {key}"), "class": "service",
            "environment": "test", "status": "in_production", "version": "1.0.0", "attributes": {"cpu": 8},
        });
        self.client(Role::Integration).post("/configuration-items", &item).expect(201).id()
    }

    /// Registers a release as the manager: planned, with an authorised change, so that its gates pass.
    pub fn release(&self) -> ReleaseBuilder<'_> {
        ReleaseBuilder { app: self, body: new_release(), stage: "planning".into(), status: "open".into() }
    }

    /// Runs `doctor`'s checks.
    pub fn assert_sound(&self) {
        let findings = slipway::service::doctor::examine(&mut self.env.database.connect().unwrap()).unwrap();
        let faults: Vec<_> = findings.into_iter().filter(|finding| finding.fault.is_some()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        let documents = slipway::service::document_keeping::examine(&self.env.database, self.env.store().unwrap());
        assert_eq!(documents.unwrap().fault, None);
    }
}

/// The body of an upload with its `Content-Type`: parts with their names, and a file as its name, type and content.
pub fn form(parts: &[(&str, &str)], file: Option<(&str, &str, &[u8])>) -> (String, Vec<u8>) {
    let boundary = format!("boundary{}", unique());
    let mut body = Vec::new();
    for (name, text) in parts {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
        body.extend_from_slice(head.as_bytes());
    }
    if let Some((name, media_type, content)) = file {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: {media_type}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.stop.take() {
            actix_web::rt::System::new().block_on(handle.stop(false));
            let _ = thread.join();
        }
    }
}

/// The body of a release with everything that a plan needs but a change.
pub fn new_release() -> Value {
    json!({
        "title": "Payments 4.2",
        "version": "4.2.0",
        "requester": {"name": "Ana Souza", "email": "ana@example.org"},
        "planning_window": {"start": "2030-02-01T09:00:00Z", "end": "2030-02-01T18:00:00Z"},
        "deployment_window": {"start": "2030-02-05T22:00:00Z", "end": "2030-02-06T02:00:00Z"},
    })
}

/// A release in the making.
pub struct ReleaseBuilder<'a> {
    app: &'a App,
    body: Value,
    stage: String,
    status: String,
}

impl ReleaseBuilder<'_> {
    /// Sets a field of the body.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body[field] = value.into();
        self
    }

    /// Carries the release to this stage.
    pub fn at(mut self, stage: &str) -> Self {
        self.stage = stage.into();
        self
    }

    /// Carries the release to this status, in its stage (`reopened` and `closed` go through the whole lifecycle).
    pub fn status(mut self, status: &str) -> Self {
        self.status = status.into();
        self
    }

    /// Makes it; answers the release as the manager sees it.
    pub fn make(mut self) -> Value {
        let manager = self.app.client(Role::Manager);
        if self.body.get("changes").is_none() {
            self.body["changes"] = json!([{"change_id": self.app.change("authorised")}]);
        }
        let mut release = manager.post("/releases", &self.body).expect(201).body;
        match self.status.as_str() {
            "open" => carry(self.app, &manager, &mut release, &self.stage),
            "suspended" => {
                carry(self.app, &manager, &mut release, &self.stage);
                let body =
                    json!({"action": "suspend", "justification_id": self.app.justification("suspend"), "note": "Wait"});
                release = transition(&manager, &release, &body);
            }
            "cancelled" => {
                carry(self.app, &manager, &mut release, &self.stage);
                record_outcomes(&manager, &release);
                let body = json!({"action": "cancel", "justification_id": self.app.justification("cancel"), "closure_notes": "No more"});
                release = transition(&manager, &release, &body);
            }
            "closed" => release = closed(self.app, &manager, release),
            "reopened" => {
                release = closed(self.app, &manager, release);
                let body = json!({"action": "reopen", "justification_id": self.app.justification("reopen")});
                release = transition(&manager, &release, &body);
                carry(self.app, &manager, &mut release, &self.stage);
            }
            other => panic!("no status {other}"),
        }
        release
    }
}

fn closed(app: &App, manager: &Client, mut release: Value) -> Value {
    carry(app, manager, &mut release, "closure");
    record_outcomes(manager, &release);
    let mut body = json!({"action": "close", "on_behalf_of": {"origin": "phone", "note": "Agreed"}});
    if release["resolution"].is_null() {
        for (name, value) in solved(app).as_object().unwrap() {
            body[name] = value.clone();
        }
    }
    transition(manager, &release, &body)
}

/// The fields with which a release is accepted as solved.
pub fn solved(app: &App) -> Value {
    json!({
        "resolution": "solved",
        "release_date": NOW,
        "solution_category_id": app.solution_category(),
        "closure_notes": "All shops pay again",
    })
}

/// The verdict on an action of a release: whether it is allowed, and the codes of what is in the way.
pub fn verdict(client: &Client, release: &Value, action: &str) -> (bool, Vec<String>) {
    let path = format!("/releases/{}/allowed-transitions", release["id"].as_str().unwrap());
    let answer = client.get(&path).expect(200);
    let verdicts = answer.body["data"].as_array().unwrap();
    let verdict = verdicts.iter().find(|verdict| verdict["action"] == action).unwrap();
    let codes = verdict["blockers"].as_array().unwrap().iter();
    (verdict["allowed"] == true, codes.map(|blocker| blocker["code"].as_str().unwrap().to_owned()).collect())
}

/// Records `deployed` for every linked change.
pub fn record_outcomes(client: &Client, release: &Value) {
    let id = release["id"].as_str().unwrap();
    let links = client.get(&format!("/releases/{id}/changes")).expect(200);
    for link in links.body["data"].as_array().unwrap() {
        let path = format!("/releases/{id}/changes/{}", link["id"].as_str().unwrap());
        client.patch(&path, "*", &json!({"outcome": "deployed"})).expect(200);
    }
}

/// Does one action; answers the release after it, which is what a read answers next.
pub fn transition(client: &Client, release: &Value, body: &Value) -> Value {
    let path = format!("/releases/{}", release["id"].as_str().unwrap());
    let after = client.post(&format!("{path}/transitions"), body).expect(201).body["release"].clone();
    let read = client.get(&path);
    // Whoever hands a release over may see it no more.
    if read.status != 404 {
        for field in ["status", "stage", "row_version", "allowed_actions", "warnings"] {
            assert_eq!(after[field], read.body[field], "{field} after {body}");
        }
    }
    after
}

/// Advances a release as the manager until it stands at the stage.
pub fn carry(app: &App, manager: &Client, release: &mut Value, stage: &str) {
    while release["stage"] != stage {
        let from = release["stage"].as_str().unwrap().to_owned();
        let mut body = json!({
            "action": "advance",
            "from_stage": from,
            "on_behalf_of": {"origin": "phone", "note": "Agreed"},
        });
        if from == "acceptance" {
            for (name, value) in solved(app).as_object().unwrap() {
                body[name] = value.clone();
            }
        }
        *release = transition(manager, release, &body);
    }
}

/// An HTTP client of one caller.
#[derive(Clone)]
pub struct Client {
    pub base: String,
    pub token: Option<String>,
    pub http: reqwest::blocking::Client,
}

impl Client {
    /// A request on a path below `/api/v1`, with the caller's token.
    pub fn request(&self, method: &str, path: &str) -> reqwest::blocking::RequestBuilder {
        let outside = ["/api/", "/docs", "/livez", "/readyz", "/metrics"];
        let url = if outside.iter().any(|start| path.starts_with(start)) {
            format!("{}{path}", self.base)
        } else {
            format!("{}/api/v1{path}", self.base)
        };
        let request = self.http.request(method.parse().unwrap(), url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request("POST", path).json(body))
    }

    /// Uploads a document: its parts, and a small text file of this name.
    pub fn upload(&self, path: &str, parts: &[(&str, &str)], name: &str, content: &[u8]) -> Answer {
        self.send_form(path, form(parts, Some((name, "text/plain", content))))
    }

    /// A POST with a form.
    pub fn send_form(&self, path: &str, (content_type, body): (String, Vec<u8>)) -> Answer {
        Answer::of(self.request("POST", path).header("content-type", content_type).body(body))
    }

    /// A PUT with a form.
    pub fn put_form(&self, path: &str, (content_type, body): (String, Vec<u8>)) -> Answer {
        Answer::of(self.request("PUT", path).header("content-type", content_type).body(body))
    }

    /// A POST with an idempotency key.
    pub fn post_once(&self, path: &str, key: &str, body: &Value) -> Answer {
        Answer::of(self.request("POST", path).header("Idempotency-Key", key).json(body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request("PUT", path).json(body))
    }

    pub fn patch(&self, path: &str, if_match: &str, body: &Value) -> Answer {
        Answer::of(self.request("PATCH", path).header("If-Match", if_match).json(body))
    }

    pub fn delete(&self, path: &str, if_match: &str) -> Answer {
        Answer::of(self.request("DELETE", path).header("If-Match", if_match))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    pub fn of(request: reqwest::blocking::RequestBuilder) -> Self {
        let response = request.send().unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Self { status, headers, body, text };
        answer.assert_conventions();
        answer
    }

    /// What holds of every answer whatever it is.
    fn assert_conventions(&self) {
        assert!(self.status < 500 || self.status == 503 || self.status == 507, "{} {}", self.status, self.text);
        assert!(!self.header("x-request-id").is_empty());
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        if self.status >= 400 {
            assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
            assert_eq!(self.body["status"], self.status, "{}", self.text);
            assert_eq!(self.body["request_id"], self.header("x-request-id"));
            let code = self.body["code"].as_str().unwrap();
            assert!(
                slipway::error::PROBLEM_CODES.iter().any(|(known, status, _)| *known == code && *status == self.status),
                "{code} with {} is not in the catalogue",
                self.status
            );
            for fault in self.body["errors"].as_array().unwrap() {
                let code = fault["code"].as_str().unwrap();
                let known = slipway::error::FAULT_CODES.iter().any(|(known, _)| *known == code)
                    || slipway::error::PROBLEM_CODES.iter().any(|(known, ..)| *known == code);
                assert!(known, "the fault code {code} is not in the catalogue");
            }
        }
    }

    /// The same answer, which must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The same answer, which must be this problem.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.body["code"].as_str().unwrap_or("")), (status, code), "{}", self.text);
        self
    }

    /// The same answer, whose faults must be exactly these: pointer or parameter, and code.
    #[track_caller]
    pub fn faults(self, expected: &[(&str, &str)]) -> Self {
        let mut found: Vec<(String, String)> = self.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| {
                let place = fault["pointer"].as_str().or(fault["parameter"].as_str()).unwrap_or("");
                (place.to_owned(), fault["code"].as_str().unwrap().to_owned())
            })
            .collect();
        found.sort();
        let mut expected: Vec<(String, String)> =
            expected.iter().map(|(place, code)| ((*place).to_owned(), (*code).to_owned())).collect();
        expected.sort();
        assert_eq!(found, expected, "{}", self.text);
        self
    }

    /// The codes of the blockers.
    pub fn blockers(&self) -> Vec<String> {
        let blockers = self.body["blockers"].as_array().cloned().unwrap_or_default();
        blockers.iter().map(|blocker| blocker["code"].as_str().unwrap().to_owned()).collect()
    }

    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.text)).to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}
