//! Whole histories stored at once: the same rows that the service stores one by one, many to a statement.
//!
//! A [`Batch`] is filled without a database. What it holds of a release goes in with a stamp, which only
//! [`Batch::append`] gives: nothing is stored without its history here either.

use diesel::prelude::*;

use super::audit::{AuditRow, Entry, EventRow, Stamp, chained};
use super::changes::{ChangeRow, LinkRow};
use super::connection::{AnyConnection, Limits, Purpose, Target, open};
use super::error::Error;
use super::migrations::ADVISORY_LOCK;
use super::nouns::{Change, Record};
use super::release_row::ReleaseRow;
use super::releases::{DependencyRow, TagRow, VisibilityRow};
use super::schema::{
    audit, changes, events, release_changes, release_dependencies, release_tags, release_visibility, releases,
    transitions,
};
use super::set_aside;
use super::transitions::TransitionRow;
use crate::domain::policy::Principal;
use crate::domain::release::{ChainHead, Release};
use crate::domain::values::ReleaseId;

/// Rows to be stored together, in the order in which they refer to each other.
#[derive(Default)]
pub struct Batch {
    changes: Vec<ChangeRow>,
    releases: Vec<ReleaseRow>,
    visibility: Vec<VisibilityRow>,
    tags: Vec<TagRow>,
    dependencies: Vec<DependencyRow>,
    links: Vec<LinkRow>,
    transitions: Vec<TransitionRow>,
    audit: Vec<AuditRow>,
    events: Vec<EventRow>,
}

impl Batch {
    /// Appends an audit row behind `head`, and the event row that goes with it.
    pub fn append(&mut self, head: &ChainHead, entry: Entry) -> Stamp {
        let (row, event, stamp) = chained(head, entry);
        self.audit.push(row);
        self.events.extend(event);
        stamp
    }

    /// Adds a transition of a release that is added later.
    pub fn add_transition(&mut self, row: TransitionRow, _stamp: &Stamp) {
        self.transitions.push(row);
    }

