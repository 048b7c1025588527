//! The load harness: `cargo bench --bench load -- --help`.
//!
//! It seeds, starts `slipway serve` as a process of its own, and measures kinds of work in interleaved rounds, so that
//! whatever else the machine does hits all of them alike. A run with one wrong answer is not reported.

mod bare;
mod capture;
mod client;
mod cmdb;
mod installation;
mod measure;
mod options;
mod pgbench;
mod postgres;
mod process;
mod script;
mod table;
mod work;

use std::process::{Command, ExitCode};
use std::rc::Rc;

use clap::Parser as _;

use self::installation::{Fixture, Installation, Kind};
use self::options::{Options, Plan};
use self::pgbench::Pgbench;
use self::postgres::Server;
use self::process::Process;
use self::table::{Report, Row};

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match (options.bare.clone(), options.cmdb.clone()) {
        (Some(folder), _) => bare::serve(&folder),
        (None, Some(file)) => {
            cmdb::write(&file, options.items, options.relationships).map_err(|error| error.to_string())
        }
        (None, None) => options.plan().and_then(|plan| run(&plan)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An installation under measurement, with what is known of it.
struct Subject {
    installation: Installation,
    fixture: Rc<Fixture>,
    pgbench: Option<Pgbench>,
}

fn run(plan: &Plan) -> Result<(), String> {
    let mut server = plan.postgres.as_deref().map(Server::connect).transpose()?;
    let mut subjects = Vec::new();
    for releases in &plan.releases {
        for postgres in [false, true] {
            if if postgres { server.is_none() } else { !plan.sqlite } {
                continue;
            }
            let kind = Kind { postgres, releases: *releases };
            let installation = Installation::start(plan, kind, &mut server)?;
            let mut fixture = Fixture::load(installation.address(), *releases)?;
            if plan.cmdb.is_some() {
                fixture.prepare_over_items()?;
            }
            subjects.push((installation, fixture));
        }
    }
    let bare = start_bare(plan, subjects.first().map(|(_, fixture)| fixture))?;
    let subjects: Vec<Subject> = subjects
        .into_iter()
        .map(|(installation, mut fixture)| {
            fixture.bare = bare.address;
            let fixture = Rc::new(fixture);
            let pgbench = (plan.pgbench && installation.kind.postgres)
                .then(|| Pgbench::prepare(&plan.directory, &installation, &fixture, &plan.work))
                .transpose()?;
            Ok(Subject { installation, fixture, pgbench })
        })
        .collect::<Result<_, String>>()?;
    let mut report = Report::default();
    let measured = measure_all(plan, &subjects, &bare, &mut server, &mut report);
    for subject in subjects {
        report.remember_memory(&subject.installation.kind, subject.installation.resident_mib());
        subject.installation.end(&mut server)?;
    }
    measured?;
    let failures = report.failures();
    if failures.is_empty() {
        report.print();
        return Ok(());
    }
    Err(format!("not reported, for not every answer was right:\n{}", failures.join("\n")))
}

/// Starts the bare handler with bytes that the service answered.
fn start_bare(plan: &Plan, fixture: Option<&Fixture>) -> Result<Process, String> {
    let fixture = fixture.ok_or("nothing to measure")?;
    let folder = plan.directory.join("bare");
    let failed = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(&folder).map_err(failed)?;
    std::fs::write(folder.join("read"), &fixture.read_bytes).map_err(failed)?;
    std::fs::write(folder.join("list"), &fixture.list_bytes).map_err(failed)?;
    Process::start(Command::new(std::env::current_exe().map_err(failed)?).arg("--bare").arg(&folder))
}

fn measure_all(
    plan: &Plan,
    subjects: &[Subject],
    bare: &Process,
    server: &mut Option<Server>,
    report: &mut Report,
) -> Result<(), String> {
    for round in 1..=plan.rounds {
        for callers in &plan.callers {
            eprintln!("round {round} of {}, {callers} callers ...", plan.rounds);
            for (order, work) in plan.work.iter().enumerate() {
                // The bare handler has no database: once is enough.
                for subject in if work.is_bare() { &subjects[..1] } else { subjects } {
                    let Subject { installation, fixture, pgbench } = subject;
                    fixture.refresh()?;
                    let mut cost = || match work.is_bare() {
                        true => (process::processor_time(bare.id()), std::time::Duration::ZERO),
                        false => installation.cost(server),
                    };
                    let sample = measure::measure(*work, fixture, *callers, plan.slice, &mut cost)?;
                    let (database, releases) = match work.is_bare() {
                        true => ("", 0),
                        false => (installation.kind.database(), installation.kind.releases),
                    };
                    let row = Row { database, releases, callers: *callers, order, label: work.label() };
                    let beside = pgbench.as_ref().filter(|_| !work.is_bare());
                    if let Some(reached) =
                        beside.map(|pgbench| pgbench.measure(*work, *callers, plan.slice)).transpose()?.flatten()
                    {
                        report.add_pgbench(&row, reached);
                    }
                    // The table comes when all is done; a run that is cut off has told this much.
                    let (per_second, p99_us) = (sample.per_second(), sample.latency_us.value_at_quantile(0.99));
                    eprintln!("  {database} {releases} {}: {per_second:.0}/s, p99 {p99_us} µs", row.label);
                    report.add(row, *work, sample)?;
                }
            }
        }
    }
    Ok(())
}
