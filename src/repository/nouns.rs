//! Reference data: nouns that are plain records with a version, kept, listed and guarded all alike.
//!
//! A noun is its content: the same structure is the row in the table, the body of a request and the
//! middle of a response. [`Noun`] gives every one of them the same find, page, insert, update and delete;
//! the macro at the end writes the SQL side of it.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use diesel::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use validator::Validate;

use super::audit::Stamp;
pub use super::configuration_items::ConfigurationItem;
use super::connection::AnyConnection;
pub use super::contents::{
    Calendar, Change, ChecklistTemplate, Contract, Group, Justification, Model, Portfolio, SolutionCategory, Unit, User,
};
pub use super::definitive_media::DefinitiveMedium;
use super::error::{Error, one_row};
pub use super::hardware_spares::HardwareSpare;
use super::listing::{self, Filter, Kind, ListQuery, ListSpec, Rows, Sort, SortKind, Sql, SqlValue};
use super::pages;
use super::schema::*;
use crate::domain::policy::Visibility;
use crate::domain::release::ChainHead;
use crate::domain::values::*;

/// A stored record of a noun.
#[derive(Debug, Clone)]
pub struct Record<N: Noun> {
    /// Identifier.
    pub id: N::Id,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// End of its audit chain.
    pub chain: ChainHead,
    /// Its content.
    pub content: N,
}

/// The columns before the content, in the order of the tables.
pub type Head<I> = (I, i64, Timestamp, Timestamp, i64, String);

impl<N: Noun> From<(Head<N::Id>, N)> for Record<N> {
    fn from(((id, row_version, created_at, updated_at, length, hash), content): (Head<N::Id>, N)) -> Self {
        Self { id, row_version, created_at, updated_at, chain: ChainHead { length, hash }, content }
    }
}

/// Where a record of a noun can be in use: a column that names it, or a JSON list that holds it.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// What uses it, in words.
    pub by: &'static str,
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// True where the column is a JSON list of identifiers.
    pub in_list: bool,
}

/// Plain reference data.
pub trait Noun: Serialize + DeserializeOwned + Validate + ToSchema + Debug + Clone + Send + Sync + 'static {
    /// Its identifier.
    type Id: Copy + Display + FromStr<Err = NotAValue> + Debug + PartialEq + Send + Sync + 'static;
    /// Its name in audit, events and problems, such as `unit`.
    const RECORD: &'static str;
    /// Its list.
    const LIST: &'static ListSpec;
    /// Where it can be in use.
    const USAGES: &'static [Usage];

    /// Wraps an identifier that the server made.
    fn new_id(id: uuid::Uuid) -> Self::Id;
    /// The text that it is sorted by under the given sort key.
    fn sort_text(&self) -> &str;
    /// Finds a record.
    fn find(connection: &mut AnyConnection, id: Self::Id) -> Result<Option<Record<Self>>, Error>;
    /// Finds and locks a record until the transaction ends.
    fn lock(connection: &mut AnyConnection, id: Self::Id) -> Result<Option<Record<Self>>, Error>;
    /// Answers a page.
    fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<Record<Self>>, Error>;
    /// Stores a new record.
    fn insert(connection: &mut AnyConnection, record: &Record<Self>, stamp: &Stamp) -> Result<(), Error>;
    /// Stores a changed record over the version before it; [`Error::Stale`] where that is not there.
    fn update(connection: &mut AnyConnection, record: &Record<Self>, stamp: &Stamp) -> Result<(), Error>;
    /// Deletes a record of this version; [`Error::Stale`] where that is not there.
    fn delete(connection: &mut AnyConnection, id: Self::Id, row_version: i64, stamp: &Stamp) -> Result<(), Error>;

    /// What uses the record, and how often.
    fn uses(connection: &mut AnyConnection, id: Self::Id) -> Result<Vec<(&'static str, i64)>, Error> {
        let mut found: Vec<(&'static str, i64)> = Vec::new();
        for usage in Self::USAGES {
            let Usage { table, column, by, in_list } = *usage;
            let (operator, value) = if in_list { ("LIKE", format!("%\"{id}\"%")) } else { ("=", id.to_string()) };
            let rest = format!("FROM {table} WHERE {column} {operator} ");
            let count = listing::count(connection, &rest, SqlValue::Text(value), "")?;
            if count > 0 {
                match found.iter_mut().find(|(other, _)| *other == by) {
                    Some((_, sum)) => *sum += count,
                    None => found.push((by, count)),
                }
            }
        }
        Ok(found)
    }
}

