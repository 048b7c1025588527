//! The placement rules of the house, kept by reading the sources; the migrations, kept by running them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use slipway::repository::migrations;

use crate::support::*;

/// A source file: its path below the repository, and its text without comments and test modules.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| match place.strip_suffix('/') {
            Some(folder) => self.path.starts_with(&format!("{folder}/")),
            None => self.path == *place,
        })
    }

    /// The lines, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    files_below(&root().join("src"), &mut files);
    files.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    files.sort();
    files
        .iter()
        .map(|file| {
            let whole = std::fs::read_to_string(file).unwrap();
            // Test modules stand last in their file.
            let product = whole.split("#[cfg(test)]").next().unwrap();
            let without_comments = |line: &str| match line.trim_start().starts_with("//") {
                true => String::new(),
                false => line.to_owned(),
            };
            let text: Vec<String> = product.lines().map(without_comments).collect();
            let path = file.strip_prefix(root()).unwrap();
            Source { path: path.to_str().unwrap().to_owned(), text: text.join("\n") }
        })
        .collect()
}

/// A rule of placement: words that may stand only in some places, or nowhere in others.
struct Rule {
    words: &'static [&'static str],
    /// Where they are looked for; empty for everywhere.
    looked_for_in: &'static [&'static str],
    /// Where they are at home all the same.
    allowed_in: &'static [&'static str],
}

const RULES: &[Rule] = &[
    // Rule 1: diesel only in the repository; HTTP words only at the edge. `main.rs` starts the runtime.
    Rule {
        words: &["diesel"],
        looked_for_in: &[],
        allowed_in: &["src/repository/", "src/domain/ids.rs", "src/domain/instant.rs", "src/domain/values.rs"],
    },
    Rule {
        words: &["actix_web", "HttpRe", "StatusCode"],
        looked_for_in: &[],
        allowed_in: &["src/api/", "src/server.rs", "src/server/", "src/error.rs", "src/main.rs"],
    },
    // Rule 2: the domain is pure.
    Rule {
        words: &[
            "actix",
            "use diesel",
            "crate::api",
            "crate::service",
            "crate::repository",
            "crate::server",
            "crate::error",
            "crate::config",
            "tokio",
            "async ",
            "std::fs",
            "std::net",
            "std::env",
            "std::thread",
            "std::process",
            "::now()",
            "now_v7",
            "rand::",
            "SystemTime",
            "Instant::",
            "log::",
        ],
        looked_for_in: &["src/domain/"],
        allowed_in: &[],
    },
    // Rule 3: only the service opens transactions; it does not know the edge, nor storage the service.
    Rule { words: &["crate::api", "crate::server", "crate::error"], looked_for_in: &["src/service/"], allowed_in: &[] },
    Rule {
        words: &["crate::service", "crate::api", "crate::server", "crate::error"],
        looked_for_in: &["src/repository/"],
        allowed_in: &[],
    },
    Rule {
        words: &["database.write", "database.read", ".transaction(", "write_blocking("],
        looked_for_in: &["src/api/", "src/domain/", "src/server.rs", "src/server/", "src/error.rs"],
        allowed_in: &[],
    },
    // Rule 7.
    Rule {
        words: &[".unwrap()", ".expect(", "panic!(", "unreachable!("],
        looked_for_in: &[],
        // The metrics are constants: what is wrong with them is wrong at every start.
        allowed_in: &["src/main.rs", "src/telemetry/metrics.rs"],
    },
    Rule {
        words: &["todo!(", "unimplemented!(", "dbg!(", "unsafe ", "println!("],
        looked_for_in: &[],
        // The command line prints; that is what it is for.
        allowed_in: &["src/main.rs"],
    },
];

