//! The command line.

mod cli {
    pub mod import;
    pub mod keeping;
}

use std::io::Write as _;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use slipway::api::v1::tokens::TokenToCreate;
use slipway::config::{Config, ConfigError};
use slipway::domain::values::{GlobalRole, Timestamp, TokenId, TokenScope};
use slipway::repository::backup::other_sessions;
use slipway::repository::{Database, Error as DatabaseError, Target, connection, migrations};
use slipway::service::env::Clock;
use slipway::service::identity::{PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN, hash_password};
use slipway::service::keys::{Keys, Seal};
use slipway::service::setup::{ADMIN, FirstStart, console, console_request, first_start};
use slipway::service::{
    Env, Error as ServiceError, MergePatch, catalogue, document_keeping, importing::Importing, keeping::Keeping, seed,
    tokens, users,
};
use slipway::store::{Place, Store};
use slipway::{api, server, telemetry};

/// A request makes many small values on one thread and drops them on another; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A release-management service.
#[derive(Parser)]
#[command(
    name = "slipway",
    version,
    about,
    after_help = "Exit codes: 0 done · 1 failed · 2 wrong usage · 3 bad configuration · 4 database not available or not migrated · 5 the doctor found faults"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (what runs without a word)
    Serve,
    /// Apply, take back or show migrations
    Migrate {
        #[command(subcommand)]
        direction: Migrate,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Manage users
    User {
        #[command(subcommand)]
        action: UserAction,
    },
    /// Manage personal access tokens
    Token {
        #[command(subcommand)]
        action: TokenAction,
    },
    /// Fill an installation with believable data
    Seed {
        /// The same number gives the same data
        #[arg(long, default_value_t = 1)]
        rng_seed: u64,
        /// How many releases
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        releases: u32,
    },
    /// Import configuration items and relationships, while the service does not run on an embedded database
    Import(cli::import::Arguments),
    /// Prove that the database is whole
    Doctor {
        /// Compare the checkpoints of the audit with those in a file that was kept elsewhere
        #[arg(long, value_name = "FILE")]
        checkpoint_file: Option<std::path::PathBuf>,
    },
    /// Write a proved backup into a file, while the service runs
    Backup(cli::keeping::Files),
    /// Put the database back from a backup, while the service does not run
    Restore(cli::keeping::Files),
    /// Ask the service that runs with these settings whether it is ready
    Health {
        /// Ask only whether it is alive
        #[arg(long)]
        live: bool,
    },
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
}

#[derive(Subcommand)]
enum Migrate {
    /// Apply what is pending
    Up,
    /// Take the last N back
    Down {
        /// How many
        count: usize,
    },
    /// Show what is applied and what is pending
    Status,
}

#[derive(Subcommand)]
enum UserAction {
    /// Add a user; the password is read from standard input
    Add {
        /// Login name
        username: String,
        /// Name for people
        #[arg(long)]
        name: String,
        /// E-mail address
        #[arg(long)]
        email: String,
        /// admin, release_manager, viewer or integration
        #[arg(long)]
        role: Option<GlobalRole>,
    },
    /// Set a user's password, read from standard input
    SetPassword {
        /// Login name
        username: String,
    },
    /// Disable a user's account
    Disable {
        /// Login name
        username: String,
    },
}

#[derive(Subcommand)]
enum TokenAction {
    /// Create a token and print it once
    Create {
        /// Whose it is
        #[arg(long)]
        user: String,
        /// Name for people
        #[arg(long)]
        name: String,
        /// read, releases:write, catalogue:write, integration:write or admin; may be repeated
        #[arg(long = "scope", required = true)]
        scopes: Vec<TokenScope>,
        /// When it ends, such as 2027-01-31T00:00:00Z; without it, never
        #[arg(long)]
        expires_at: Option<Timestamp>,
    },
    /// Revoke a token
    Revoke {
        /// Its identifier
        id: TokenId,
    },
}

#[derive(Subcommand)]
enum ConfigAction {
    /// Print the settings, with secrets left out
    Print,
}

/// A long seeding tells how far it is every so many percent.
const SEED_PROGRESS_PERCENT: usize = 5;

