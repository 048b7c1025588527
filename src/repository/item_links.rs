//! Links of configuration items to releases: what a release is going to do to each of them, and what became of it.

use std::collections::HashMap;

use diesel::prelude::*;

use super::audit::Stamp;
use super::connection::{AnyConnection, on_either};
use super::error::{Error, one_row};
use super::listing::{Filter, Ids, Kind, ListQuery, ListSpec, Rows, Select, Sort, SortKind, Sql};
use super::nouns::{ConfigurationItem, Head, Record};
use super::pages;
use super::releases::move_chain;
use super::schema::{configuration_items, release_configuration_items};
use crate::domain::lifecycle::PendingItems;
use crate::domain::policy::Visibility;
use crate::domain::values::*;

/// A release has at most so many links of configuration items.
pub const ITEM_LINKS_MAX: usize = 500;
/// So many rows go into one statement.
pub(super) const ROWS_OF_A_STATEMENT: usize = 100;

/// A link of a configuration item to a release.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = release_configuration_items, treat_none_as_default_value = false)]
pub struct ItemLinkRow {
    /// Identifier.
    pub id: ItemLinkId,
    /// The release.
    pub release_id: ReleaseId,
    /// The item.
    pub configuration_item_id: ConfigurationItemId,
    /// The change that brought it.
    pub change_id: Option<ChangeId>,
    /// What is going to be done.
    pub description: Option<String>,
    /// The version that it is to have.
    pub intended_version: Option<String>,
    /// The status that it is to have.
    pub intended_status: Option<ItemStatus>,
    /// Where it is to be used.
    pub intended_environment: Option<Environment>,
    /// The definitive medium that is installed.
    pub medium_id: Option<MediumId>,
    /// The model of the hardware spare that it needs.
    pub spare_model: Option<String>,
    /// What became of it.
    pub outcome: ItemOutcome,
    /// Words that go with it.
    pub outcome_note: Option<String>,
    /// The version of the item that the plan was made on; once applied, the one that applying made.
    pub seen_row_version: i64,
    /// Rises with every change.
    pub row_version: i64,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How an item stands, as far as its links tell.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct ItemState {
    /// The item.
    pub id: ConfigurationItemId,
    /// The CMDB that owns it.
    pub source: String,
    /// Its key there.
    pub external_id: String,
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// The version that is installed.
    pub version: Option<String>,
    /// Its status.
    pub status: ItemStatus,
    /// Where it is used.
    pub environment: Option<Environment>,
    /// Rises with every change of the item.
    pub row_version: i64,
}

impl ItemState {
    /// Source and key, for people.
    pub fn label(&self) -> String {
        format!("{} {}", self.source, self.external_id)
    }
}

/// A link with its item.
#[derive(Debug, Clone)]
pub struct ItemLink {
    /// The link.
    pub row: ItemLinkRow,
    /// The item.
    pub item: ItemState,
}

impl ItemLink {
    /// True where somebody else changed the item since it was linked, or since it was applied.
    pub const fn is_changed(&self) -> bool {
        self.item.row_version != self.row.seen_row_version
    }
}

impl From<(ItemLinkRow, ItemState)> for ItemLink {
    fn from((row, item): (ItemLinkRow, ItemState)) -> Self {
        Self { row, item }
    }
}

/// Which item a link is of, and what became of it.
pub type Standing = (ItemLinkId, ConfigurationItemId, ItemOutcome);

type StateColumns = (
    configuration_items::id,
    configuration_items::source,
    configuration_items::external_id,
    configuration_items::name,
    configuration_items::class,
    configuration_items::version,
    configuration_items::status,
    configuration_items::environment,
    configuration_items::row_version,
);

const STATE: StateColumns = (
    configuration_items::id,
    configuration_items::source,
    configuration_items::external_id,
    configuration_items::name,
    configuration_items::class,
    configuration_items::version,
    configuration_items::status,
    configuration_items::environment,
    configuration_items::row_version,
);

/// The links of one release.
pub const LIST: ListSpec = ListSpec {
    name: "item_links",
    from: "release_configuration_items JOIN configuration_items \
           ON configuration_items.id = release_configuration_items.configuration_item_id",
    id: "release_configuration_items.id",
    filters: &[
        Filter {
            name: "release_id",
            kind: Kind::Id,
            sql: Sql::Column("release_configuration_items.release_id"),
            doc: "",
        },
        Filter {
            name: "outcome",
            kind: Kind::OneOf(ItemOutcome::NAMES),
            sql: Sql::Column("release_configuration_items.outcome"),
            doc: "Those with one of these outcomes.",
        },
        Filter {
            name: "configuration_item",
            kind: Kind::Id,
            sql: Sql::Column("release_configuration_items.configuration_item_id"),
            doc: "Those of one of these configuration items.",
        },
    ],
    sorts: &[Sort { name: "created_at", column: "release_configuration_items.created_at", kind: SortKind::Instant }],
    default_sort: "created_at",
};

/// Answers a page of links.
pub fn page(connection: &mut AnyConnection, query: &ListQuery, now: Timestamp) -> Result<Rows<ItemLink>, Error> {
    let selection = (release_configuration_items::all_columns, STATE);
    let Rows { rows, more, total } =
        pages::page::<_, (ItemLinkRow, ItemState)>(connection, selection, &LIST, query, &Visibility::Everything, now)?;
    Ok(Rows { rows: rows.into_iter().map(ItemLink::from).collect(), more, total })
}

/// Finds a link of a release.
pub fn find(connection: &mut AnyConnection, release: ReleaseId, id: ItemLinkId) -> Result<Option<ItemLink>, Error> {
    let row: Option<(ItemLinkRow, ItemState)> = release_configuration_items::table
        .inner_join(configuration_items::table)
        .filter(release_configuration_items::release_id.eq(release))
        .filter(release_configuration_items::id.eq(id))
        .select((release_configuration_items::all_columns, STATE))
        .first(connection)
        .optional()?;
    Ok(row.map(ItemLink::from))
}

/// The links of a release with one of these outcomes, oldest first.
pub fn with_outcome(
    connection: &mut AnyConnection,
    release: ReleaseId,
    outcome: ItemOutcome,
) -> Result<Vec<ItemLink>, Error> {
    let rows: Vec<(ItemLinkRow, ItemState)> = release_configuration_items::table
        .inner_join(configuration_items::table)
        .filter(release_configuration_items::release_id.eq(release))
        .filter(release_configuration_items::outcome.eq(outcome))
        .order(release_configuration_items::id.asc())
        .select((release_configuration_items::all_columns, STATE))
        .load(connection)?;
    Ok(rows.into_iter().map(ItemLink::from).collect())
}

/// How every link of a release stands, oldest first.
pub fn standings(connection: &mut AnyConnection, release: ReleaseId) -> Result<Vec<Standing>, Error> {
    Ok(release_configuration_items::table
        .filter(release_configuration_items::release_id.eq(release))
        .order(release_configuration_items::id.asc())
        .select((
            release_configuration_items::id,
            release_configuration_items::configuration_item_id,
            release_configuration_items::outcome,
        ))
        .load(connection)?)
}

/// The pending links of a release, by the item that each is of.
pub fn pending(
    connection: &mut AnyConnection,
    release: ReleaseId,
) -> Result<HashMap<ConfigurationItemId, ItemLinkId>, Error> {
    let rows: Vec<(ConfigurationItemId, ItemLinkId)> = release_configuration_items::table
        .filter(release_configuration_items::release_id.eq(release))
        .filter(release_configuration_items::outcome.eq(ItemOutcome::Pending))
        .select((release_configuration_items::configuration_item_id, release_configuration_items::id))
        .load(connection)?;
    Ok(rows.into_iter().collect())
}

/// How these items stand.
pub fn states_of(
    connection: &mut AnyConnection,
    ids: &[ConfigurationItemId],
) -> Result<HashMap<ConfigurationItemId, ItemState>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let select = Select::new(STATE).sql(" FROM configuration_items WHERE");
    let select = select.is_among(connection, "configuration_items.id", &texts);
    let rows: Vec<ItemState> = on_either!(connection, own => select.load(own))?;
    Ok(rows.into_iter().map(|state| (state.id, state)).collect())
}

