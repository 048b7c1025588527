//! What is measured, out of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::work::{LISTS, Work};

/// Measures the service under load, beside a bare handler that answers the same bytes.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub struct Options {
    /// Few and short rounds, 10 000 releases, 16 callers
    #[arg(long)]
    quick: bool,
    /// Which databases
    #[arg(long, value_enum, default_value_t = Databases::Both)]
    database: Databases,
    /// How many releases there are; several sizes are measured side by side
    #[arg(long, value_delimiter = ',', default_values_t = [10_000_u32, 1_000_000])]
    releases: Vec<u32>,
    /// How many callers at once
    #[arg(long, value_delimiter = ',', default_values_t = [1_usize, 16, 64])]
    callers: Vec<usize>,
    /// How long each kind of work is measured in a round
    #[arg(long)]
    seconds: Option<f64>,
    /// How often everything is measured; the rounds of all are interleaved
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these kinds of work: bare, read, not-modified, board, view, approvals, list, create, create-planned, update, suspend, pgbench, or one of its name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where databases are kept between runs; default: below the target folder
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Seed anew, whatever is kept
    #[arg(long)]
    reseed: bool,
    /// Only write a generated CMDB into this file, for `slipway import`
    #[arg(long)]
    pub cmdb: Option<PathBuf>,
    /// Measure with a generated CMDB: its import, impact, and closing releases over its items
    #[arg(long)]
    with_cmdb: bool,
    /// How many configuration items it has
    #[arg(long, default_value_t = 100_000)]
    pub items: u64,
    /// How many relationships it has
    #[arg(long, default_value_t = 500_000)]
    pub relationships: u64,
    /// Answer with the bytes in this folder: the process that the service is compared with
    #[arg(long, hide = true)]
    pub bare: Option<PathBuf>,
    /// What `cargo bench` passes along
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Databases {
    Sqlite,
    Postgres,
    Both,
}

/// The variable that names a PostgreSQL server on which databases may be made.
pub const POSTGRES: &str = "SLIPWAY_BENCH_DATABASE_URL";

/// What is measured.
#[derive(Debug)]
pub struct Plan {
    pub sqlite: bool,
    /// The server, where PostgreSQL is measured.
    pub postgres: Option<String>,
    pub releases: Vec<u32>,
    pub callers: Vec<usize>,
    pub slice: Duration,
    pub rounds: usize,
    pub work: Vec<Work>,
    pub pgbench: bool,
    pub directory: PathBuf,
    pub reseed: bool,
    /// Items and relationships of the CMDB, where there is one.
    pub cmdb: Option<(u64, u64)>,
}

impl Options {
    /// The plan; or what is wrong with it.
    pub fn plan(self) -> Result<Plan, String> {
        let server = std::env::var(POSTGRES).ok();
        let wanted = matches!(self.database, Databases::Postgres | Databases::Both);
        if wanted && server.is_none() {
            return Err(format!(
                "{POSTGRES} names a PostgreSQL server on which databases may be made; or pass --database sqlite"
            ));
        }
        let known: Vec<&str> = ["list", "pgbench"]
            .into_iter()
            .chain(Work::SINGLE.iter().chain(&Work::WITH_CMDB).map(|work| work.name()))
            .collect();
        for name in &self.only {
            if !known.contains(&name.as_str()) && !LISTS.iter().any(|list| list.name == name) {
                return Err(format!("--only {name}: one of {}, or the name of a list", known.join(", ")));
            }
        }
        let chosen = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let singles = Work::SINGLE.iter().copied().filter(|work| chosen(work.name()));
        let lists = LISTS.iter().filter(|list| chosen("list") || chosen(list.name)).map(Work::List);
        let (seconds, rounds) = if self.quick { (1.0, 2) } else { (2.0, 3) };
        let plan = Plan {
            sqlite: self.database != Databases::Postgres,
            postgres: server.filter(|_| wanted),
            releases: if self.quick { vec![10_000] } else { self.releases },
            callers: if self.quick { vec![16] } else { self.callers },
            slice: Duration::from_secs_f64(self.seconds.unwrap_or(seconds).clamp(0.1, 600.0)),
            rounds: self.rounds.unwrap_or(rounds).max(1),
            work: if self.with_cmdb {
                Work::WITH_CMDB.into_iter().filter(|work| chosen(work.name())).collect()
            } else {
                singles.chain(lists).collect()
            },
            pgbench: chosen("pgbench") && !self.with_cmdb,
            directory: self.directory.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("load")),
            reseed: self.reseed,
            cmdb: self.with_cmdb.then_some((self.items, self.relationships)),
        };
        if plan.releases.is_empty() || plan.callers.contains(&0) || plan.callers.is_empty() {
            return Err("--releases and --callers are lists of numbers above 0".into());
        }
        Ok(plan)
    }
}