/// Why a command failed; decides the exit code.
enum Failure {
    Failed(String),
    Usage(String),
    Configuration(ConfigError),
    /// A file that a setting names cannot be used.
    Unusable(String),
    Database(String),
    Unsound,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Configuration(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Repository(error) if !error.is_constraint() => error.into(),
            ServiceError::Invalid(faults) | ServiceError::Malformed(faults) => {
                let told: Vec<String> = faults.into_iter().map(|fault| fault.detail).collect();
                Self::Failed(told.join("; "))
            }
            ServiceError::Unusable(reason) => Self::Unusable(reason),
            other => Self::Failed(other.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command.unwrap_or(Command::Serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (code, text) = match failure {
                Failure::Failed(text) => (1, text),
                Failure::Usage(text) => (2, text),
                Failure::Configuration(error) => (3, error.to_string()),
                Failure::Unusable(text) => (3, text),
                Failure::Database(text) => (4, text),
                Failure::Unsound => (5, "the database is not sound".into()),
            };
            eprintln!("slipway: {}", text.replace('\n', " "));
            ExitCode::from(code)
        }
    }
}

/// Writes to standard output. A reader that went away has read what it wanted.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Openapi => say(api::contract::DOCUMENT.as_str()),
        Command::Config { action: ConfigAction::Print } => say(&Config::load()?.print()),
        Command::Serve => serve(&Config::load()?),
        Command::Migrate { direction } => migrate(&Config::load()?, &direction),
        Command::User { action } => user(&Config::load()?, action),
        Command::Token { action } => token(&Config::load()?, action),
        Command::Seed { rng_seed, releases } => fill(&Config::load()?, rng_seed, releases),
        Command::Import(arguments) => cli::import::run(&Config::load()?, &arguments),
        Command::Doctor { checkpoint_file } => cli::keeping::examine(&Config::load()?, checkpoint_file.as_deref()),
        Command::Backup(files) => cli::keeping::backup(&Config::load()?, &files),
        Command::Restore(files) => cli::keeping::restore(&Config::load()?, &files),
        Command::Health { live } => {
            let path = if live { "/livez" } else { "/readyz" };
            server::probe::ask(Config::load()?.listen, path).map_err(Failure::Failed)
        }
    }
}

fn database(config: &Config) -> Result<Database, Failure> {
    Ok(Database::open(config.database_url.clone(), config.limits(), config.pool_size)?)
}

/// Migrates an embedded database, whose file the caller has locked or not; refuses a PostgreSQL that is not migrated.
fn migrated(config: &Config, database: &Database, locked: Option<&migrations::FileLock>) -> Result<(), Failure> {
    let mut connection = database.connect()?;
    let mut pending = migrations::status(&mut connection)?;
    pending.retain(|step| !step.applied);
    if pending.is_empty() {
        return Ok(());
    }
    match config.database_url {
        Target::Sqlite(_) => {
            let lock = if locked.is_some() { Ok(None) } else { migrations::lock_file(&config.database_url) };
            match lock {
                // Another process is loading, or makes its indexes: what is done beside it needs none of them.
                Err(DatabaseError::Busy(_)) if pending.iter().all(migrations::Step::is_index) => {}
                lock => {
                    let _lock = lock?;
                    migrations::up(&mut connection)?;
                }
            }
            Ok(())
        }
        Target::Postgres(_) => Err(Failure::Database(format!(
            "{} migrations or indexes are pending on {}; run `slipway migrate up` first",
            pending.len(),
            config.database_url.redacted()
        ))),
    }
}

/// The store of documents, with what the environment says of S3.
fn store(config: &Config) -> Store {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Store::new(config.documents.clone(), std::env::vars_os().filter_map(text))
}

fn environment(config: &Config, database: Database, clock: Clock) -> Result<Arc<Env>, Failure> {
    let seal = Seal::open(&config.key_file).map_err(|error| Failure::Unusable(error.to_string()))?;
    let keys = Keys::load(&database, &seal, slipway::domain::values::Timestamp::new(chrono::Utc::now()))?;
    Ok(Arc::new(Env::new(database, keys, clock).with_store(store(config))))
}

/// What commands besides `serve` work with: a migrated database on which the first start has happened. Its file the
/// caller has locked or not.
fn installed(config: &Config, locked: Option<&migrations::FileLock>) -> Result<Arc<Env>, Failure> {
    let database = database(config)?;
    migrated(config, &database, locked)?;
    let env = environment(config, database, Clock::System)?;
    tell_first_start(&first_start(&env, config.admin_password.as_deref())?)?;
    Ok(env)
}