/// A noun that another tool owns: it has a key of its own there, and a revision that only ever rises.
pub trait Keyed: Noun + PartialEq {
    /// The tool that owns the record, and its key there.
    fn key(&self) -> (&str, &str);
    /// The revision there, where the tool tells one.
    fn source_revision(&self) -> Option<i64>;
    /// The same with another revision.
    #[must_use]
    fn at_revision(self, source_revision: Option<i64>) -> Self;
    /// Finds and locks a record by its own key until the transaction ends.
    fn lock_by_key(
        connection: &mut AnyConnection,
        source: &str,
        external_id: &str,
    ) -> Result<Option<Record<Self>>, Error>;
}

macro_rules! keyed {
    ($($noun:ident, $id:ty, $table:ident;)*) => {$(
        impl Keyed for $noun {
            fn key(&self) -> (&str, &str) {
                (&self.source, &self.external_id)
            }

            fn source_revision(&self) -> Option<i64> {
                self.source_revision
            }

            fn at_revision(self, source_revision: Option<i64>) -> Self {
                Self { source_revision, ..self }
            }

            fn lock_by_key(
                connection: &mut AnyConnection,
                source: &str,
                external_id: &str,
            ) -> Result<Option<Record<Self>>, Error> {
                let id: Option<$id> = $table::table
                    .filter($table::source.eq(source))
                    .filter($table::external_id.eq(external_id))
                    .select($table::id)
                    .first(connection)
                    .optional()?;
                match id {
                    Some(id) => Self::lock(connection, id),
                    None => Ok(None),
                }
            }
        }
    )*};
}

keyed!(
    Change, ChangeId, changes;
    ConfigurationItem, ConfigurationItemId, configuration_items;
);

/// The model that serves releases that name none.
pub fn default_model(connection: &mut AnyConnection) -> Result<Option<Record<Model>>, Error> {
    let id: Option<ModelId> =
        models::table.filter(models::is_default.eq(true)).select(models::id).first(connection).optional()?;
    match id {
        Some(id) => Model::find(connection, id),
        None => Ok(None),
    }
}

/// The calendars of these identifiers, in no order.
pub fn calendars(connection: &mut AnyConnection, ids: &[CalendarId]) -> Result<Vec<(CalendarId, Calendar)>, Error> {
    let content = (
        calendars::name,
        calendars::description,
        calendars::time_zone,
        calendars::working_hours,
        calendars::holidays,
        calendars::active,
    );
    Ok(calendars::table
        .filter(calendars::id.eq_any(ids.iter().copied()))
        .select((calendars::id, content))
        .load(connection)?)
}

