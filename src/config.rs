//! Settings: defaults < file < environment. Every fault is reported at once; an unknown key is refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Serialize;
use url::Url;

use crate::repository::{Limits, Target};
use crate::service::identity::{PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN};
use crate::store::Place;

/// The file that is read when `SLIPWAY_CONFIG` names none and it is there.
pub const DEFAULT_FILE: &str = "slipway.toml";

/// Settings that may hold a secret: each may also be the content of the file that its variable with `_FILE` names.
pub const IN_FILES: [&str; 2] = ["DATABASE_URL", "SLIPWAY_ADMIN_PASSWORD"];

/// The largest size of documents that may be set: 1 GiB.
const DOCUMENT_BYTES_MAX_MAX: u64 = 1 << 30;

/// One setting: its key in the file, its environment variable, its default, what it is.
pub struct Setting {
    /// Key in the file.
    pub key: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    /// Default, as text.
    pub default: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Never shown.
    pub secret: bool,
}

const fn setting(key: &'static str, variable: &'static str, default: &'static str, doc: &'static str) -> Setting {
    Setting { key, variable, default, doc, secret: false }
}

/// Every setting there is; the README's table is compared with it.
pub const SETTINGS: &[Setting] = &[
    setting("listen", "SLIPWAY_LISTEN", "127.0.0.1:8080", "Address and port to listen on."),
    setting("database_url", "DATABASE_URL", "sqlite:slipway.db", "`sqlite:FILE` or `postgres://…`."),
    Setting {
        key: "admin_password",
        variable: "SLIPWAY_ADMIN_PASSWORD",
        default: "",
        doc: "Password of `admin` at the first start; without it a random one is made and printed once.",
        secret: true,
    },
    setting(
        "rate_limit",
        "SLIPWAY_RATE_LIMIT",
        "",
        "Requests per minute and caller; 0 = off. Default: 600, and off when listening on loopback.",
    ),
    setting(
        "key_file",
        "SLIPWAY_KEY_FILE",
        "slipway.key",
        "File of the secret that the signing keys are sealed under; made at the first start.",
    ),
    setting(
        "metrics_listen",
        "SLIPWAY_METRICS_LISTEN",
        "",
        "Address and port for `/metrics` alone. Without it, `/metrics` is on `listen` where that is loopback, and nowhere else.",
    ),
    setting(
        "trusted_proxies",
        "SLIPWAY_TRUSTED_PROXIES",
        "",
        "Addresses and networks (`10.0.0.0/8`), with commas, whose `X-Forwarded-For` or `Forwarded` counts.",
    ),
    setting(
        "cors_origins",
        "SLIPWAY_CORS_ORIGINS",
        "",
        "Origins (`https://desk.example.org`), with commas, whose pages may use the API from a browser.",
    ),
    setting("workers", "SLIPWAY_WORKERS", "", "HTTP worker threads. Default: one per core."),
    setting("pool_size", "SLIPWAY_POOL_SIZE", "", "Database connections. Default: 4 on SQLite, 16 on PostgreSQL."),
    setting(
        "statement_timeout_ms",
        "SLIPWAY_STATEMENT_TIMEOUT_MS",
        "10000",
        "Longest that a PostgreSQL statement may run.",
    ),
    setting("lock_timeout_ms", "SLIPWAY_LOCK_TIMEOUT_MS", "5000", "Longest that a statement waits for a lock."),
    setting(
        "max_in_flight",
        "SLIPWAY_MAX_IN_FLIGHT",
        "256",
        "Requests in work at the same time; more are told to come back.",
    ),
    setting(
        "max_connections",
        "SLIPWAY_MAX_CONNECTIONS",
        "4096",
        "Open connections of clients; on more, only probes are answered.",
    ),
    setting("head_timeout_ms", "SLIPWAY_HEAD_TIMEOUT_MS", "10000", "The head of a request arrives within this time."),
    setting("body_timeout_ms", "SLIPWAY_BODY_TIMEOUT_MS", "30000", "The body of a request arrives within this time."),
    setting("keep_alive_ms", "SLIPWAY_KEEP_ALIVE_MS", "75000", "A connection without a request is kept for so long."),
    setting(
        "write_timeout_ms",
        "SLIPWAY_WRITE_TIMEOUT_MS",
        "30000",
        "A client that does not read its answer is waited for so long.",
    ),
    setting(
        "drain_seconds",
        "SLIPWAY_DRAIN_SECONDS",
        "",
        "After SIGTERM or SIGINT, requests are served for so long while `/readyz` says no. \
         Default: 5, and 0 when listening on loopback.",
    ),
    setting(
        "shutdown_grace_seconds",
        "SLIPWAY_SHUTDOWN_GRACE_SECONDS",
        "20",
        "Then requests in flight get so long to finish.",
    ),
    setting(
        "documents",
        "SLIPWAY_DOCUMENTS",
        "",
        "Where the content of documents lies: `file:FOLDER` or `s3://BUCKET/PREFIX`. \
         Default: a folder beside the SQLite file, named as it with `-documents` behind; on PostgreSQL `slipway-documents` in the working folder.",
    ),
    setting(
        "document_bytes_max",
        "SLIPWAY_DOCUMENT_BYTES_MAX",
        "26214400",
        "Largest document that is taken, in bytes.",
    ),
    setting(
        "import_results_days",
        "SLIPWAY_IMPORT_RESULTS_DAYS",
        "30",
        "What became of each row of an import can be read for so many days after the import was over.",
    ),
    setting(
        "checkpoint_file",
        "SLIPWAY_CHECKPOINT_FILE",
        "",
        "File that every checkpoint of the audit is appended to; without it, they are in the database alone.",
    ),
    setting(
        "postgres_programs",
        "SLIPWAY_POSTGRES_PROGRAMS",
        "",
        "Folder of `pg_dump` and `pg_restore`. Default: `PATH`, then `/usr/lib/postgresql/*/bin`.",
    ),
];