fn tell_first_start(first: &FirstStart) -> Result<(), Failure> {
    match first {
        FirstStart::Before => Ok(()),
        FirstStart::Configured => {
            say(&format!("First start: user `{ADMIN}` has the password of SLIPWAY_ADMIN_PASSWORD.\n"))
        }
        FirstStart::MadeUp(password) => {
            say(&format!("First start: user `{ADMIN}`, password `{password}` - shown this once.\n"))
        }
    }
}

fn serve(config: &Config) -> Result<(), Failure> {
    telemetry::start();
    let lock = migrations::lock_file(&config.database_url)?;
    let database = database(config)?;
    migrated(config, &database, lock.as_ref())?;
    let env = environment(config, database, Clock::System)?;
    let first = first_start(&env, config.admin_password.as_deref())?;
    let listener = TcpListener::bind(config.listen)
        .map_err(|error| Failure::Failed(format!("cannot listen on {}: {error}", config.listen)))?;
    let address = listener.local_addr().map_or(config.listen, |address| address);
    let metrics_listener = match config.metrics_listen {
        None => None,
        Some(address) => Some(
            TcpListener::bind(address)
                .map_err(|error| Failure::Failed(format!("cannot listen on {address} for metrics: {error}")))?,
        ),
    };
    tell_first_start(&first)?;
    env.store().map_err(|error| Failure::Failed(error.to_string()))?.guard();
    // What lies in another machine may not answer: the keeper asks it, again and again.
    if let Place::Folder(_) = &config.documents
        && let Err(error) = document_keeping::claim(&env)
    {
        // Everything but documents works without their store.
        log::error!("documents in {}: {error}", config.documents);
    }
    if let Some(Ok(address)) = metrics_listener.as_ref().map(TcpListener::local_addr) {
        say(&format!("Metrics   http://{address}/metrics\n"))?;
    }
    let password = match &first {
        FirstStart::MadeUp(password) => password.as_str(),
        _ => "…",
    };
    let (database, documents, base) = (config.database_url.redacted(), &config.documents, api::BASE);
    say(&format!(
        "Database  {database}\nDocuments {documents}\nAPI       http://{address}{base}\nDocs      http://{address}/docs\n\
         Log in    curl -s http://{address}{base}/auth/login -H 'content-type: application/json' \
         -d '{{\"username\":\"{ADMIN}\",\"password\":\"{password}\"}}'\n"
    ))?;
    let failed = |error: std::io::Error| Failure::Failed(error.to_string());
    let _importer = Importing::new(Arc::clone(&env), api::v1::imports::FORMS).start().map_err(failed)?;
    let _keeper = Keeping::new(Arc::clone(&env), config.checkpoint_file.clone())
        .with_import_results_days(config.import_results_days)
        .start()
        .map_err(failed)?;
    make_room_for_connections(config);
    actix_web::rt::System::new().block_on(async {
        if let Some(listener) = metrics_listener {
            actix_web::rt::spawn(server::scrape::start(Arc::clone(&env), listener).map_err(failed)?);
        }
        server::serve(env, config, listener).await.map_err(failed)
    })
}

/// Lets the process have as many open files as its connections need, as far as the system allows.
fn make_room_for_connections(config: &Config) {
    let wanted = server::open_files(config);
    let limit = rlimit::increase_nofile_limit(wanted).unwrap_or(0);
    if limit < wanted {
        log::warn!("{limit} files may be open, {wanted} are wanted: lower max_connections, or raise the limit");
    }
}

fn migrate(config: &Config, direction: &Migrate) -> Result<(), Failure> {
    let connect = || {
        slipway::repository::connection::open(
            &config.database_url,
            config.limits(),
            slipway::repository::connection::Purpose::Write,
        )
    };
    let told = |verb: &str, names: Vec<String>| {
        if names.is_empty() {
            return say("Nothing to do.\n");
        }
        let lines: Vec<String> = names.iter().map(|name| format!("{verb} {name}\n")).collect();
        say(&lines.concat())
    };
    match direction {
        Migrate::Up => {
            let _lock = migrations::lock_file(&config.database_url)?;
            told("applied", migrations::up(&mut connect()?)?)
        }
        Migrate::Down { count } => {
            let _lock = migrations::lock_file(&config.database_url)?;
            told("took back", migrations::down(&mut connect()?, *count)?)
        }
        // Looking needs no lock: the service may be running.
        Migrate::Status => {
            let steps = migrations::status(&mut connect()?)?;
            let lines: Vec<String> = steps
                .iter()
                .map(|step| {
                    let state = if step.applied { "applied" } else { "pending" };
                    format!("{state} {}\n", step.name)
                })
                .collect();
            say(&lines.concat())
        }
    }
}