macro_rules! noun {
    (
        $noun:ident, $id:ty, $table:ident, $record:literal, sort by $sort:ident $sort_column:literal,
        columns ($($column:ident),* $(,)?),
        filters [$($filter:expr),* $(,)?],
        used in [$(($by:literal, $used_table:literal, $used_column:literal, $in_list:literal)),* $(,)?]
    ) => {
        impl Noun for $noun {
            type Id = $id;
            const RECORD: &'static str = $record;
            const LIST: &'static ListSpec = &ListSpec {
                name: stringify!($table),
                from: stringify!($table),
                id: concat!(stringify!($table), ".id"),
                filters: &[
                    Filter {
                        name: "q",
                        kind: Kind::Prefix { max_length: 200 },
                        sql: Sql::Search {
                            prefixes: &[concat!("lower(", stringify!($table), ".", $sort_column, ")")],
                            number: None,
                        },
                        doc: concat!("Those whose `", $sort_column, "` starts with this, without regard to the case of A to Z."),
                    },
                    $($filter,)*
                ],
                sorts: &[
                    Sort {
                        name: $sort_column,
                        column: concat!(stringify!($table), ".", $sort_column),
                        kind: SortKind::Text,
                    },
                    Sort {
                        name: "created_at",
                        column: concat!(stringify!($table), ".created_at"),
                        kind: SortKind::Instant,
                    },
                ],
                default_sort: $sort_column,
            };
            const USAGES: &'static [Usage] = &[
                $(Usage { by: $by, table: $used_table, column: $used_column, in_list: $in_list },)*
            ];

            fn new_id(id: uuid::Uuid) -> Self::Id {
                <$id>::new(id)
            }

            fn sort_text(&self) -> &str {
                &self.$sort
            }

            fn find(connection: &mut AnyConnection, id: Self::Id) -> Result<Option<Record<Self>>, Error> {
                let row: Option<(Head<$id>, Self)> = $table::table
                    .find(id)
                    .select(noun!(@columns $table ($($column),*)))
                    .first(connection)
                    .optional()?;
                Ok(row.map(Record::from))
            }

            fn lock(connection: &mut AnyConnection, id: Self::Id) -> Result<Option<Record<Self>>, Error> {
                if let AnyConnection::Postgres(postgres) = connection {
                    let row: Option<(Head<$id>, Self)> = $table::table
                        .find(id)
                        .select(noun!(@columns $table ($($column),*)))
                        .for_no_key_update()
                        .first(postgres)
                        .optional()?;
                    return Ok(row.map(Record::from));
                }
                Self::find(connection, id)
            }

            fn page(
                connection: &mut AnyConnection,
                query: &ListQuery,
                now: Timestamp,
            ) -> Result<Rows<Record<Self>>, Error> {
                let selection = noun!(@columns $table ($($column),*));
                let Rows { rows, more, total } = pages::page::<_, (Head<$id>, Self)>(
                    connection,
                    selection,
                    Self::LIST,
                    query,
                    &Visibility::Everything,
                    now,
                )?;
                Ok(Rows { rows: rows.into_iter().map(Record::from).collect(), more, total })
            }

            fn insert(connection: &mut AnyConnection, record: &Record<Self>, stamp: &Stamp) -> Result<(), Error> {
                diesel::insert_into($table::table)
                    .values((
                        (
                            $table::id.eq(record.id),
                            $table::row_version.eq(record.row_version),
                            $table::created_at.eq(record.created_at),
                            $table::updated_at.eq(record.updated_at),
                            $table::audit_seq.eq(stamp.head().length),
                            $table::audit_head.eq(&stamp.head().hash),
                        ),
                        &record.content,
                    ))
                    .execute(connection)?;
                Ok(())
            }

            fn update(connection: &mut AnyConnection, record: &Record<Self>, stamp: &Stamp) -> Result<(), Error> {
                let hit = diesel::update(
                    of_version!($table, record.id, record.row_version - 1),
                )
                .set((
                    $table::row_version.eq(record.row_version),
                    $table::updated_at.eq(record.updated_at),
                    $table::audit_seq.eq(stamp.head().length),
                    $table::audit_head.eq(&stamp.head().hash),
                    &record.content,
                ))
                .execute(connection)?;
                one_row(hit)
            }

            fn delete(
                connection: &mut AnyConnection,
                id: Self::Id,
                row_version: i64,
                stamp: &Stamp,
            ) -> Result<(), Error> {
                let hit = diesel::delete(
                    of_version!($table, id, row_version),
                )
                .execute(connection)?;
                one_row(hit)?;
                super::audit::bury(connection, $record, &id.to_string(), stamp)
            }
        }
    };
    (@columns $table:ident ($($column:ident),*)) => {
        (
            ($table::id, $table::row_version, $table::created_at, $table::updated_at, $table::audit_seq, $table::audit_head),
            ($($table::$column,)*),
        )
    };
}

const fn active(column: &'static str) -> Filter {
    Filter {
        name: "active",
        kind: Kind::Boolean,
        sql: Sql::Column(column),
        doc: "Only active ones, or only inactive ones.",
    }
}

noun!(
    Unit, UnitId, units, "unit", sort by name "name",
    columns (name, description, parent_id, active),
    filters [
        active("units.active"),
        Filter { name: "parent", kind: Kind::Id, sql: Sql::Column("units.parent_id"), doc: "Those directly below one of these units." },
    ],
    used in [
        ("unit", "units", "parent_id", false),
        ("user", "users", "unit_id", false),
        ("contract", "contracts", "unit_ids", true),
        ("release", "releases", "requester_unit_id", false),
    ]
);