/// Locks the items of these links until the transaction ends, in one order, so that nobody waits in a circle; answers
/// them as they stand then. Nothing else that a release does to items locks any, and spares are locked after them.
pub fn lock_items(
    connection: &mut AnyConnection,
    release: ReleaseId,
    outcome: ItemOutcome,
) -> Result<Vec<Record<ConfigurationItem>>, Error> {
    let of_links = release_configuration_items::table
        .filter(release_configuration_items::release_id.eq(release))
        .filter(release_configuration_items::outcome.eq(outcome))
        .select(release_configuration_items::configuration_item_id);
    let content = (
        configuration_items::source,
        configuration_items::external_id,
        configuration_items::name,
        configuration_items::class,
        configuration_items::environment,
        configuration_items::status,
        configuration_items::version,
        configuration_items::serial,
        configuration_items::location,
        configuration_items::owner_group_id,
        configuration_items::attributes,
        configuration_items::source_revision,
    );
    let head = (
        configuration_items::id,
        configuration_items::row_version,
        configuration_items::created_at,
        configuration_items::updated_at,
        configuration_items::audit_seq,
        configuration_items::audit_head,
    );
    let items = configuration_items::table
        .filter(configuration_items::id.eq_any(of_links))
        .order(configuration_items::id.asc())
        .select((head, content));
    let rows: Vec<(Head<ConfigurationItemId>, ConfigurationItem)> = match connection {
        AnyConnection::Sqlite(sqlite) => items.load(sqlite)?,
        AnyConnection::Postgres(postgres) => items.for_no_key_update().load(postgres)?,
    };
    Ok(rows.into_iter().map(Record::from).collect())
}

