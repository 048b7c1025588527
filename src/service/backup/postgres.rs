//! Backup and restore of a PostgreSQL database, by the programs that come with PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use percent_encoding::percent_decode_str;

use super::draft::Draft;
use super::{Failure, Made, Place, Restored, Result, at, demand_known, demand_sound, fit_of, prove_migrated, refused};
use crate::repository::connection::{Purpose, open};
use crate::repository::{backup as database, migrations, on_snapshot};
use crate::service::Error;
use crate::service::doctor::{self, Schema};

/// Where Debian and its like put the programs of each version.
const PACKAGES: &str = "/usr/lib/postgresql";
/// An address for a command line, where everybody reads it, and the password that it had.
struct Address {
    without_password: String,
    password: Option<String>,
}

impl Address {
    fn of(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let mut password = None;
        let mut decoded = |text: &str| {
            password = Some(percent_decode_str(text).decode_utf8_lossy().into_owned());
        };
        let authority = match authority.rsplit_once('@') {
            Some((user, hosts)) => match user.split_once(':') {
                Some((user, secret)) => {
                    decoded(secret);
                    format!("{user}@{hosts}")
                }
                None => authority.to_owned(),
            },
            None => authority.to_owned(),
        };
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("password", secret)) => decoded(secret),
                Some(("sslpassword", _)) => {
                    return refused("the password of the client's key is given to pg_dump by a service file alone");
                }
                _ => kept.push(pair),
            }
        }
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        Ok(Self { without_password: format!("{scheme}://{authority}{path}{query}"), password })
    }

    fn give_to(&self, command: &mut Command) {
        command.arg(format!("--dbname={}", self.without_password));
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
    }
}

/// The folders that a program is looked for in: what was configured alone, or the path and then the packages,
/// the latest first.
fn folders(configured: Option<&Path>) -> Vec<PathBuf> {
    if let Some(folder) = configured {
        return vec![folder.to_owned()];
    }
    let mut found: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let versions = std::fs::read_dir(PACKAGES).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut versions: Vec<(u64, PathBuf)> =
        versions.filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))).collect();
    versions.sort();
    found.extend(versions.into_iter().rev().map(|(_, path)| path));
    found
}

/// The major version that a program says it is of, as in `pg_dump (PostgreSQL) 15.18`.
fn major_of(program: &Path) -> Option<i64> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Finds a program that is not older than the server.
fn program(name: &str, configured: Option<&Path>, server: i64) -> Result<PathBuf> {
    let mut older = None;
    for folder in folders(configured) {
        let path = folder.join(name);
        match path.is_file().then(|| major_of(&path)).flatten() {
            Some(major) if major >= server => return Ok(path),
            Some(major) => older = older.or(Some((path, major))),
            None => {}
        }
    }
    let remedy = format!("install postgresql-client-{server}, or set `postgres_programs` to the folder that it is in");
    match (older, configured) {
        (Some((path, major)), _) => refused(format!(
            "{} is of PostgreSQL {major}, and the server of {server}: it cannot read what it does not know; {remedy}",
            path.display()
        )),
        (None, Some(folder)) => refused(format!("there is no {name} in {}; {remedy}", folder.display())),
        (None, None) => refused(format!("{name} is neither on PATH nor under {PACKAGES}; {remedy}")),
    }
}

/// The end of what a program complained of.
fn complaint(name: &str, stderr: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let told = lines.iter().rev().take(5).rev().copied().collect::<Vec<_>>().join(" ");
    Failure::Refused(format!("{name} failed: {told}"))
}

fn run(name: &str, mut command: Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| Failure::Refused(format!("{name}: {error}")))?;
    if output.status.success() { Ok(output.stdout) } else { Err(complaint(name, &output.stderr)) }
}