noun!(
    User, UserId, users, "user", sort by username "username",
    columns (username, name, email, phone, extension, unit_id, location, global_role, active),
    filters [
        active("users.active"),
        Filter { name: "unit", kind: Kind::Id, sql: Sql::Column("users.unit_id"), doc: "Those of one of these units." },
        Filter { name: "global_role", kind: Kind::OneOf(GlobalRole::NAMES), sql: Sql::Column("users.global_role"), doc: "Those with one of these global roles." },
        Filter {
            name: "group",
            kind: Kind::Id,
            sql: Sql::Exists(
                "EXISTS (SELECT 1 FROM group_members m WHERE m.user_id = users.id AND m.group_id IN (",
                "))",
            ),
            doc: "The members of one of these groups.",
        },
    ],
    used in [
        ("group", "group_members", "user_id", false),
        ("release", "releases", "created_by", false),
        ("release", "releases", "requester_user_id", false),
        ("release", "releases", "assignee_id", false),
        ("transition", "transitions", "actor_id", false),
        ("session", "sessions", "user_id", false),
        ("personal token", "personal_tokens", "user_id", false),
        ("approval rule", "approval_voters", "user_id", false),
        ("model", "models", "approval_rule", true),
        ("vote", "approval_votes", "user_id", false),
        ("checklist answer", "checklist_answers", "answered_by", false),
        ("document", "documents", "uploaded_by", false),
        ("document", "documents", "deleted_by", false),
        ("audit row", "audit", "actor_id", false),
        ("role", "release_roles", "user_id", false),
        ("share", "release_shares", "user_id", false),
        ("share", "release_shares", "shared_by", false),
        ("record", "release_records", "author_id", false),
        ("comment", "release_comments", "author_id", false),
        ("import", "imports", "actor_id", false),
        ("state of a configuration item", "configuration_item_history", "actor_id", false),
        ("definitive medium", "definitive_media", "verified_by", false),
        ("definitive medium", "definitive_media", "authorised_by", false),
        ("write-back", "write_backs", "answered_by", false),
    ]
);

noun!(
    Group, GroupId, groups, "group", sort by name "name",
    columns (name, description, active, permissions),
    filters [
        active("groups.active"),
        Filter {
            name: "member",
            kind: Kind::Id,
            sql: Sql::Exists(
                "EXISTS (SELECT 1 FROM group_members m WHERE m.group_id = groups.id AND m.user_id IN (",
                "))",
            ),
            doc: "Those that one of these users belongs to.",
        },
    ],
    used in [
        ("member", "group_members", "group_id", false),
        ("model", "models", "executor_group_id", false),
        ("model", "models", "executor_group_ids", true),
        ("model", "models", "activity_templates", true),
        ("model", "models", "approval_rule", true),
        ("contract", "contracts", "group_ids", true),
        ("workflow", "workflows", "definition", true),
        ("release", "releases", "executor_group_id", false),
        ("share", "release_shares", "group_id", false),
        ("approval rule", "approval_voters", "group_id", false),
        ("vote", "approval_votes", "group_id", false),
        ("configuration item", "configuration_items", "owner_group_id", false),
    ]
);

noun!(
    Contract, ContractId, contracts, "contract", sort by name "name",
    columns (name, description, active, group_ids, unit_ids),
    filters [active("contracts.active")],
    used in [("model", "models", "contract_ids", true), ("release", "releases", "contract_id", false)]
);

noun!(
    Calendar, CalendarId, calendars, "calendar", sort by name "name",
    columns (name, description, time_zone, working_hours, holidays, active),
    filters [active("calendars.active")],
    used in [("model", "models", "calendar_id", false), ("release", "releases", "calendar_id", false)]
);

noun!(
    Justification, JustificationId, justifications, "justification", sort by description "description",
    columns (description, active, applies_to),
    filters [
        active("justifications.active"),
        Filter {
            name: "applies_to",
            kind: Kind::OneOf(JustificationUse::NAMES),
            sql: Sql::InList("justifications.applies_to"),
            doc: "Those that may be used for one of these.",
        },
    ],
    used in [("transition", "transitions", "justification_id", false)]
);