/// The settings, typed.
#[derive(Debug, Clone, Serialize)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The database.
    #[serde(serialize_with = "redacted_target")]
    pub database_url: Target,
    /// Password of the first administrator.
    #[serde(serialize_with = "redacted_secret")]
    pub admin_password: Option<String>,
    /// Requests per minute and caller; 0 is off.
    pub rate_limit: u32,
    /// File of the sealing secret.
    pub key_file: PathBuf,
    /// Address and port for the metrics alone.
    #[serde(serialize_with = "text_or_nothing")]
    pub metrics_listen: Option<SocketAddr>,
    /// Proxies whose word about the caller's address counts.
    #[serde(serialize_with = "as_texts")]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may use the API from a browser.
    pub cors_origins: Vec<String>,
    /// HTTP worker threads.
    pub workers: usize,
    /// Database connections.
    pub pool_size: u32,
    /// Longest that a PostgreSQL statement may run.
    pub statement_timeout_ms: u64,
    /// Longest that a statement waits for a lock.
    pub lock_timeout_ms: u64,
    /// Requests in work at the same time.
    pub max_in_flight: usize,
    /// Open connections of clients.
    pub max_connections: usize,
    /// Time for the head of a request.
    pub head_timeout_ms: u64,
    /// Time for the body of a request.
    pub body_timeout_ms: u64,
    /// Time for a connection without a request.
    pub keep_alive_ms: u64,
    /// Time for a client that does not read its answer.
    pub write_timeout_ms: u64,
    /// Time to serve on after SIGTERM.
    pub drain_seconds: u64,
    /// Time for requests in flight after that.
    pub shutdown_grace_seconds: u64,
    /// Where the content of documents lies.
    #[serde(serialize_with = "as_text")]
    pub documents: Place,
    /// Largest document that is taken.
    pub document_bytes_max: u64,
    /// Days that the results of imports are kept.
    pub import_results_days: i64,
    /// File that checkpoints of the audit are appended to.
    #[serde(serialize_with = "path_or_nothing")]
    pub checkpoint_file: Option<PathBuf>,
    /// Folder of the programs of PostgreSQL.
    #[serde(serialize_with = "path_or_nothing")]
    pub postgres_programs: Option<PathBuf>,
}

fn path_or_nothing<S: serde::Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_deref().unwrap_or(std::path::Path::new("")).display())
}

fn redacted_target<S: serde::Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&target.redacted())
}

fn redacted_secret<S: serde::Serializer>(secret: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if secret.is_some() { "(set)" } else { "" })
}

fn text_or_nothing<T: ToString, S: serde::Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.as_ref().map(ToString::to_string).unwrap_or_default())
}