/// Stores links; the stamp goes to the release's chain.
pub fn insert(
    connection: &mut AnyConnection,
    release: ReleaseId,
    links: &[ItemLinkRow],
    stamp: &Stamp,
) -> Result<(), Error> {
    insert_first(connection, links, stamp)?;
    move_chain(connection, release, stamp)
}

/// Stores links of a release whose chain moves with the release itself.
pub fn insert_first(connection: &mut AnyConnection, links: &[ItemLinkRow], _stamp: &Stamp) -> Result<(), Error> {
    for some in links.chunks(ROWS_OF_A_STATEMENT) {
        let table = release_configuration_items::table;
        on_either!(connection, own => diesel::insert_into(table).values(some).execute(own))?;
    }
    Ok(())
}

/// Stores a changed link over the version before it; [`Error::Stale`] where that is not there. The chain of its release
/// moves with what else is stored.
pub fn store(connection: &mut AnyConnection, link: &ItemLinkRow, _stamp: &Stamp) -> Result<(), Error> {
    let hit = diesel::update(of_version!(release_configuration_items, link.id, link.row_version - 1))
        .set((
            release_configuration_items::description.eq(&link.description),
            release_configuration_items::intended_version.eq(&link.intended_version),
            release_configuration_items::intended_status.eq(link.intended_status),
            release_configuration_items::intended_environment.eq(link.intended_environment),
            release_configuration_items::medium_id.eq(link.medium_id),
            release_configuration_items::spare_model.eq(&link.spare_model),
            release_configuration_items::outcome.eq(link.outcome),
            release_configuration_items::outcome_note.eq(&link.outcome_note),
            release_configuration_items::seen_row_version.eq(link.seen_row_version),
            release_configuration_items::row_version.eq(link.row_version),
            release_configuration_items::updated_at.eq(link.updated_at),
        ))
        .execute(connection)?;
    one_row(hit)
}

/// The same; the stamp goes to the release's chain.
pub fn update(connection: &mut AnyConnection, link: &ItemLinkRow, stamp: &Stamp) -> Result<(), Error> {
    store(connection, link, stamp)?;
    move_chain(connection, link.release_id, stamp)
}