#[test]
fn every_line_of_code_stands_where_the_house_puts_it() {
    let mut faults = Vec::new();
    for source in sources() {
        for rule in RULES {
            let looked_for = rule.looked_for_in.is_empty() || source.is_in(rule.looked_for_in);
            if !looked_for || source.is_in(rule.allowed_in) {
                continue;
            }
            for (number, line) in source.lines() {
                for word in rule.words.iter().filter(|word| line.contains(**word)) {
                    let path = &source.path;
                    faults.push(format!("{path}:{number}: `{word}` does not belong here"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_domain_takes_from_diesel_nothing_but_the_derives_of_value_types() {
    for source in sources() {
        if !["ids", "instant", "values"].iter().any(|name| source.path == format!("src/domain/{name}.rs")) {
            continue;
        }
        for (number, line) in source.lines().filter(|(_, line)| line.contains("diesel")) {
            let allowed = ["AsExpression", "FromSqlRow", "#[diesel(sql_type"];
            let derive = allowed.iter().any(|word| line.contains(word));
            assert!(derive, "{}:{number}: {line}", source.path);
        }
    }
}

#[test]
fn no_module_is_a_drawer_for_odds_and_ends() {
    const DRAWERS: &[&str] = &["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "shared"];
    for source in sources() {
        for part in source.path.trim_end_matches(".rs").split('/') {
            assert!(!DRAWERS.contains(&part), "{}", source.path);
        }
        for (number, line) in source.lines() {
            let module = line.trim().trim_start_matches("pub ").strip_prefix("mod ");
            let name = module.unwrap_or("").trim_end_matches([';', '{', ' ']);
            assert!(!DRAWERS.contains(&name), "{}:{number}", source.path);
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_and_every_top_level_module_is_on_the_map() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(lib.contains("#![forbid(unsafe_code)]"));
    let modules: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(!modules.is_empty());
    for module in modules {
        let row = format!("| [`{module}`] |");
        assert!(lib.contains(&row), "{module} is not on the map in lib.rs");
    }
}

/// Every piece of text in capitals and underscores, with its file.
fn codes_in_use() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for source in sources() {
        // Settings are named like codes; the catalogue itself is not a use of it.
        if source.is_in(&["src/config.rs", "src/main.rs", "src/mutants.rs"]) {
            continue;
        }
        let catalogue = source.path == "src/error.rs";
        let text = match catalogue {
            true => source.text.split("pub struct ProblemFault").nth(1).unwrap(),
            false => &source.text,
        };
        for literal in text.split('"').skip(1) {
            let is_code = literal.len() > 3
                && literal.starts_with(|c: char| c.is_ascii_uppercase())
                && literal.ends_with(|c: char| c.is_ascii_uppercase())
                && literal.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if is_code {
                found.insert((literal.to_owned(), source.path.clone()));
            }
        }
    }
    found
}

#[test]
fn every_code_in_use_is_in_the_catalogue_and_every_code_in_the_catalogue_is_in_use() {
    /// Text that looks like a code and is none: words of SQL and of libpq, signals, variables of the build and of other
    /// programs.
    const NOT_CODES: &[&str] = &[
        "BEGIN",
        "CARGO_PKG_VERSION",
        "DESC",
        "FATAL",
        "LIKE",
        "OPEN",
        "PATH",
        "PGDMP",
        "PGPASSWORD",
        "ROLLBACK",
        "SIGINT",
        "SIGTERM",
    ];
    /// Answered by the number of its status, where the framework refused by itself.
    const BY_STATUS: &[&str] = &["URI_TOO_LONG"];
    let problems: BTreeSet<&str> = slipway::error::PROBLEM_CODES.iter().map(|c| c.0).collect();
    let faults: BTreeSet<&str> = slipway::error::FAULT_CODES.iter().map(|c| c.0).collect();
    let known = |code: &str| problems.contains(code) || faults.contains(code);
    let used = codes_in_use();
    let unknown: Vec<_> = used.iter().filter(|(code, _)| !known(code) && !NOT_CODES.contains(&code.as_str())).collect();
    assert!(unknown.is_empty(), "not in the catalogue: {unknown:?}");
    let used: BTreeSet<&str> = used.iter().map(|(code, _)| code.as_str()).collect();
    let idle: Vec<_> =
        problems.union(&faults).filter(|code| !used.contains(*code) && !BY_STATUS.contains(code)).collect();
    assert!(idle.is_empty(), "in the catalogue and never used: {idle:?}");
    assert_eq!(problems.len(), slipway::error::PROBLEM_CODES.len(), "twice");
    assert_eq!(faults.len(), slipway::error::FAULT_CODES.len(), "twice");
}

#[test]
fn every_mutant_is_in_the_table_with_tests_that_exist_and_is_built_for_nobody_else() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let table: toml::Table = read("tests/mutants.toml").parse().unwrap();
    let listed: BTreeSet<String> = table.keys().cloned().collect();
    let mut placed = BTreeSet::new();
    for source in sources() {
        let calls = source.text.split("mutant(\"").skip(1);
        placed.extend(calls.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert_eq!(placed, listed);
    for (name, entry) in &table {
        let databases: Vec<_> = ["sqlite", "postgres"].iter().filter_map(|database| entry.get(database)).collect();
        let tests: Vec<&str> =
            databases.iter().flat_map(|tests| tests.as_array().unwrap()).map(|test| test.as_str().unwrap()).collect();
        assert!(!tests.is_empty(), "{name} is caught by no test");
        for test in tests {
            let (module, function) = test.split_once("::").unwrap();
            let is_there = read(&format!("tests/{module}.rs")).contains(&format!("#[test]\nfn {function}()"));
            assert!(is_there, "{name} is caught by {test}, which does not exist");
        }
    }
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    assert!(features.get("default").is_none_or(|default| default.as_array().unwrap().is_empty()));
    assert!(!read("Dockerfile").contains("features"));
}

fn migration_names(database: &str) -> Vec<String> {
    let folder = root().join("migrations").join(database);
    let mut names: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in &names {
        for file in ["up.sql", "down.sql"] {
            let path = folder.join(name).join(file);
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(!text.trim().is_empty(), "{} is missing or empty", path.display());
        }
    }
    names
}

#[test]
fn migrations_are_twins() {
    let names = migration_names("sqlite");
    assert!(!names.is_empty());
    assert_eq!(names, migration_names("postgres"));
}

#[test]
fn every_migration_runs_up_and_down_and_up_again() {
    let database = TestDatabase::empty();
    let mut connection = database.open().connect().unwrap();
    let count = migration_names("sqlite").len();
    assert_eq!(migrations::up(&mut connection).unwrap().len(), count);
    let first = columns(&mut connection);
    for left in (0..count).rev() {
        assert_eq!(migrations::down(&mut connection, 1).unwrap().len(), 1);
        let applied = migrations::status(&mut connection).unwrap();
        assert_eq!(applied.iter().filter(|step| step.applied).count(), left);
    }
    assert_eq!(columns(&mut connection), [], "down leaves something behind");
    assert_eq!(migrations::down(&mut connection, 1).unwrap().len(), 0);
    assert_eq!(migrations::up(&mut connection).unwrap().len(), count);
    assert_eq!(columns(&mut connection), first);
    assert_eq!(migrations::up(&mut connection).unwrap().len(), 0);
}

/// The tables of `schema.rs`, as [`columns`] tells those of a database.
fn declared_columns() -> Vec<Column> {
    let text = std::fs::read_to_string(root().join("src/repository/schema.rs")).unwrap();
    let mut found = Vec::new();
    for block in text.split("diesel::table! {").skip(1) {
        let (head, body) = block.split_once('{').unwrap();
        let table = head.split('(').next().unwrap().trim();
        let body = body.split('}').next().unwrap();
        let mut renamed = None;
        let mut position = 0;
        for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("#[sql_name = \"") {
                renamed = rest.split('"').next();
                continue;
            }
            let (name, kind) = line.trim_end_matches(',').split_once(" -> ").unwrap();
            let inner = kind.strip_prefix("Nullable<").map(|k| k.trim_end_matches('>'));
            position += 1;
            found.push(Column {
                table: table.to_owned(),
                position,
                name: renamed.take().unwrap_or(name).to_owned(),
                kind: match inner.unwrap_or(kind) {
                    "BigInt" => "bigint",
                    "Bool" => "boolean",
                    "Timestamp" => "timestamp",
                    "Text" => "text",
                    other => other,
                }
                .to_owned(),
                nullable: inner.is_some(),
            });
        }
    }
    found.sort();
    found
}

#[test]
fn the_migrated_database_is_the_declared_schema() {
    let database = TestDatabase::empty();
    let mut connection = database.open().connect().unwrap();
    migrations::up(&mut connection).unwrap();
    let (found, declared) = (columns(&mut connection), declared_columns());
    let only = |one: &[Column], other: &[Column]| -> Vec<Column> {
        let missing = one.iter().filter(|column| !other.contains(column));
        missing.cloned().collect()
    };
    assert_eq!(only(&found, &declared), [], "in the database alone");
    assert_eq!(only(&declared, &found), [], "in schema.rs alone");
}
