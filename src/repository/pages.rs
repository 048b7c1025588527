//! One page of a list, and the way to its rows.
//!
//! Among a million rows the way decides: along an index in the order of the list, past rows that do not meet the
//! filters; or from the few rows that meet one filter, which are then sorted. Few are found by looking: at most
//! [`FEW_ROWS`] entries of an index are read. PostgreSQL knows from its statistics which index to take; SQLite has
//! none and is told.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::query_dsl::LoadQuery;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{Expression, PgConnection, RunQueryDsl, SqliteConnection};

use super::connection::{AnyConnection, on_either};
use super::error::Error;
use super::listing::{
    COUNT_MAX, END_OF_TIME, Filter, LIMIT_DEFAULT, ListQuery, ListSpec, Rows, Select, Sort, Sql, SqlValue, Total,
    by_attribute, columns, number_in,
};
use crate::domain::policy::Visibility;
use crate::domain::values::Timestamp;

/// A page is taken to have so many rows.
const ROWS_OF_A_PAGE: usize = 50;
/// One release of so many is seen by whoever sees much.
const MUCH_OF_ALL: usize = 20;
/// So many rows are read and sorted rather than walked past.
pub const FEW_ROWS: usize = 2_000;
/// Of so many conditions it is remembered whether many rows meet them.
const WIDE_CONDITIONS_MAX: usize = 4_096;
/// That is looked at again after this time: what was a large part of all may be a small one by then.
const WIDE_SECONDS_MAX: u64 = 30;

/// An index that a list can go along.
#[derive(Debug)]
pub struct Index {
    name: &'static str,
    /// The filters that it finds the rows of.
    filters: &'static [&'static str],
    /// The only value of the filter that it is for, where there is one.
    value: Option<&'static str>,
    /// The sort in whose order it is.
    sort: Option<&'static str>,
    /// True where all rows are in that order, and not those of one value of the filter alone.
    whole: bool,
    /// True where whatever meets the filter has a value to sort by: the end of the index need not be looked at.
    bounded: bool,
}

impl Index {
    /// All rows in the order of a sort; the filters are ranges of the same column.
    pub const fn whole(name: &'static str, sort: &'static str, filters: &'static [&'static str]) -> Self {
        Self { name, filters, value: None, sort: Some(sort), whole: true, bounded: false }
    }

    /// The rows of each value of a filter, in the order of a sort.
    pub const fn pair(name: &'static str, filter: &'static [&'static str], sort: &'static str) -> Self {
        Self { name, filters: filter, value: None, sort: Some(sort), whole: false, bounded: false }
    }

    /// The rows that meet the filters, in an order that no sort asks for.
    pub const fn of(name: &'static str, filters: &'static [&'static str]) -> Self {
        Self { name, filters, value: None, sort: None, whole: false, bounded: false }
    }

    /// The same, for one value of the filter alone.
    #[must_use]
    pub const fn only_for(self, value: &'static str) -> Self {
        Self { value: Some(value), ..self }
    }

    /// The same, where whatever meets the filter has a value to sort by.
    #[must_use]
    pub const fn bounded(self) -> Self {
        Self { bounded: true, ..self }
    }
}

/// The way to the rows of a page.
#[derive(Debug, Default)]
struct Way {
    /// Out of these rows alone, and what they were found by, which is not asked again.
    among: Option<(Found, Vec<String>)>,
    /// Along this index; on SQLite alone.
    index: Option<&'static str>,
    /// Once for each value of this condition, and the first of all; on SQLite alone.
    each_of: Option<usize>,
    /// The rows come in another order and are sorted: first by what they are sorted by alone, and the page is read then.
    unsorted: bool,
    /// Rows without a value to sort by are not looked at.
    bounded: bool,
    /// Of each row that is come by it is looked up whether it is visible; on PostgreSQL alone, SQLite does nothing else.
    row_by_row: bool,
}

/// By what few rows were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Found {
    ByVisibility,
    ByCondition(usize),
    /// By what a condition asks for, among others: the condition itself is still to be asked.
    Among,
}