fn read_password() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| Failure::Failed(error.to_string()))?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if !(PASSWORD_LENGTH_MIN..=PASSWORD_LENGTH_MAX).contains(&password.chars().count()) {
        return Err(Failure::Failed(format!(
            "the password on standard input has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
        )));
    }
    Ok(password)
}

fn user(config: &Config, action: UserAction) -> Result<(), Failure> {
    match action {
        UserAction::Add { username, name, email, role } => {
            let hash = hash_password(&read_password()?)?;
            let env = installed(config, None)?;
            let document = serde_json::json!({"username": username, "name": name, "email": email, "global_role": role});
            let draft = api::schema::check_whole::<slipway::repository::nouns::User>(document);
            env.write_blocking(console_request(console()), move |context| {
                let user = catalogue::create(context, draft.clone())?;
                users::set_password(context, user.id, &hash, None)
            })?;
            say(&format!("Added {username}.\n"))
        }
        UserAction::SetPassword { username } => {
            let hash = hash_password(&read_password()?)?;
            let env = installed(config, None)?;
            let name = username.clone();
            env.write_blocking(console_request(console()), move |context| {
                let user = users::by_name(context, &name)?;
                users::set_password(context, user, &hash, None)
            })?;
            say(&format!("Set the password of {username}; their sessions are ended.\n"))
        }
        UserAction::Disable { username } => {
            let env = installed(config, None)?;
            let name = username.clone();
            env.write_blocking(console_request(console()), move |context| {
                let user = users::by_name(context, &name)?;
                let patch = MergePatch {
                    document: serde_json::json!({"active": false}),
                    parse: api::schema::check_whole::<slipway::repository::nouns::User>,
                };
                let if_match = context.request.if_match.clone();
                catalogue::patch(context, user, &if_match, &patch).map(|_| ())
            })?;
            say(&format!("Disabled {username}.\n"))
        }
    }
}

fn token(config: &Config, action: TokenAction) -> Result<(), Failure> {
    let env = installed(config, None)?;
    match action {
        TokenAction::Create { user, name, scopes, expires_at } => {
            let document = serde_json::json!({"name": name, "scopes": scopes});
            let new = api::schema::check_whole::<TokenToCreate>(document).map_err(ServiceError::Invalid)?;
            let new = tokens::NewToken { name: new.name, scopes: new.scopes, expires_at };
            let (row, secret) = env.write_blocking(console_request(console()), move |context| {
                let owner = users::by_name(context, &user)?;
                tokens::create(context, owner, &new)
            })?;
            say(&format!("{secret}\n"))?;
            eprintln!("Token {} is shown this once.", row.id);
            Ok(())
        }
        TokenAction::Revoke { id } => {
            env.write_blocking(console_request(console()), move |context| tokens::revoke(context, id))?;
            say(&format!("Revoked {id}.\n"))
        }
    }
}

fn fill(config: &Config, rng_seed: u64, releases: u32) -> Result<(), Failure> {
    if releases > seed::ONE_BY_ONE_RELEASES_MAX && matches!(config.database_url, Target::Postgres(_)) {
        // Whoever works there would wait for locks, and for what is found without an index.
        let others =
            other_sessions(&mut connection::open(&config.database_url, config.limits(), connection::Purpose::Read)?)?;
        if others > 0 {
            return Err(Failure::Database(format!(
                "{others} other sessions are connected to {}; more than {} releases are seeded alone",
                config.database_url.redacted(),
                seed::ONE_BY_ONE_RELEASES_MAX
            )));
        }
    }
    let lock = migrations::lock_file(&config.database_url)?;
    let database = database(config)?;
    migrated(config, &database, lock.as_ref())?;
    let seeding = seed::Seeding::new(&*environment(config, database, Clock::System)?, rng_seed);
    // A first start that happens now belongs to what follows from the number, its identifiers too.
    tell_first_start(&first_start(seeding.env(), config.admin_password.as_deref())?)?;
    let mut shown = 0;
    let told = seeding.fill(releases, &mut |stored| {
        let percent = stored * 100 / usize::try_from(releases).unwrap_or(1).max(1);
        if percent >= shown + SEED_PROGRESS_PERCENT {
            shown = percent;
            eprintln!("{stored} of {releases} releases");
        }
    })?;
    say(&format!("{told}\n"))
}