noun!(
    SolutionCategory, SolutionCategoryId, solution_categories, "solution_category", sort by name "name",
    columns (name, description, active),
    filters [active("solution_categories.active")],
    used in [("release", "releases", "solution_category_id", false), ("transition", "transitions", "solution_category_id", false)]
);

noun!(
    ChecklistTemplate, ChecklistTemplateId, checklist_templates, "checklist_template", sort by name "name",
    columns (name, description, active, stage, required, questions),
    filters [
        active("checklist_templates.active"),
        Filter {
            name: "stage",
            kind: Kind::Text { max_length: 100 },
            sql: Sql::Column("checklist_templates.stage"),
            doc: "Those bound to one of these stages, as they name it.",
        },
    ],
    used in [
        ("checklist", "release_checklists", "template_id", false),
        ("model", "models", "checklist_template_ids", true),
    ]
);

noun!(
    Portfolio, PortfolioId, portfolios, "portfolio", sort by name "name",
    columns (name, description, icon, parent_id, active),
    filters [
        active("portfolios.active"),
        Filter { name: "parent", kind: Kind::Id, sql: Sql::Column("portfolios.parent_id"), doc: "Those directly below one of these portfolios." },
    ],
    used in [
        ("portfolio", "portfolios", "parent_id", false),
        ("model", "models", "portfolio_id", false),
        ("release", "releases", "portfolio_id", false),
    ]
);

noun!(
    Model, ModelId, models, "model", sort by name "name",
    columns (
        portfolio_id, name, description, icon, status, is_default, workflow, executor_group_id, executor_group_ids,
        contract_ids, type_, impact, urgency, risk, calendar_id, approval_rule, activity_templates, checklist_template_ids,
        custom_fields_schema, notify, asks_for
    ),
    filters [
        Filter { name: "status", kind: Kind::OneOf(ModelStatus::NAMES), sql: Sql::Column("models.status"), doc: "Those with one of these statuses." },
        Filter { name: "portfolio", kind: Kind::Id, sql: Sql::Column("models.portfolio_id"), doc: "Those of one of these portfolios." },
        Filter { name: "is_default", kind: Kind::Boolean, sql: Sql::Column("models.is_default"), doc: "The default model, or the others." },
    ],
    used in [("release", "releases", "model_id", false)]
);

noun!(
    Change, ChangeId, changes, "change", sort by external_id "external_id",
    columns (
        source, external_id, title, status, change_window, risk, rollback_plan, url, source_revision,
        configuration_item_ids
    ),
    filters [
        Filter { name: "source", kind: Kind::Text { max_length: 50 }, sql: Sql::Column("changes.source"), doc: "Those of one of these tools." },
        Filter { name: "external_id", kind: Kind::Text { max_length: 100 }, sql: Sql::Column("changes.external_id"), doc: "Those with one of these keys." },
        Filter { name: "status", kind: Kind::OneOf(ChangeStatus::NAMES), sql: Sql::Column("changes.status"), doc: "Those with one of these statuses." },
        Filter { name: "risk", kind: Kind::OneOf(Level::NAMES), sql: Sql::Column("changes.risk"), doc: "Those with one of these risks." },
    ],
    used in [
        ("release", "release_changes", "change_id", false),
        ("linked configuration item", "release_configuration_items", "change_id", false),
    ]
);