/// Answers one page of a list, and lets the database find the way; but to the few rows that have an attribute, which no
/// database knows how to tell from many.
pub fn page<S, R>(
    connection: &mut AnyConnection,
    selection: S,
    spec: &ListSpec,
    query: &ListQuery,
    visibility: &Visibility,
    now: Timestamp,
) -> Result<Rows<R>, Error>
where
    S: Expression,
    Select<S>: for<'q> LoadQuery<'q, SqliteConnection, R> + for<'q> LoadQuery<'q, PgConnection, R>,
{
    let asked = Asked { spec, query, visibility, now };
    let by_attribute = |condition| matches!(asked.filter(condition).sql, Sql::Attributes { .. });
    let way = if (0..query.conditions.len()).any(by_attribute) { asked.way(connection, &[])? } else { Way::default() };
    asked.page(connection, selection, &way)
}

/// Answers one page of a list of releases, along one of the indexes; of those that serve, the first.
pub fn page_along<S, R>(
    connection: &mut AnyConnection,
    selection: S,
    (spec, indexes): (&ListSpec, &[Index]),
    query: &ListQuery,
    visibility: &Visibility,
    now: Timestamp,
) -> Result<Rows<R>, Error>
where
    S: Expression,
    Select<S>: for<'q> LoadQuery<'q, SqliteConnection, R> + for<'q> LoadQuery<'q, PgConnection, R>,
{
    let asked = Asked { spec, query, visibility, now };
    let way = asked.way(connection, indexes)?;
    asked.page(connection, selection, &way)
}

/// What is asked for.
struct Asked<'q> {
    spec: &'q ListSpec,
    query: &'q ListQuery,
    visibility: &'q Visibility,
    now: Timestamp,
}

