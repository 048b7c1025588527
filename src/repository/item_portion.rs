//! Many configuration items and relationships stored at once: a portion of an import, in few statements however much
//! it is. On SQLite, where a statement crosses no network, a row is a prepared statement.

use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::{Value, json};

use super::audit::Stamp;
use super::configuration_items::HistoryRow;
use super::connection::AnyConnection;
use super::error::{Error, one_row};
use super::nouns::{ConfigurationItem, Record};
use super::relationships::RelationshipRow;
use super::schema::{configuration_item_history, configuration_item_relationships, configuration_items};

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    New,
    /// Its content is another one.
    Content,
    /// Its history goes on, for a relationship that starts from it.
    Chain,
}

/// Rows to be stored together. Nothing comes in without a stamp.
#[derive(Default)]
pub struct Portion {
    items: Vec<(Change, Record<ConfigurationItem>)>,
    history: Vec<HistoryRow>,
    relationships: Vec<RelationshipRow>,
}

/// The columns of items in PostgreSQL's words, as they come out of JSON.
const COLUMNS: &str = "id text, row_version bigint, created_at timestamp, updated_at timestamp, audit_seq bigint, \
                       audit_head text, source text, external_id text, name text, class text, environment text, \
                       status text, version text, serial text, location text, owner_group_id text, attributes text, \
                       source_revision bigint";

impl Portion {
    /// Adds an item, the end of whose chain is that of the stamp.
    pub fn add_item(&mut self, change: Change, mut record: Record<ConfigurationItem>, stamp: &Stamp) {
        record.chain = stamp.head().clone();
        self.items.push((change, record));
    }

    /// Adds a state of an item.
    pub fn add_state(&mut self, row: HistoryRow, _stamp: &Stamp) {
        self.history.push(row);
    }

    /// Adds relationships that start from an item.
    pub fn add_relationships(&mut self, rows: Vec<RelationshipRow>, _stamp: &Stamp) {
        self.relationships.extend(rows);
    }

    /// Stores all of it. The items have been locked; [`Error::Stale`] where one is not as it was then.
    pub fn store(&self, connection: &mut AnyConnection) -> Result<(), Error> {
        match connection {
            AnyConnection::Sqlite(sqlite) => self.one_by_one(sqlite),
            AnyConnection::Postgres(postgres) => self.all_at_once(postgres),
        }
    }

    fn one_by_one(&self, sqlite: &mut SqliteConnection) -> Result<(), Error> {
        for (change, record) in &self.items {
            let chain = (
                configuration_items::audit_seq.eq(record.chain.length),
                configuration_items::audit_head.eq(&record.chain.hash),
            );
            let head = (
                configuration_items::row_version.eq(record.row_version),
                configuration_items::updated_at.eq(record.updated_at),
            );
            let by_id = configuration_items::table.find(record.id);
            let hit = match change {
                Change::New => {
                    let made =
                        (configuration_items::id.eq(record.id), configuration_items::created_at.eq(record.created_at));
                    let values = ((made, head, chain), &record.content);
                    diesel::insert_into(configuration_items::table).values(values).execute(sqlite)?
                }
                Change::Content => {
                    let before = by_id.filter(configuration_items::row_version.eq(record.row_version - 1));
                    diesel::update(before).set((head, chain, &record.content)).execute(sqlite)?
                }
                Change::Chain => diesel::update(by_id).set(chain).execute(sqlite)?,
            };
            one_row(hit)?;
        }
        for row in &self.history {
            diesel::insert_into(configuration_item_history::table).values(row).execute(sqlite)?;
        }
        for row in &self.relationships {
            diesel::insert_into(configuration_item_relationships::table).values(row).execute(sqlite)?;
        }
        Ok(())
    }

    fn all_at_once(&self, postgres: &mut PgConnection) -> Result<(), Error> {
        for (change, statement) in [
            (
                Change::New,
                format!("INSERT INTO configuration_items SELECT v.* FROM json_to_recordset($1::json) AS v ({COLUMNS})"),
            ),
            (
                Change::Content,
                format!(
                    "UPDATE configuration_items i SET row_version = v.row_version, updated_at = v.updated_at, \
                     audit_seq = v.audit_seq, audit_head = v.audit_head, name = v.name, class = v.class, \
                     environment = v.environment, status = v.status, version = v.version, serial = v.serial, \
                     location = v.location, owner_group_id = v.owner_group_id, attributes = v.attributes, \
                     source_revision = v.source_revision FROM json_to_recordset($1::json) AS v ({COLUMNS}) \
                     WHERE i.id = v.id AND i.row_version = v.row_version - 1"
                ),
            ),
            (
                Change::Chain,
                format!(
                    "UPDATE configuration_items i SET audit_seq = v.audit_seq, audit_head = v.audit_head \
                     FROM json_to_recordset($1::json) AS v ({COLUMNS}) WHERE i.id = v.id"
                ),
            ),
        ] {
            let rows: Vec<Value> =
                self.items.iter().filter(|(one, _)| *one == change).map(|(_, item)| row(item)).collect();
            if rows.is_empty() {
                continue;
            }
            let count = rows.len();
            let hit = diesel::sql_query(statement).bind::<Text, _>(Value::Array(rows).to_string()).execute(postgres)?;
            if hit != count {
                return Err(Error::Stale);
            }
        }
        if !self.history.is_empty() {
            diesel::copy_from(configuration_item_history::table).from_insertable(&self.history).execute(postgres)?;
        }
        if !self.relationships.is_empty() {
            diesel::copy_from(configuration_item_relationships::table)
                .from_insertable(&self.relationships)
                .execute(postgres)?;
        }
        Ok(())
    }
}

/// The row of an item, as JSON; what is JSON in it is text.
fn row(record: &Record<ConfigurationItem>) -> Value {
    let content = &record.content;
    json!({
        "id": record.id, "row_version": record.row_version, "created_at": record.created_at,
        "updated_at": record.updated_at, "audit_seq": record.chain.length, "audit_head": record.chain.hash,
        "source": content.source, "external_id": content.external_id, "name": content.name, "class": content.class,
        "environment": content.environment, "status": content.status, "version": content.version,
        "serial": content.serial, "location": content.location, "owner_group_id": content.owner_group_id,
        "attributes": Value::Object(content.attributes.0.clone()).to_string(),
        "source_revision": content.source_revision,
    })
}