/// Removes a link of this version; [`Error::Stale`] where that is not there.
pub fn delete(connection: &mut AnyConnection, link: &ItemLinkRow, stamp: &Stamp) -> Result<(), Error> {
    let hit =
        diesel::delete(of_version!(release_configuration_items, link.id, link.row_version)).execute(connection)?;
    one_row(hit)?;
    move_chain(connection, link.release_id, stamp)
}

/// Every pending link of a release is skipped, for the reason given.
pub fn skip_pending(
    connection: &mut AnyConnection,
    release: ReleaseId,
    reason: &str,
    now: Timestamp,
    _stamp: &Stamp,
) -> Result<(), Error> {
    diesel::update(
        release_configuration_items::table
            .filter(release_configuration_items::release_id.eq(release))
            .filter(release_configuration_items::outcome.eq(ItemOutcome::Pending)),
    )
    .set((
        release_configuration_items::outcome.eq(ItemOutcome::Skipped),
        release_configuration_items::outcome_note.eq(reason),
        release_configuration_items::row_version.eq(release_configuration_items::row_version + 1),
        release_configuration_items::updated_at.eq(now),
    ))
    .execute(connection)?;
    Ok(())
}

/// An item is again as another applied link had left it: its present version is the one that this link knows. Nothing
/// else of the link changes, so its own version stays.
pub fn see_again(
    connection: &mut AnyConnection,
    item: ConfigurationItemId,
    (left, present): (i64, i64),
    _stamp: &Stamp,
) -> Result<(), Error> {
    diesel::update(
        release_configuration_items::table
            .filter(release_configuration_items::configuration_item_id.eq(item))
            .filter(release_configuration_items::outcome.eq(ItemOutcome::Applied))
            .filter(release_configuration_items::seen_row_version.eq(left)),
    )
    .set(release_configuration_items::seen_row_version.eq(present))
    .execute(connection)?;
    Ok(())
}

/// Goes on with the pending links of releases under way: how many each has, and those whose item somebody else changed.
pub(super) fn pending_ones<S>(select: Select<S>, connection: &AnyConnection, releases: &Ids<'_>) -> Select<S> {
    let select = select.sql(" UNION ALL SELECT 'items', n.release_id, '', NULL, '', '', NULL, NULL, COUNT(*)");
    let select = releases.from(select, connection, "release_configuration_items n", "n.release_id").sql(
        " AND n.outcome = 'pending' GROUP BY n.release_id \
         UNION ALL SELECT 'item', x.release_id, x.id, NULL, x.label, '', NULL, NULL, x.total \
         FROM (SELECT p.release_id, p.id, i.source || ' ' || i.external_id AS label, \
         COUNT(*) OVER (PARTITION BY p.release_id) AS total, \
         ROW_NUMBER() OVER (PARTITION BY p.release_id ORDER BY p.id) AS nth",
    );
    let linked = "release_configuration_items p JOIN configuration_items i ON i.id = p.configuration_item_id";
    releases.from(select, connection, linked, "p.release_id").sql(format!(
        " AND p.outcome = 'pending' AND p.seen_row_version <> i.row_version) x WHERE x.nth <= {}",
        PendingItems::NAMED_MAX
    ))
}

/// What should be known of the pending links of a release: those whose item no change that it carries names, with the
/// change that brought each.
pub fn tell(connection: &mut AnyConnection, release: ReleaseId, pending: &mut PendingItems) -> Result<(), Error> {
    type Row = (ItemLinkId, ConfigurationItemId, Option<ChangeId>);
    let rows: Vec<Row> = release_configuration_items::table
        .filter(release_configuration_items::release_id.eq(release))
        .filter(release_configuration_items::outcome.eq(ItemOutcome::Pending))
        .order(release_configuration_items::id.asc())
        .select((
            release_configuration_items::id,
            release_configuration_items::configuration_item_id,
            release_configuration_items::change_id,
        ))
        .load(connection)?;
    let covered = super::changes::item_ids(connection, release)?;
    let open = rows.into_iter().filter(|(_, item, _)| !covered.contains(item));
    pending.not_covered = open.map(|(link, _, change)| (link, change)).collect();
    Ok(())
}