noun!(
    ConfigurationItem, ConfigurationItemId, configuration_items, "configuration_item", sort by name "name",
    columns (
        source, external_id, name, class, environment, status, version, serial, location, owner_group_id, attributes,
        source_revision
    ),
    filters [
        Filter { name: "source", kind: Kind::Text { max_length: 50 }, sql: Sql::Column("configuration_items.source"), doc: "Those of one of these CMDBs." },
        Filter { name: "external_id", kind: Kind::Text { max_length: 100 }, sql: Sql::Column("configuration_items.external_id"), doc: "Those with one of these keys." },
        Filter { name: "class", kind: Kind::Text { max_length: 50 }, sql: Sql::Column("configuration_items.class"), doc: "Those of one of these classes." },
        Filter { name: "environment", kind: Kind::OneOf(Environment::NAMES), sql: Sql::Column("configuration_items.environment"), doc: "Those of one of these environments." },
        Filter { name: "status", kind: Kind::OneOf(ItemStatus::NAMES), sql: Sql::Column("configuration_items.status"), doc: "Those with one of these statuses." },
        Filter { name: "version", kind: Kind::Text { max_length: 50 }, sql: Sql::Column("configuration_items.version"), doc: "Those with one of these versions." },
        Filter { name: "serial", kind: Kind::Text { max_length: 100 }, sql: Sql::Column("configuration_items.serial"), doc: "Those with one of these serial numbers." },
        Filter { name: "location", kind: Kind::Text { max_length: 200 }, sql: Sql::Column("configuration_items.location"), doc: "Those at one of these places." },
        Filter { name: "owner_group", kind: Kind::Id, sql: Sql::Column("configuration_items.owner_group_id"), doc: "Those that one of these groups answers for." },
        Filter {
            name: "attribute",
            kind: Kind::Attribute,
            sql: Sql::Attributes {
                table: "configuration_item_attributes",
                owner: "configuration_item_id",
                id: "configuration_items.id",
            },
            doc: "Those with these attributes, each as `name:value`: of one name any of its values, and of every name one. \
                  `cpu:8,cpu:16,rack:r7` are the items in rack r7 with 8 or 16. Texts, numbers and booleans are found, as the \
                  item shows them; the number 8 and the text 8 are one. Not found are attributes inside \
                  of others, empty values, names with a colon or a comma in them, values with a comma, and longer names \
                  and values than this parameter takes.",
        },
    ],
    used in [
        ("relationship", "configuration_item_relationships", "configuration_item_id", false),
        ("relationship", "configuration_item_relationships", "target_id", false),
        ("release", "release_configuration_items", "configuration_item_id", false),
        ("hardware spare", "hardware_spares", "configuration_item_id", false),
        ("hardware spare", "release_hardware_spares", "configuration_item_id", false),
        ("change", "changes", "configuration_item_ids", true),
        ("write-back", "write_backs", "configuration_item_id", false),
    ]
);

noun!(
    DefinitiveMedium, MediumId, definitive_media, "definitive_medium", sort by name "name",
    columns (name, version, kind, physical_location, logical_location, sha256, licence, notes),
    filters [
        Filter { name: "kind", kind: Kind::OneOf(MediumKind::NAMES), sql: Sql::Column("definitive_media.kind"), doc: "Those of one of these kinds." },
        Filter { name: "status", kind: Kind::OneOf(MediumStatus::NAMES), sql: Sql::Column("definitive_media.status"), doc: "Those with one of these statuses." },
        Filter { name: "version", kind: Kind::Text { max_length: 50 }, sql: Sql::Column("definitive_media.version"), doc: "Those of one of these versions." },
        Filter { name: "sha256", kind: Kind::Text { max_length: 64 }, sql: Sql::Column("definitive_media.sha256"), doc: "Those with one of these SHA-256." },
    ],
    used in [
        ("release", "release_definitive_media", "medium_id", false),
        ("linked configuration item", "release_configuration_items", "medium_id", false),
    ]
);

noun!(
    HardwareSpare, SpareId, hardware_spares, "hardware_spare", sort by serial "serial",
    columns (model, serial, location, notes, status, configuration_item_id),
    filters [
        Filter { name: "model", kind: Kind::Text { max_length: 100 }, sql: Sql::Column("hardware_spares.model"), doc: "Those of one of these models." },
        Filter { name: "serial", kind: Kind::Text { max_length: 100 }, sql: Sql::Column("hardware_spares.serial"), doc: "Those with one of these serial numbers." },
        Filter { name: "status", kind: Kind::OneOf(SpareStatus::NAMES), sql: Sql::Column("hardware_spares.status"), doc: "Those with one of these statuses." },
        Filter { name: "location", kind: Kind::Text { max_length: 200 }, sql: Sql::Column("hardware_spares.location"), doc: "Those at one of these places." },
        Filter { name: "configuration_item", kind: Kind::Id, sql: Sql::Column("hardware_spares.configuration_item_id"), doc: "Those that became one of these configuration items." },
    ],
    used in [("release", "release_hardware_spares", "spare_id", false)]
);