impl Asked<'_> {
    fn filter(&self, condition: usize) -> &Filter {
        &self.spec.filters[self.query.conditions[condition].filter]
    }

    fn values(&self, condition: usize) -> &[SqlValue] {
        &self.query.conditions[condition].values
    }

    fn sort(&self) -> &Sort {
        &self.spec.sorts[self.query.sort]
    }

    fn sorts(&self, index: &Index) -> bool {
        index.sort == Some(self.sort().name)
    }

    /// The conditions that the index finds the rows of.
    fn served(&self, index: &Index) -> Vec<usize> {
        let serves = |condition: &usize| {
            index.filters.contains(&self.filter(*condition).name)
                && match (index.value, self.values(*condition)) {
                    (None, _) => true,
                    (Some(value), [SqlValue::Text(given)]) => value == given,
                    (Some(value), [SqlValue::Boolean(given)]) => value == given.to_string(),
                    (Some(_), _) => false,
                }
        };
        (0..self.query.conditions.len()).filter(serves).collect()
    }

    fn way(&self, connection: &mut AnyConnection, indexes: &[Index]) -> Result<Way, Error> {
        let sorted: Vec<(&Index, Vec<usize>)> =
            indexes.iter().filter(|index| self.sorts(index)).map(|index| (index, self.served(index))).collect();
        let bounded = sorted.iter().any(|(index, served)| index.bounded && !served.is_empty());
        if let Some(among) = self.few(connection)? {
            return Ok(Way { among: Some(among), unsorted: true, ..Way::default() });
        }
        if let AnyConnection::Postgres(_) = connection {
            // With conditions besides, PostgreSQL takes that for dearer than it is, and another way than the walk.
            let row_by_row = self.query.conditions.is_empty() && self.sees_much(connection)?;
            return Ok(Way { bounded, row_by_row, ..Way::default() });
        }
        for index in indexes.iter().filter(|index| !self.sorts(index)) {
            let served = self.served(index);
            let elsewhere = |at: &usize| sorted.iter().any(|(_, served)| served.contains(at));
            if !served.iter().all(elsewhere) && self.finds_few(connection, index, &served)? {
                return Ok(Way { index: Some(index.name), unsorted: true, ..Way::default() });
            }
        }
        let pair = sorted.iter().find(|(index, served)| !index.whole && !served.is_empty());
        let each_of = pair.map(|(_, served)| served[0]).filter(|condition| self.values(*condition).len() > 1);
        let way = pair.or_else(|| sorted.iter().find(|(index, _)| index.whole));
        Ok(Way { index: way.map(|(index, _)| index.name), each_of, bounded, ..Way::default() })
    }

    /// The rows that are visible, or that meet a condition that no index of the list serves, where they are few.
    fn few(&self, connection: &mut AnyConnection) -> Result<Option<(Found, Vec<String>)>, Error> {
        if let Visibility::Of(principals) = self.visibility {
            let mut select = Select::new(columns::<Text>("release_id FROM release_visibility WHERE principal IN ("));
            select.push_list(&principals.iter().map(|p| SqlValue::Text(p.to_string())).collect::<Vec<_>>());
            select.push(")");
            let found = self.few_of(connection, Found::ByVisibility, (principals, "visible"), select)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        for condition in 0..self.query.conditions.len() {
            let (filter, values) = (self.filter(condition), self.values(condition));
            let mut by_what = Found::ByCondition(condition);
            let select = match filter.sql {
                Sql::OfCaller { among, .. } => {
                    let [SqlValue::Boolean(true), voices @ ..] = values else { continue };
                    by_what = Found::Among;
                    let mut select = Select::new(columns::<Text>(among));
                    select.push_list(voices);
                    select.push(")");
                    select
                }
                Sql::Attributes { table, owner, .. } => {
                    let by_name = by_attribute(values);
                    let alone = by_name.len() == 1;
                    for (name, values) in by_name {
                        let mut select = Select::new(columns::<Text>(""))
                            .sql(format!("{owner} FROM {table} WHERE name = "))
                            .bind(SqlValue::Text(name.to_owned()))
                            .sql(" AND value IN (");
                        select.push_list(&values);
                        select.push(")");
                        let by_what = if alone { by_what } else { Found::Among };
                        let by = format!("{} {name:?} {values:?}", filter.name);
                        let found = self.few_of(connection, by_what, by, select.uncached())?;
                        if found.is_some() {
                            return Ok(found);
                        }
                    }
                    continue;
                }
                Sql::Linked { table, column } => {
                    let mut select = Select::new(columns::<Text>("release_id FROM "));
                    select.push(format!("{table} WHERE {column} IN ("));
                    select.push_list(values);
                    select.push(")");
                    select
                }
                Sql::Search { prefixes, number } => {
                    let [SqlValue::Text(given), ..] = values else { continue };
                    // One part for each index: a condition with OR in it may make the database read all rows.
                    let all = format!("{} FROM {} WHERE ", self.spec.id, self.spec.from);
                    let mut select = Select::new(columns::<Text>(""));
                    for (index, column) in prefixes.iter().enumerate() {
                        select.push(if index == 0 { all.clone() } else { format!(" UNION ALL SELECT {all}") });
                        select.prefix(column, given);
                    }
                    if let (Some(column), Some(key)) = (number, number_in(given)) {
                        select.push(format!(" UNION ALL SELECT {all}{column} = "));
                        select = select.bind(SqlValue::Integer(key));
                    }
                    select.uncached()
                }
                _ => continue,
            };
            let by = format!("{} {values:?}", filter.name);
            let found = self.few_of(connection, by_what, by, select)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn few_of<S>(
        &self,
        connection: &mut AnyConnection,
        found: Found,
        by: impl Hash,
        select: Select<S>,
    ) -> Result<Option<(Found, Vec<String>)>, Error>
    where
        S: Expression,
        Select<S>: for<'q> LoadQuery<'q, SqliteConnection, String> + for<'q> LoadQuery<'q, PgConnection, String>,
    {
        let wide = Wide::of(self.spec, by);
        if wide.recall().is_some() {
            return Ok(None);
        }
        let select = select.sql(format!(" LIMIT {}", FEW_ROWS + 1));
        let mut ids: Vec<String> = on_either!(connection, own => select.load(own))?;
        if ids.len() > FEW_ROWS || self.is_much(connection, ids.len())? {
            wide.remember(true);
            return Ok(None);
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Some((found, ids)))
    }

    /// True where so many rows are so large a part of all that a page of them is sooner walked to than found by reading
    /// them. Only of releases it is known how many there are.
    fn is_much(&self, connection: &mut AnyConnection, rows: usize) -> Result<bool, Error> {
        Ok(self.spec.from == "releases" && rows >= worth_a_walk(connection)?)
    }

    /// True where so much is visible to the caller. PostgreSQL then is not to weigh the other way, from what is visible:
    /// it takes longer over that than over the page.
    fn sees_much(&self, connection: &mut AnyConnection) -> Result<bool, Error> {
        let Visibility::Of(principals) = self.visibility else {
            return Ok(false);
        };
        let much = Wide::of(self.spec, (principals, "much"));
        if let Some(known) = much.recall() {
            return Ok(known);
        }
        let rows = worth_a_walk(connection)?.max(releases(connection)? / MUCH_OF_ALL);
        // A release is visible for several reasons: it counts for each, and the part need not be exact.
        let mut select = Select::new(columns::<BigInt>("COUNT(*) FROM (SELECT 1 FROM release_visibility WHERE"));
        select.push(" principal IN (");
        select.push_list(&principals.iter().map(|p| SqlValue::Text(p.to_string())).collect::<Vec<_>>());
        select.push(format!(") LIMIT {rows}) AS visible"));
        let visible: i64 = on_either!(connection, own => select.uncached().get_result(own))?;
        let known = usize::try_from(visible).unwrap_or(usize::MAX) >= rows;
        much.remember(known);
        Ok(known)
    }

    /// True where few rows meet the conditions that the index serves.
    fn finds_few(&self, connection: &mut AnyConnection, index: &Index, served: &[usize]) -> Result<bool, Error> {
        let by: Vec<String> =
            served.iter().map(|at| format!("{} {:?}", self.filter(*at).name, self.values(*at))).collect();
        let wide = Wide::of(self.spec, by);
        if wide.recall().is_some() {
            return Ok(false);
        }
        let mut select = Select::new(columns::<BigInt>("COUNT(*) FROM (SELECT 1 FROM "));
        select.push(format!("{} INDEXED BY \"{}\" WHERE 1 = 1", self.spec.from, index.name));
        for condition in served {
            select.condition(self.filter(*condition), self.values(*condition), self.now);
        }
        select.push(format!(" LIMIT {})", FEW_ROWS + 1));
        let found: i64 = on_either!(connection, own => select.uncached().get_result(own))?;
        let found = usize::try_from(found).unwrap_or(usize::MAX);
        if found > FEW_ROWS || self.is_much(connection, found)? {
            wide.remember(true);
            return Ok(false);
        }
        Ok(true)
    }

    fn page<S, R>(&self, connection: &mut AnyConnection, selection: S, way: &Way) -> Result<Rows<R>, Error>
    where
        S: Expression,
        Select<S>: for<'q> LoadQuery<'q, SqliteConnection, R> + for<'q> LoadQuery<'q, PgConnection, R>,
    {
        let Self { spec, query, .. } = self;
        let total = if query.count {
            let select = Select::new(columns::<BigInt>("COUNT(*) FROM (SELECT 1"));
            // The order is nothing to a count: the database finds the rows as it likes.
            let way = Way { among: way.among.clone(), ..Way::default() };
            let select =
                self.narrow(connection, select, &way, None).sql(format!(" LIMIT {}) AS counted", COUNT_MAX + 1));
            let count: i64 = on_either!(connection, own => select.get_result(own))?;
            Some(Total { count: count.min(COUNT_MAX), exact: count <= COUNT_MAX })
        } else {
            None
        };
        let mut select = Select::new(selection);
        let parts = way.each_of.map_or(1, |condition| self.values(condition).len());
        if way.each_of.is_none() && !way.unsorted {
            select = self.limit(self.behind(self.narrow(connection, select, way, None)), self.sort().column, spec.id);
        } else {
            select.push(format!(" FROM {0} WHERE {1} IN (SELECT id FROM (", spec.from, spec.id));
            for value in 0..parts {
                select.push(if value == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
                select.push(format!("SELECT {} AS id, {} AS sort", spec.id, self.sort().column));
                select = self.narrow(connection, select, way, way.each_of.map(|condition| (condition, value)));
                select = self.limit(self.behind(select), self.sort().column, spec.id);
                select.push(format!(") AS part{value}"));
            }
            select.push(") AS parts");
            if parts > 1 {
                select = self.limit(select, "sort", "id");
            }
            select.push(")");
            select = self.limit(select, self.sort().column, spec.id);
            select.cacheable = false;
        }
        let mut rows: Vec<R> = on_either!(connection, own => select.load(own))?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Rows { rows, more, total })
    }

    /// ` FROM … WHERE …`; with the condition narrowed to one of its values, where one is given.
    fn narrow<S>(
        &self,
        connection: &AnyConnection,
        mut select: Select<S>,
        way: &Way,
        only: Option<(usize, usize)>,
    ) -> Select<S> {
        let Self { spec, query, visibility, now } = self;
        // Statements are cached by their text, without bound: only the few common shapes may be.
        select.cacheable = match query.conditions.as_slice() {
            [] => true,
            [one] => one.values.len() == 1,
            _ => false,
        } && match visibility {
            Visibility::Everything => true,
            Visibility::Of(principals) => principals.len() <= 8,
        };
        select.push(format!(" FROM {}", spec.from));
        if let Some(index) = way.index {
            select.push(format!(" INDEXED BY \"{index}\""));
        }
        let found = match &way.among {
            None => {
                select.push(" WHERE 1 = 1");
                None
            }
            Some((found, ids)) => {
                if let AnyConnection::Sqlite(_) = connection {
                    select.push(format!(" INDEXED BY \"sqlite_autoindex_{}_1\"", spec.from));
                }
                select = select.sql(" WHERE").is_among(connection, spec.id, ids);
                Some(*found)
            }
        };
        for condition in 0..query.conditions.len() {
            let values = self.values(condition);
            match only {
                Some((narrowed, value)) if narrowed == condition => {
                    select.condition(self.filter(condition), &values[value..=value], *now);
                }
                _ if found == Some(Found::ByCondition(condition)) => {}
                _ => select.condition(self.filter(condition), values, *now),
            }
        }
        if way.bounded {
            select.push(format!(" AND {} < '{END_OF_TIME}'", self.sort().column));
        }
        if found != Some(Found::ByVisibility) {
            if way.row_by_row {
                select.visible_row_by_row(visibility, spec.id);
            } else {
                select.visible(visibility, spec.id);
            }
        }
        select
    }

    /// Behind the last row of the page before.
    fn behind<S>(&self, select: Select<S>) -> Select<S> {
        let (column, id) = (self.sort().column, self.spec.id);
        let Some((value, last)) = &self.query.after else {
            return select;
        };
        let beyond = if self.query.descending { "<" } else { ">" };
        // The first half bounds the index scan, the second keeps rows of equal value apart.
        select
            .sql(format!(" AND {column} {beyond}= "))
            .bind(value.clone())
            .sql(format!(" AND ({column} {beyond} "))
            .bind(value.clone())
            .sql(format!(" OR {id} {beyond} "))
            .bind(SqlValue::Text(last.clone()))
            .sql(")")
    }

    /// In order, and one more row than the page holds.
    fn limit<S>(&self, select: Select<S>, sort: &str, id: &str) -> Select<S> {
        let direction = if self.query.descending { "DESC" } else { "ASC" };
        let select = select.sql(format!(" ORDER BY {sort} {direction}, {id} {direction} LIMIT "));
        // PostgreSQL plans once for all only where it knows how few rows are wanted.
        match self.query.limit {
            LIMIT_DEFAULT => select.sql(format!("{}", LIMIT_DEFAULT + 1)),
            limit => select.bind(SqlValue::Integer(limit + 1)),
        }
    }
}

/// How many releases there are, well enough: the highest number is found at the end of an index.
fn releases(connection: &mut AnyConnection) -> Result<usize, Error> {
    let select = Select::new(columns::<Nullable<BigInt>>("MAX(number) FROM releases"));
    let all: Option<i64> = on_either!(connection, own => select.get_result(own))?;
    Ok(usize::try_from(all.unwrap_or(0)).unwrap_or(usize::MAX))
}

/// So many releases are sooner walked to, a page of them, among all than found by reading them.
fn worth_a_walk(connection: &mut AnyConnection) -> Result<usize, Error> {
    let squared = releases(connection)?.saturating_mul(ROWS_OF_A_PAGE);
    let root = squared.isqrt();
    Ok(root + usize::from(root * root < squared))
}

/// Conditions of which it is known whether many rows meet them. Only the way to the rows follows from it, never what is
/// found.
struct Wide(u64);

/// That, and since when.
static WIDE: LazyLock<Mutex<HashMap<u64, (Instant, bool)>>> = LazyLock::new(Mutex::default);

impl Wide {
    fn of(spec: &ListSpec, by: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (spec.name, by).hash(&mut hasher);
        Self(hasher.finish())
    }

    fn recall(&self) -> Option<bool> {
        let known = WIDE.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, many) = known.get(&self.0)?;
        (since.elapsed() < Duration::from_secs(WIDE_SECONDS_MAX)).then_some(*many)
    }

    fn remember(&self, many: bool) {
        let mut known = WIDE.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= WIDE_CONDITIONS_MAX {
            known.clear();
        }
        known.insert(self.0, (Instant::now(), many));
    }
}