    /// Adds a release as it stands at the end of its history, with what belongs to it.
    pub fn add_release(
        &mut self,
        release: &Release,
        principals: &[(Principal, &'static str)],
        depends_on: &[ReleaseId],
        links: Vec<LinkRow>,
        stamp: &Stamp,
    ) {
        let release_id = release.id;
        self.releases.push(ReleaseRow::new(release, stamp.head()));
        self.visibility.extend(VisibilityRow::all(release_id, principals));
        self.tags.extend(release.tags.iter().map(|tag| TagRow { release_id, tag: tag.clone() }));
        self.dependencies
            .extend(depends_on.iter().map(|depends_on_id| DependencyRow { release_id, depends_on_id: *depends_on_id }));
        self.links.extend(links);
    }

    /// Adds the working copy of a change as it stands at the end of its history.
    pub fn add_change(&mut self, record: Record<Change>, stamp: &Stamp) {
        self.changes.push(ChangeRow::new(record, stamp));
    }

    /// How many changes there are in it.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// How many releases there are in it.
    pub fn releases(&self) -> usize {
        self.releases.len()
    }
}

/// Tells PostgreSQL how much there is, but of no empty table: plans that are made then, and kept while it is filled, would
/// be made for no rows. Of a table that it knows nothing of, it expects some.
pub(super) const ANALYZE_FILLED: &str = "DO $$ DECLARE filled regclass; BEGIN \
    FOR filled IN SELECT c.oid FROM pg_class c WHERE c.relkind = 'r' \
    AND c.relnamespace = current_schema()::regnamespace AND pg_relation_size(c.oid) > 0 \
    LOOP EXECUTE 'ANALYZE ' || filled; END LOOP; END $$;";

/// The tables that rows are loaded into.
const TABLES: [&str; 9] = [
    "changes",
    "releases",
    "release_visibility",
    "release_tags",
    "release_dependencies",
    "release_changes",
    "transitions",
    "audit",
    "events",
];

/// Indexes of the largest table whose entries come at few places: for PostgreSQL it takes longer to read gigabytes once
/// more for each than to keep them meanwhile. For SQLite it does not.
const KEPT_ON_POSTGRES: [&str; 2] = ["audit_actor_id_id_idx", "audit_action_id_idx"];

/// A loading of many batches. Nothing else may write meanwhile, and what is looked for is found slowly: most indexes
/// are made afterwards.
pub struct Loading {
    /// Connections that store batches at the same time; at least one.
    pub loaders: Vec<Loader>,
}

/// A connection of its own that stores batches.
pub struct Loader {
    connection: AnyConnection,
}

/// More connections than this get in each other's way.
const LOADERS_MAX: usize = 8;
/// Memory of the SQLite page cache while loading, in KiB.
const CACHE_KIB: u32 = 256 * 1024;
/// Pages of the SQLite log before they move into the file: what many batches touch moves once for all of them.
const LOG_PAGES: u32 = 100_000;

impl Loading {
    /// Opens the connections: on PostgreSQL, which keeps one core busy for each, at most so many. Commits wait for no
    /// disk until [`Loading::finish`].
    pub fn begin(target: &Target, limits: Limits, loaders_max: usize) -> Result<Self, Error> {
        use diesel::connection::SimpleConnection as _;
        let mut connection = open(target, limits, Purpose::Write)?;
        let mut kept: &[&str] = &[];
        match &mut connection {
            // What refers to what is right by construction, and `doctor` looks at all of it again.
            AnyConnection::Sqlite(sqlite) => sqlite.batch_execute(&format!(
                "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -{CACHE_KIB}; \
                 PRAGMA wal_autocheckpoint = {LOG_PAGES};"
            ))?,
            AnyConnection::Postgres(postgres) => {
                // A migration would make the indexes meanwhile.
                postgres.batch_execute(&format!(
                    "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock({ADVISORY_LOCK});"
                ))?;
                kept = &KEPT_ON_POSTGRES;
            }
        }
        // Who may not drop them loads with them, and waits longer.
        if let Err(error) = set_aside::set_aside(&mut connection, &TABLES, kept) {
            log::warn!("indexes are kept while rows are loaded: {error}");
        }
        let mut connections = vec![connection];
        if let Target::Postgres(_) = target {
            while connections.len() < loaders_max.min(LOADERS_MAX) {
                match open(target, limits, Purpose::Write) {
                    Ok(connection) => connections.push(connection),
                    // Who may open no more loads with these, and waits longer.
                    Err(error) => {
                        log::warn!("rows are loaded on {} connections: {error}", connections.len());
                        break;
                    }
                }
            }
        }
        for connection in &mut connections {
            if let AnyConnection::Postgres(postgres) = connection {
                postgres
                    .batch_execute("SET synchronous_commit = off; SET statement_timeout = 0; SET lock_timeout = 0;")?;
                // Foreign keys are triggers here; who may not turn them off loads with them, and waits longer.
                let _ = postgres.batch_execute("SET session_replication_role = replica;");
            }
        }
        Ok(Self { loaders: connections.into_iter().map(|connection| Loader { connection }).collect() })
    }

    /// Makes the indexes, waits until everything is on disk, and tells the database how much there is.
    pub fn finish(mut self) -> Result<(), Error> {
        use diesel::connection::SimpleConnection as _;
        self.loaders.truncate(1);
        for Loader { connection } in &mut self.loaders {
            set_aside::put_back(connection)?;
            match connection {
                AnyConnection::Sqlite(sqlite) => {
                    sqlite.batch_execute("PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE);")?;
                }
                // A commit that waits takes all earlier ones along.
                AnyConnection::Postgres(postgres) => {
                    postgres.batch_execute("SET synchronous_commit = on;")?;
                    postgres.batch_execute(ANALYZE_FILLED)?;
                }
            }
        }
        Ok(())
    }
}

impl Loader {
    /// Stores a batch, all or nothing.
    pub fn store(&mut self, batch: &Batch) -> Result<(), Error> {
        macro_rules! insert {
            ($connection:ident, $($table:ident: $rows:ident),* $(,)?) => {
                match $connection {
                    AnyConnection::Sqlite(sqlite) => {
                        $(for row in &batch.$rows {
                            diesel::insert_into($table::table).values(row).execute(sqlite)?;
                        })*
                    }
                    AnyConnection::Postgres(postgres) => {
                        $(if !batch.$rows.is_empty() {
                            diesel::copy_from($table::table).from_insertable(&batch.$rows).execute(postgres)?;
                        })*
                    }
                }
            };
        }
        self.connection.transaction(|connection| {
            insert!(
                connection,
                changes: changes,
                releases: releases,
                release_visibility: visibility,
                release_tags: tags,
                release_dependencies: dependencies,
                release_changes: links,
                transitions: transitions,
                audit: audit,
                events: events,
            );
            Ok(())
        })
    }
}