fn as_text<T: ToString, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn as_texts<T: ToString, S: serde::Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(ToString::to_string))
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads file and environment of the process.
    pub fn load() -> Result<Self, ConfigError> {
        let (mut environment, mut not_text) = (BTreeMap::new(), Vec::new());
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => {
                    environment.insert(name, value);
                }
                Err(_) if name.starts_with("SLIPWAY_") || name.starts_with("DATABASE_URL") => {
                    not_text.push(format!("{name} is not UTF-8"));
                }
                Err(_) => {}
            }
        }
        read_secret_files(&mut environment, &mut not_text);
        let named = environment.get("SLIPWAY_CONFIG");
        let path = named.map_or(DEFAULT_FILE, String::as_str);
        let file = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
            Err(error) => return Err(ConfigError(vec![format!("{path}: {error}")])),
        };
        match Self::read(file.as_deref(), &environment) {
            Ok(config) if not_text.is_empty() => Ok(config),
            Ok(_) => Err(ConfigError(not_text)),
            Err(ConfigError(faults)) => {
                not_text.extend(faults);
                Err(ConfigError(not_text))
            }
        }
    }

    /// Puts the settings together from the text of a file and an environment.
    pub fn read(file: Option<&str>, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut faults = Vec::new();
        let mut values: BTreeMap<&'static str, String> =
            SETTINGS.iter().map(|setting| (setting.key, setting.default.to_owned())).collect();
        if let Some(text) = file {
            read_file(text, &mut values, &mut faults);
        }
        for name in environment.keys().filter(|name| is_ours(name)) {
            if !SETTINGS.iter().any(|setting| setting.variable == name) {
                faults.push(format!("{name} is not a setting"));
            }
        }
        for setting in SETTINGS {
            if let Some(value) = environment.get(setting.variable) {
                values.insert(setting.key, value.clone());
            }
        }
        let config = typed(&values, &mut faults);
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(ConfigError(faults)),
        }
    }

    /// The limits of every database connection.
    pub const fn limits(&self) -> Limits {
        Limits { statement_timeout_ms: self.statement_timeout_ms, lock_timeout_ms: self.lock_timeout_ms }
    }

    /// The settings as TOML, with secrets left out.
    pub fn print(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

/// True for a variable that can only be a setting. `SLIPWAY_TEST_…` is for the tests.
fn is_ours(name: &str) -> bool {
    name.starts_with("SLIPWAY_") && !name.starts_with("SLIPWAY_TEST_") && name != "SLIPWAY_CONFIG"
}

/// Puts the content of files where their names are, without the end of the last line.
fn read_secret_files(environment: &mut BTreeMap<String, String>, faults: &mut Vec<String>) {
    for variable in IN_FILES {
        let by_file = format!("{variable}_FILE");
        let Some(path) = environment.remove(&by_file) else {
            continue;
        };
        if environment.contains_key(variable) {
            faults.push(format!("{variable} and {by_file} are both there"));
            continue;
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                environment.insert(variable.to_owned(), text.trim_end_matches(['\r', '\n']).to_owned());
            }
            Err(error) => faults.push(format!("{by_file}: {path}: {error}")),
        }
    }
}

fn read_file(text: &str, values: &mut BTreeMap<&'static str, String>, faults: &mut Vec<String>) {
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            faults.push(format!("the file is not TOML: {}", error.message()));
            return;
        }
    };
    for (key, value) in table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            faults.push(format!("`{key}` is not a setting"));
            continue;
        };
        match value {
            toml::Value::String(text) => values.insert(setting.key, text),
            toml::Value::Integer(number) => values.insert(setting.key, number.to_string()),
            toml::Value::Array(items) if items.iter().all(toml::Value::is_str) => {
                let items: Vec<&str> = items.iter().filter_map(toml::Value::as_str).collect();
                values.insert(setting.key, items.join(","))
            }
            _ => {
                faults.push(format!("`{key}` is neither text nor an integer, nor a list of texts"));
                continue;
            }
        };
    }
}

