//! What the walk from the configuration items of a release finds on its way.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::connection::{AnyConnection, on_either};
use super::error::Error;
use super::listing::{Select, SqlValue, columns};
use super::schema::{configuration_items, groups, release_configuration_items};
use crate::domain::impact::{Direction, STEPS_MAX, Step};
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// So many releases are named at most.
pub const RELEASES_MAX: usize = 200;

/// An item, as far as an impact tells it.
#[derive(Debug, Clone, Queryable)]
pub struct ItemFact {
    /// Identifier.
    pub id: ConfigurationItemId,
    /// The CMDB that owns it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Name.
    pub name: String,
    /// Class.
    pub class: String,
    /// Where it is used.
    pub environment: Option<Environment>,
    /// Status.
    pub status: ItemStatus,
    /// The group that answers for it.
    pub owner_group_id: Option<GroupId>,
    /// Name of that group.
    pub owner_group_name: Option<String>,
}

/// A release that touches an item.
#[derive(Debug, Clone)]
pub struct Touching {
    /// The item.
    pub item: ConfigurationItemId,
    /// The release.
    pub release: ReleaseId,
    /// Its number.
    pub number: i64,
    /// Its title.
    pub title: String,
    /// Its status.
    pub status: Status,
    /// Its stage.
    pub stage: String,
    /// When it is deployed.
    pub deployment_window: Option<Window>,
}

/// The items that a release is linked to, but for those that it leaves out.
pub fn linked_items(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<ConfigurationItemId>, Error> {
    Ok(release_configuration_items::table
        .filter(release_configuration_items::release_id.eq(release))
        .filter(release_configuration_items::outcome.ne(ItemOutcome::Skipped))
        .select(release_configuration_items::configuration_item_id)
        .distinct()
        .load(connection)?)
}

/// The relationships that lead on from these items, in a fixed order; and whether there are more than
/// [`STEPS_MAX`].
pub fn steps(
    connection: &mut AnyConnection,
    from: &[ConfigurationItemId],
    direction: Direction,
) -> Result<(Vec<Step>, bool), Error> {
    type Row = (ConfigurationItemId, ConfigurationItemId, String);
    let (here, there) = match direction {
        Direction::Upstream => ("configuration_item_id", "target_id"),
        Direction::Downstream => ("target_id", "configuration_item_id"),
    };
    let texts: Vec<String> = from.iter().map(ToString::to_string).collect();
    let select = Select::new(columns::<(Text, Text, Text)>("step_from, step_to, kind"))
        .sql(format!(
            " FROM (SELECT {here} AS step_from, {there} AS step_to, kind FROM configuration_item_relationships WHERE"
        ))
        .is_among(connection, here, &texts)
        // What is connected is connected both ways.
        .sql(format!(
            " UNION ALL SELECT {there}, {here}, kind FROM configuration_item_relationships \
             WHERE kind = 'connected_to' AND"
        ))
        .is_among(connection, there, &texts)
        .sql(format!(") AS steps ORDER BY step_from, step_to, kind LIMIT {}", STEPS_MAX + 1))
        .uncached();
    let mut rows: Vec<Row> = on_either!(connection, own => select.load(own))?;
    let more = rows.len() > STEPS_MAX;
    rows.truncate(STEPS_MAX);
    let step = |(from, to, kind): Row| Ok(Step { from, to, kind: kind.parse().map_err(not_stored)? });
    Ok((rows.into_iter().map(step).collect::<Result<_, Error>>()?, more))
}

fn not_stored(error: NotAValue) -> Error {
    Error::Other(error.to_string())
}

/// What is to be told of these items, by name.
pub fn items(connection: &mut AnyConnection, ids: &[ConfigurationItemId]) -> Result<Vec<ItemFact>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    // A statement takes a limited number of values.
    for ids in ids.chunks(500) {
        let rows: Vec<ItemFact> = configuration_items::table
            .left_join(groups::table.on(configuration_items::owner_group_id.eq(groups::id.nullable())))
            .filter(configuration_items::id.eq_any(ids))
            .select((
                configuration_items::id,
                configuration_items::source,
                configuration_items::external_id,
                configuration_items::name,
                configuration_items::class,
                configuration_items::environment,
                configuration_items::status,
                configuration_items::owner_group_id,
                groups::name.nullable(),
            ))
            .load(connection)?;
        found.extend(rows);
    }
    Ok(found)
}

/// The other active releases that the caller sees and that touch any of these items, by number; and whether there are
/// more pairs than are looked at.
pub fn touching(
    connection: &mut AnyConnection,
    release: ReleaseId,
    items: &[ConfigurationItemId],
    visibility: &Visibility,
) -> Result<(Vec<Touching>, bool), Error> {
    type Columns = (
        Text,
        Text,
        BigInt,
        Text,
        Text,
        Text,
        Nullable<diesel::sql_types::Timestamp>,
        Nullable<diesel::sql_types::Timestamp>,
    );
    type Row = (ConfigurationItemId, ReleaseId, i64, String, Status, String, Option<Timestamp>, Option<Timestamp>);
    if items.is_empty() {
        return Ok((Vec::new(), false));
    }
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    let mut select = Select::new(columns::<Columns>(
        "DISTINCT l.configuration_item_id, r.id, r.number, r.title, r.status, r.stage, r.deployment_start, \
         r.deployment_end FROM release_configuration_items l JOIN releases r ON r.id = l.release_id WHERE",
    ));
    select = match connection {
        AnyConnection::Sqlite(_) => select.is_among(connection, "l.configuration_item_id", &texts),
        // A join: a list as long as this one is searched for every link where the statistics are behind.
        AnyConnection::Postgres(_) => select
            .sql(" l.configuration_item_id IN (SELECT unnest(string_to_array(")
            .bind(SqlValue::Text(texts.join(",")))
            .sql(", ',')))"),
    };
    let mut select = select
        .sql(" AND l.outcome = 'pending' AND r.status NOT IN ('suspended', 'cancelled', 'closed') AND r.id <> ")
        .bind(SqlValue::Text(release.to_string()));
    select.visible(visibility, "r.id");
    let select = select.sql(format!(" ORDER BY r.number, l.configuration_item_id LIMIT {}", PAIRS_MAX + 1)).uncached();
    let mut rows: Vec<Row> = on_either!(connection, own => select.load(own))?;
    let more = rows.len() > PAIRS_MAX;
    rows.truncate(PAIRS_MAX);
    let touching = |(item, release, number, title, status, stage, start, end): Row| Touching {
        item,
        release,
        number,
        title,
        status,
        stage,
        deployment_window: start.zip(end).map(|(start, end)| Window { start, end }),
    };
    Ok((rows.into_iter().map(touching).collect(), more))
}

/// So many pairs of a release and an item are looked at.
const PAIRS_MAX: usize = 2000;