pub fn backup(place: &Place, url: &str, file: &Path, force: bool) -> Result<Made> {
    let address = Address::of(url)?;
    let mut connection = open(&place.target, place.limits, Purpose::Write)?;
    let server = database::server_major(&mut connection)?;
    let (dump, list) = (
        program("pg_dump", place.programs.as_deref(), server)?,
        program("pg_restore", place.programs.as_deref(), server)?,
    );
    let schema = Schema::of(&mut connection)?;
    if migrations::applied_versions(&mut connection)?.is_none_or(|applied| applied.is_empty()) {
        return refused(format!("{} holds no database of slipway", place.target.redacted()));
    }
    let draft = Draft::beside(file)?;
    // The doctor reads the very snapshot that is dumped.
    let (findings, dumped) = on_snapshot(&mut connection, |connection| {
        let snapshot = database::export_snapshot(connection)?;
        let mut command = Command::new(&dump);
        command.args(["--format=custom", "--no-owner", "--no-privileges", "--no-password"]);
        command.arg(format!("--snapshot={snapshot}")).arg("--file").arg(draft.path());
        address.give_to(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Error::Unusable(format!("{}: {error}", dump.display())))?;
        let findings = doctor::examine_snapshot(connection, &schema);
        if findings.is_err() {
            let _ = child.kill();
        }
        let dumped = child.wait_with_output().map_err(|error| Error::Unusable(format!("pg_dump: {error}")))?;
        Ok::<_, Error>((findings?, dumped))
    })?;
    if !dumped.status.success() {
        return Err(complaint("pg_dump", &dumped.stderr));
    }
    let findings = demand_sound(findings)?;
    let mut command = Command::new(&list);
    command.arg("--list").arg(draft.path());
    let listed = run("pg_restore", command)?;
    let listed = String::from_utf8_lossy(&listed);
    let has =
        |table: &str| listed.lines().any(|line| line.contains("TABLE DATA") && line.contains(&format!(" {table} ")));
    if !["releases", "audit", migrations::TABLE].into_iter().all(has) {
        return refused("pg_dump left tables out");
    }
    let bytes = draft.publish(file, force)?;
    Ok(Made { bytes, findings, proved: schema.is_ours() })
}

/// The versions of the migrations in a dump.
fn versions_in(pg_restore: &Path, file: &Path) -> Result<Option<Vec<String>>> {
    let mut command = Command::new(pg_restore);
    command.args(["--data-only", "--file=-", "--table"]).arg(migrations::TABLE).arg(file);
    let script = run("pg_restore", command)?;
    let script = String::from_utf8_lossy(&script);
    let Some((_, rows)) = script.split_once("FROM stdin;\n") else {
        return Ok(None);
    };
    let rows = rows.lines().take_while(|line| *line != "\\.");
    Ok(Some(rows.filter_map(|row| row.split('\t').next()).map(str::to_owned).collect()))
}

pub fn restore(place: &Place, url: &str, file: &Path, force: bool) -> Result<Restored> {
    let address = Address::of(url)?;
    let mut connection = open(&place.target, place.limits, Purpose::Write)?;
    let server = database::server_major(&mut connection)?;
    let pg_restore = program("pg_restore", place.programs.as_deref(), server)?;
    demand_known(versions_in(&pg_restore, file)?.as_deref(), file)?;
    let others = database::other_sessions(&mut connection)?;
    if others > 0 {
        return Err(crate::repository::Error::Busy(format!(
            "{others} other sessions are connected to {}; stop every slipway on it first",
            place.target.redacted()
        ))
        .into());
    }
    if database::has_set_aside(&mut connection)? {
        return refused(format!(
            "a restore was interrupted: what was there before is in the schema {}, which is to be moved back or dropped",
            database::ASIDE
        ));
    }
    let empty = database::is_empty(&mut connection)?;
    if !empty && !force {
        return refused(format!("{} is not empty; --force replaces what is there", place.target.redacted()));
    }
    if !empty {
        database::set_aside(&mut connection)?;
    }
    let restored = load(&address, &pg_restore, file).and_then(|()| prove_migrated(&mut connection));
    let (findings, migrated) = match restored {
        Ok(proved) => proved,
        Err(failure) => {
            database::put_back(&mut connection)?;
            return Err(failure);
        }
    };
    database::settle(&mut connection)?;
    Ok(Restored { findings, migrated, key_file: fit_of(&mut connection, &place.key_file)? })
}

fn load(address: &Address, pg_restore: &Path, file: &Path) -> Result<()> {
    let mut command = Command::new(pg_restore);
    command.args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]);
    address.give_to(&mut command);
    std::fs::metadata(file).map_err(at(file))?;
    command.arg(file);
    run("pg_restore", command).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_leaves_the_address_wherever_it_stands() {
        for (url, without, password) in [
            ("postgres://joe@db/slipway", "postgres://joe@db/slipway", None),
            ("postgres://joe:p%40ss@db:5433/slipway", "postgres://joe@db:5433/slipway", Some("p@ss")),
            (
                "postgresql://joe:a:b@h1:1,h2:2/x?sslmode=require",
                "postgresql://joe@h1:1,h2:2/x?sslmode=require",
                Some("a:b"),
            ),
            (
                "postgres://joe@db/x?password=s%20t&sslmode=verify-full",
                "postgres://joe@db/x?sslmode=verify-full",
                Some("s t"),
            ),
            ("postgres:///x?host=/run/pg&password=z", "postgres:///x?host=/run/pg", Some("z")),
        ] {
            let address = Address::of(url).unwrap_or_else(|_| panic!("{url}"));
            assert_eq!((address.without_password.as_str(), address.password.as_deref()), (without, password));
        }
        assert!(Address::of("postgres://joe@db/x?sslpassword=s").is_err());
    }
}