fn typed(values: &BTreeMap<&'static str, String>, faults: &mut Vec<String>) -> Option<Config> {
    fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
        text: &str,
        key: &str,
        (min, max): (T, T),
        faults: &mut Vec<String>,
    ) -> Option<T> {
        match text.parse::<T>() {
            Ok(value) if value >= min && value <= max => Some(value),
            _ => {
                faults.push(format!("`{key}` is an integer from {min} to {max}"));
                None
            }
        }
    }
    let text = |key: &str| values.get(key).map_or("", String::as_str);
    let listen = text("listen").parse::<SocketAddr>().ok();
    if listen.is_none() {
        faults.push("`listen` is an address and a port, such as 127.0.0.1:8080".into());
    }
    let target = match Target::parse(text("database_url")) {
        Ok(target) => Some(target),
        Err(error) => {
            faults.push(format!("`database_url`: {error}"));
            None
        }
    };
    let on_loopback = listen.is_some_and(|address| address.ip().is_loopback());
    let default_or = |key: &'static str, default: String| match text(key) {
        "" => default,
        given => given.to_owned(),
    };
    let on_sqlite = matches!(target, Some(Target::Sqlite(_)));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rate_limit = default_or("rate_limit", if on_loopback { "0".into() } else { "600".into() });
    let rate_limit = number(&rate_limit, "rate_limit", (0_u32, 1_000_000), faults);
    let workers = number(&default_or("workers", cores.to_string()), "workers", (1_usize, 1024), faults);
    let pool = default_or("pool_size", if on_sqlite { "4".into() } else { "16".into() });
    let pool_size = number(&pool, "pool_size", (1_u32, 1000), faults);
    let statement = number(text("statement_timeout_ms"), "statement_timeout_ms", (1_u64, 3_600_000), faults);
    let lock = number(text("lock_timeout_ms"), "lock_timeout_ms", (1_u64, 3_600_000), faults);
    let in_flight = number(text("max_in_flight"), "max_in_flight", (1_usize, 1_000_000), faults);
    let connections = number(text("max_connections"), "max_connections", (1_usize, 1_000_000), faults);
    let mut wait = |key: &'static str| number(text(key), key, (1_u64, 3_600_000), faults);
    let (head, body) = (wait("head_timeout_ms"), wait("body_timeout_ms"));
    let (keep_alive, write) = (wait("keep_alive_ms"), wait("write_timeout_ms"));
    let drain = default_or("drain_seconds", if on_loopback { "0".into() } else { "5".into() });
    let drain = number(&drain, "drain_seconds", (0_u64, 3600), faults);
    let grace = number(text("shutdown_grace_seconds"), "shutdown_grace_seconds", (0_u64, 3600), faults);
    let password = text("admin_password").chars().count();
    if password > 0 && !(PASSWORD_LENGTH_MIN..=PASSWORD_LENGTH_MAX).contains(&password) {
        faults.push(format!(
            "`admin_password` (SLIPWAY_ADMIN_PASSWORD) has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
        ));
    }
    if text("key_file").is_empty() {
        faults.push("`key_file` is the path of a file".into());
    }
    let metrics_listen = match text("metrics_listen") {
        "" => None,
        given => match given.parse::<SocketAddr>() {
            Ok(address) if Some(address) != listen || address.port() == 0 => Some(address),
            Ok(_) => {
                faults.push("`metrics_listen` is another address than `listen`".into());
                None
            }
            Err(_) => {
                faults.push("`metrics_listen` is an address and a port, such as 127.0.0.1:9090".into());
                None
            }
        },
    };
    let documents = match text("documents") {
        "" => Some(Place::beside(target.as_ref().and_then(Target::file))),
        given => match Place::parse(given) {
            Ok(place) => Some(place),
            Err(error) => {
                faults.push(format!("`documents`: {error}"));
                None
            }
        },
    };
    let document_bytes =
        number(text("document_bytes_max"), "document_bytes_max", (1_u64, DOCUMENT_BYTES_MAX_MAX), faults);
    let results_days = number(text("import_results_days"), "import_results_days", (1_i64, 3650), faults);
    let trusted_proxies = items(text("trusted_proxies")).filter_map(|item| network(item, faults)).collect();
    let cors_origins = items(text("cors_origins")).filter_map(|item| origin(item, faults)).collect();
    let path = |key: &str| Some(text(key)).filter(|path| !path.is_empty()).map(PathBuf::from);
    Some(Config {
        listen: listen?,
        database_url: target?,
        admin_password: Some(text("admin_password").to_owned()).filter(|password| !password.is_empty()),
        rate_limit: rate_limit?,
        key_file: PathBuf::from(text("key_file")),
        metrics_listen,
        trusted_proxies,
        cors_origins,
        workers: workers?,
        pool_size: pool_size?,
        statement_timeout_ms: statement?,
        lock_timeout_ms: lock?,
        max_in_flight: in_flight?,
        max_connections: connections?,
        head_timeout_ms: head?,
        body_timeout_ms: body?,
        keep_alive_ms: keep_alive?,
        write_timeout_ms: write?,
        drain_seconds: drain?,
        shutdown_grace_seconds: grace?,
        documents: documents?,
        document_bytes_max: document_bytes?,
        import_results_days: results_days?,
        checkpoint_file: path("checkpoint_file"),
        postgres_programs: path("postgres_programs"),
    })
}

/// The items of a list with commas.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A network, or an address as one.
fn network(item: &str, faults: &mut Vec<String>) -> Option<IpNet> {
    let network = item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
    match network {
        Ok(network) if network.prefix_len() > 0 => Some(network.trunc()),
        Ok(_) => {
            faults.push(format!("`trusted_proxies`: {item} is everybody, and then anybody may say any address"));
            None
        }
        Err(_) => {
            faults.push(format!("`trusted_proxies`: {item} is neither an address nor a network such as 10.0.0.0/8"));
            None
        }
    }
}

/// An origin, written exactly as a browser writes it: a difference would shut it out without a word. There are no
/// patterns.
fn origin(item: &str, faults: &mut Vec<String>) -> Option<String> {
    let is_one = |url: &Url| matches!(url.scheme(), "http" | "https") && !item.contains('*');
    let url = Url::parse(item).ok().filter(is_one);
    match url.map(|url| url.origin().ascii_serialization()) {
        Some(written) if written == item => Some(written),
        Some(written) => {
            faults.push(format!("`cors_origins`: {item} is not an origin; {written} would be one"));
            None
        }
        None => {
            faults.push(format!("`cors_origins`: {item} is not an origin such as https://desk.example.org"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let file = "listen = \"127.0.0.1:1000\"\nlock_timeout_ms = 7\n";
        let config = Config::read(Some(file), &environment(&[("SLIPWAY_LISTEN", "127.0.0.1:2000")])).unwrap();
        assert_eq!(config.listen.port(), 2000);
        assert_eq!(config.lock_timeout_ms, 7);
        assert_eq!(config.statement_timeout_ms, 10_000);
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let file = "colour = \"red\"\nlisten = \"nowhere\"\n";
        let given =
            environment(&[("DATABASE_URL", "mysql://x"), ("SLIPWAY_RATE_LIMIT", "-1"), ("SLIPWAY_LISTNE", "x")]);
        let ConfigError(faults) = Config::read(Some(file), &given).unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:?}");
    }

    #[test]
    fn secrets_are_never_printed() {
        let given = environment(&[
            ("DATABASE_URL", "postgres://joe:hunter2@db.example.org/slipway?password=hunter3"),
            ("SLIPWAY_ADMIN_PASSWORD", "correct horse battery"),
        ]);
        let printed = Config::read(None, &given).unwrap().print();
        assert!(!printed.contains("hunter") && !printed.contains("horse"), "{printed}");
        assert!(printed.contains("db.example.org/slipway"), "{printed}");
    }

    #[test]
    fn the_rate_limit_is_off_on_loopback_only() {
        let on = |listen| Config::read(None, &environment(&[("SLIPWAY_LISTEN", listen)])).unwrap().rate_limit;
        assert_eq!((on("127.0.0.1:1"), on("0.0.0.0:1")), (0, 600));
    }

    #[test]
    fn lists_come_with_commas_or_as_lists() {
        let file = "trusted_proxies = [\"10.1.2.3/8\", \"::1\"]\ncors_origins = \"https://a.example.org, http://b.example.org:8080\"\n";
        let config = Config::read(Some(file), &environment(&[])).unwrap();
        assert_eq!(config.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        assert_eq!(config.cors_origins, ["https://a.example.org", "http://b.example.org:8080"]);
        let again = Config::read(Some(&config.print()), &environment(&[("SLIPWAY_TRUSTED_PROXIES", "")])).unwrap();
        assert_eq!((again.trusted_proxies.len(), again.cors_origins), (0, config.cors_origins));
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for bad in [
            "*",
            "null",
            "desk.example.org",
            "https://desk.example.org/",
            "https://desk.example.org/app",
            "https://desk.example.org?x",
            "https://desk.example.org:443",
            "HTTPS://desk.example.org",
            "https://Desk.example.org",
            "https://user@desk.example.org",
            "https://*.example.org",
            "ftp://desk.example.org",
            "file:///etc",
        ] {
            let ConfigError(faults) = Config::read(None, &environment(&[("SLIPWAY_CORS_ORIGINS", bad)])).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains("cors_origins"), "{bad}: {faults:?}");
        }
    }

    #[test]
    fn proxies_are_addresses_and_networks_but_never_everybody() {
        for bad in ["0.0.0.0/0", "::/0", "10.0.0.0/33", "proxy.example.org", "10.0.0", "unix:"] {
            let ConfigError(faults) =
                Config::read(None, &environment(&[("SLIPWAY_TRUSTED_PROXIES", bad)])).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains("trusted_proxies"), "{bad}: {faults:?}");
        }
    }

    #[test]
    fn the_metrics_have_an_address_of_their_own_or_none() {
        let read = |address| Config::read(None, &environment(&[("SLIPWAY_METRICS_LISTEN", address)]));
        assert_eq!(read("").unwrap().metrics_listen, None);
        assert_eq!(read("127.0.0.1:9090").unwrap().metrics_listen.unwrap().port(), 9090);
        assert!(read("127.0.0.1:8080").is_err() && read("9090").is_err());
    }
}
