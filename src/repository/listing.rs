//! Lists: one filter table per list gives the parser, the SQL and the document.
//!
//! A list is keyset-paged: rows are ordered by one sort column and the identifier, and a page starts
//! behind the last row of the page before, so a row that is there throughout is seen exactly once.
//! [`super::pages`] finds the way to the rows.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::expression::TypedExpressionType;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Text, Timestamp as SqlTimestamp};
use diesel::sqlite::Sqlite;
use diesel::{Expression, PgConnection, QueryResult, RunQueryDsl, SqliteConnection};

use super::connection::{AnyConnection, MultiBackend};
use super::error::Error;
use crate::domain::policy::Visibility;
use crate::domain::values::Timestamp;
use crate::mutants::mutant;

/// A value to compare a column with.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// Text.
    Text(String),
    /// Integer.
    Integer(i64),
    /// Boolean.
    Boolean(bool),
    /// Instant.
    Instant(Timestamp),
}

/// What a filter's values look like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A UUID; several may be given.
    Id,
    /// Text of at most so many characters; several may be given.
    Text {
        /// Longest value.
        max_length: usize,
    },
    /// One of these words; several may be given.
    OneOf(&'static [&'static str]),
    /// An integer between the bounds; several may be given.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// An RFC 3339 date-time.
    Instant,
    /// `name:value` of an attribute; several may be given. See [`ATTRIBUTE_NAME_MAX`].
    Attribute,
    /// The beginning of a text, at most so many characters.
    Prefix {
        /// Longest value.
        max_length: usize,
    },
}

/// How a filter becomes SQL.
#[derive(Debug, Clone, Copy)]
pub enum Sql {
    /// The column equals one of the values.
    Column(&'static str),
    /// The column is at or after the value.
    From(&'static str),
    /// The expression, which stands at the end of time where there is no value, is at or after the value.
    FromSet(&'static str),
    /// The column is before the value.
    Before(&'static str),
    /// A sub-select around the list of values, given as what comes before and after it.
    Exists(&'static str, &'static str),
    /// A release has a row in the table of links, whose column equals one of the values.
    Linked {
        /// The table, with a column `release_id`.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// Of each name that is given, a row of the table of attributes holds one of the values given with it.
    Attributes {
        /// The table, with columns `name` and `value`.
        table: &'static str,
        /// Its column that says what has the attribute.
        owner: &'static str,
        /// The identifier in the list.
        id: &'static str,
    },
    /// The column is a JSON list that holds one of the values.
    InList(&'static str),
    /// One condition for `true`, another for `false`; `?` in them stands for the present.
    Flag {
        /// The condition for `true`.
        yes: &'static str,
        /// The condition for `false`.
        no: &'static str,
    },
    /// One condition for `true`, another for `false`; `?` in them stands for the list of whom the caller speaks for,
    /// which the use case puts behind the value.
    OfCaller {
        /// Where those that meet the condition for `true` are among: up to the list of whom the caller speaks for.
        among: &'static str,
        /// The condition for `true`.
        yes: &'static str,
        /// The condition for `false`.
        no: &'static str,
    },
    /// One of these folded columns starts with the value, or the number column equals it as a key `REL-n`.
    Search {
        /// Columns that may start with the value, ASCII-folded.
        prefixes: &'static [&'static str],
        /// The column that a key's number is compared with.
        number: Option<&'static str>,
    },
}

/// One filter of a list.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Name of the query parameter.
    pub name: &'static str,
    /// What its values look like.
    pub kind: Kind,
    /// How it becomes SQL.
    pub sql: Sql,
    /// What it does, for the document.
    pub doc: &'static str,
}

/// What a sort column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKind {
    /// Text.
    Text,
    /// An integer.
    Integer,
    /// An instant.
    Instant,
}

/// One sort key of a list.
#[derive(Debug, Clone, Copy)]
pub struct Sort {
    /// Name, as given to `sort`.
    pub name: &'static str,
    /// The column or expression, never null; there is an index on it and the identifier.
    pub column: &'static str,
    /// What it holds.
    pub kind: SortKind,
}

/// A list: its table, filters and sort keys.
#[derive(Debug)]
pub struct ListSpec {
    /// Name of the list; a cursor is bound to it.
    pub name: &'static str,
    /// The `FROM` clause.
    pub from: &'static str,
    /// The identifier, qualified.
    pub id: &'static str,
    /// The filters.
    pub filters: &'static [Filter],
    /// The sort keys.
    pub sorts: &'static [Sort],
    /// The sort when none is given, as written in the parameter.
    pub default_sort: &'static str,
}

/// One given filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Position in the list's filters.
    pub filter: usize,
    /// The values, at least one.
    pub values: Vec<SqlValue>,
}

/// A parsed request for a page.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// The filters given.
    pub conditions: Vec<Condition>,
    /// Position in the list's sort keys.
    pub sort: usize,
    /// Descending.
    pub descending: bool,
    /// The sort value and identifier of the last row before the page.
    pub after: Option<(SqlValue, String)>,
    /// Number of rows, 1..=200.
    pub limit: i64,
    /// Count all rows too.
    pub count: bool,
    /// The path of the list; a cursor is bound to it.
    pub path: String,
}

/// An attribute with a longer name is not found by it; in characters.
pub const ATTRIBUTE_NAME_MAX: usize = 100;
/// An attribute with a longer value is not found by it; in characters.
pub const ATTRIBUTE_VALUE_MAX: usize = 200;

/// The values of attributes that are asked for, by name.
pub(super) fn by_attribute(values: &[SqlValue]) -> BTreeMap<&str, Vec<SqlValue>> {
    let mut by_name: BTreeMap<&str, Vec<SqlValue>> = BTreeMap::new();
    for value in values {
        if let SqlValue::Text(text) = value
            && let Some((name, value)) = text.split_once(':')
        {
            by_name.entry(name).or_default().push(SqlValue::Text(value.to_owned()));
        }
    }
    by_name
}

/// Where a sort column has no value it stands at the end of time.
pub const END_OF_TIME: &str = "9999-12-31 00:00:00";
/// Number of rows of a page, where none is asked for.
pub const LIMIT_DEFAULT: i64 = 50;
/// Rows are counted no further than this.
pub const COUNT_MAX: i64 = 100_000;

/// How many rows there are in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The count.
    pub count: i64,
    /// False where counting stopped at [`COUNT_MAX`].
    pub exact: bool,
}

/// A page of rows.
#[derive(Debug)]
pub struct Rows<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// True where more follow.
    pub more: bool,
    /// How many there are in all, where that was asked.
    pub total: Option<Total>,
}

/// Columns as SQL text, of a known type. Diesel's own such expression keeps every statement that it is in from being
/// prepared once.
pub struct Columns<ST>(&'static str, PhantomData<ST>);

/// Columns as SQL text, of the type given.
pub const fn columns<ST>(text: &'static str) -> Columns<ST> {
    Columns(text, PhantomData)
}

impl<ST: TypedExpressionType> Expression for Columns<ST> {
    type SqlType = ST;
}

impl<ST, DB: Backend> QueryFragment<DB> for Columns<ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

enum Part {
    Sql(String),
    Bind(SqlValue),
}

/// A SELECT put together from text and bound values; the text never holds a caller's value.
pub struct Select<S> {
    selection: S,
    parts: Vec<Part>,
    pub(super) cacheable: bool,
}

impl<S> Select<S> {
    /// `SELECT selection …`, to be continued with [`Select::sql`] and [`Select::bind`].
    pub const fn new(selection: S) -> Self {
        Self { selection, parts: Vec::new(), cacheable: true }
    }

    /// Goes on with SQL text.
    #[must_use]
    pub fn sql(mut self, text: impl Into<String>) -> Self {
        self.push(text);
        self
    }

    /// Goes on with a bound value.
    #[must_use]
    pub fn bind(mut self, value: SqlValue) -> Self {
        self.parts.push(Part::Bind(value));
        self
    }

    /// Keeps the statement out of the cache, for text that takes many shapes.
    #[must_use]
    pub const fn uncached(mut self) -> Self {
        self.cacheable = false;
        self
    }

    /// Goes on with ` column IN (…)`, as one bound value whatever the number of identifiers, so that the statement
    /// has few shapes. One alone is compared with directly: PostgreSQL then plans the statement once for all.
    #[must_use]
    pub fn is_among(self, connection: &AnyConnection, column: &str, ids: &[String]) -> Self {
        if let [id] = ids {
            return self.sql(format!(" {column} = ")).bind(SqlValue::Text(id.clone()));
        }
        match connection {
            AnyConnection::Sqlite(_) => self
                .sql(format!(" {column} IN (SELECT value FROM json_each("))
                .bind(SqlValue::Text(json_list(ids)))
                .sql("))"),
            // In a select of its own the list is made once, and not for every row.
            AnyConnection::Postgres(_) => self
                .sql(format!(" {column} = ANY ((SELECT string_to_array("))
                .bind(SqlValue::Text(ids.join(",")))
                .sql(", ','))::text[])"),
        }
    }

    pub(super) fn push(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.parts.last_mut() {
            Some(Part::Sql(last)) => last.push_str(&text),
            _ => self.parts.push(Part::Sql(text)),
        }
    }

    pub(super) fn push_list(&mut self, values: &[SqlValue]) {
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.parts.push(Part::Bind(value.clone()));
        }
    }

    /// Adds ` AND …`, so that only releases visible to the caller are found.
    pub fn visible(&mut self, visibility: &Visibility, release_id: &str) {
        self.visible_by(visibility, release_id, "");
    }

    /// The same, looked up for each row that is come by: PostgreSQL makes no join of it.
    pub(super) fn visible_row_by_row(&mut self, visibility: &Visibility, release_id: &str) {
        self.visible_by(visibility, release_id, " OFFSET 0");
    }

    fn visible_by(&mut self, visibility: &Visibility, release_id: &str, how: &str) {
        let Visibility::Of(principals) = visibility else {
            return;
        };
        if mutant("visibility_dropped") {
            return;
        }
        self.push(format!(
            " AND EXISTS (SELECT 1 FROM release_visibility v WHERE v.release_id = {release_id} AND v.principal IN ("
        ));
        let principals: Vec<_> = principals.iter().map(|p| SqlValue::Text(p.to_string())).collect();
        self.push_list(&principals);
        self.push(format!("){how})"));
    }

    /// `column` starts with this.
    pub(super) fn prefix(&mut self, column: &str, given: &str) {
        // `lower` folds A to Z alone on both databases; columns that are folded in Rust know all letters.
        let folded = if column.starts_with("lower(") { given.to_ascii_lowercase() } else { given.to_lowercase() };
        self.push(format!("{column} >= "));
        self.parts.push(Part::Bind(SqlValue::Text(folded.clone())));
        self.push(format!(" AND {column} < "));
        self.parts.push(Part::Bind(SqlValue::Text(format!("{folded}\u{10FFFF}"))));
    }

    pub(super) fn condition(&mut self, filter: &Filter, values: &[SqlValue], now: Timestamp) {
        self.push(" AND ");
        match filter.sql {
            Sql::Column(column) => {
                self.push(format!("{column} IN ("));
                self.push_list(values);
                self.push(")");
            }
            Sql::From(column) => {
                self.push(format!("{column} >= "));
                self.push_list(&values[..1]);
            }
            Sql::FromSet(expression) => {
                self.push(format!("{expression} >= "));
                self.push_list(&values[..1]);
                self.push(format!(" AND {expression} < '{END_OF_TIME}'"));
            }
            Sql::Before(column) => {
                self.push(format!("{column} < "));
                self.push_list(&values[..1]);
            }
            Sql::Linked { table, column } => {
                self.push(format!(
                    "EXISTS (SELECT 1 FROM {table} l WHERE l.release_id = releases.id AND l.{column} IN ("
                ));
                self.push_list(values);
                self.push("))");
            }
            Sql::Exists(before, after) => {
                self.push(before);
                self.push_list(values);
                self.push(after);
            }
            Sql::Attributes { table, owner, id } => {
                for (index, (name, values)) in by_attribute(values).into_iter().enumerate() {
                    self.push(if index > 0 { " AND " } else { "" });
                    self.push(format!("EXISTS (SELECT 1 FROM {table} a WHERE a.{owner} = {id} AND a.name = "));
                    self.parts.push(Part::Bind(SqlValue::Text(name.to_owned())));
                    self.push(" AND a.value IN (");
                    self.push_list(&values);
                    self.push("))");
                }
            }
            Sql::InList(column) => {
                self.push("(");
                for (index, value) in values.iter().enumerate() {
                    let SqlValue::Text(text) = value else {
                        continue;
                    };
                    self.push(format!("{}{column} LIKE ", if index > 0 { " OR " } else { "" }));
                    self.parts.push(Part::Bind(SqlValue::Text(format!("%\"{text}\"%"))));
                }
                self.push(")");
            }
            Sql::Flag { yes, no } => {
                let condition = if values.first() == Some(&SqlValue::Boolean(true)) { yes } else { no };
                for (index, text) in condition.split('?').enumerate() {
                    if index > 0 {
                        self.parts.push(Part::Bind(SqlValue::Instant(now)));
                    }
                    self.push(text);
                }
            }
            Sql::OfCaller { yes, no, .. } => {
                let condition = if values.first() == Some(&SqlValue::Boolean(true)) { yes } else { no };
                for (index, text) in condition.split('?').enumerate() {
                    if index > 0 {
                        self.push_list(values.get(1..).unwrap_or_default());
                    }
                    self.push(text);
                }
            }
            Sql::Search { prefixes, number } => {
                let SqlValue::Text(given) = &values[0] else {
                    return;
                };
                self.push("(");
                for (index, column) in prefixes.iter().enumerate() {
                    if index > 0 {
                        self.push(" OR ");
                    }
                    self.push("(");
                    self.prefix(column, given);
                    self.push(")");
                }
                if let (Some(column), Some(key)) = (number, number_in(given)) {
                    self.push(format!(" OR {column} = "));
                    self.parts.push(Part::Bind(SqlValue::Integer(key)));
                }
                self.push(")");
            }
        }
    }
}

/// The number in a key `REL-n`.
pub(super) fn number_in(key: &str) -> Option<i64> {
    key.to_ascii_lowercase().strip_prefix("rel-").and_then(|digits| digits.parse().ok())
}

/// Identifiers as an array of JSON.
fn json_list(ids: &[String]) -> String {
    if ids.is_empty() { "[]".into() } else { format!("[\"{}\"]", ids.join("\",\"")) }
}

/// Identifiers that several parts of a statement ask about. For SQLite many of them stand once in front of the statement,
/// and each part starts from them: as the values of an `IN` of its own, every part would read and sort them again.
pub struct Ids<'i> {
    texts: &'i [String],
    in_front: bool,
}

impl<'i> Ids<'i> {
    /// Begins a statement about the identifiers, up to its first column; [`Ids::end`] ends it.
    pub fn begin<ST>(connection: &AnyConnection, texts: &'i [String]) -> (Self, Select<Columns<ST>>) {
        let in_front = matches!(connection, AnyConnection::Sqlite(_)) && texts.len() > 1;
        let select = if in_front {
            let list = "* FROM (WITH ids(id) AS MATERIALIZED (SELECT value FROM json_each(";
            Select::new(columns(list)).bind(SqlValue::Text(json_list(texts))).sql(")) SELECT ")
        } else {
            Select::new(columns(""))
        };
        (Self { texts, in_front }, select)
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.texts.len()
    }

    /// Goes on with ` FROM tables WHERE column …`: the rows of the identifiers.
    pub fn from<S>(&self, select: Select<S>, connection: &AnyConnection, tables: &str, column: &str) -> Select<S> {
        if self.in_front {
            return select.sql(format!(" FROM ids CROSS JOIN {tables} WHERE {column} = ids.id"));
        }
        select.sql(format!(" FROM {tables} WHERE")).is_among(connection, column, self.texts)
    }

    /// Ends the statement.
    pub fn end<S>(&self, select: Select<S>) -> Select<S> {
        if self.in_front { select.sql(")") } else { select }
    }
}

macro_rules! walked_for {
    ($($database:ty),*) => {$(
        impl<S: QueryFragment<$database>> QueryFragment<$database> for Select<S> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $database>) -> QueryResult<()> {
                if !self.cacheable {
                    out.unsafe_to_cache_prepared();
                }
                out.push_sql("SELECT ");
                self.selection.walk_ast(out.reborrow())?;
                for part in &self.parts {
                    match part {
                        Part::Sql(text) => out.push_sql(text),
                        Part::Bind(SqlValue::Text(value)) => out.push_bind_param::<Text, _>(value)?,
                        Part::Bind(SqlValue::Integer(value)) => out.push_bind_param::<BigInt, _>(value)?,
                        Part::Bind(SqlValue::Boolean(value)) => out.push_bind_param::<Bool, _>(value)?,
                        Part::Bind(SqlValue::Instant(value)) => out.push_bind_param::<SqlTimestamp, _>(value)?,
                    }
                }
                Ok(())
            }
        }
    )*};
}

walked_for!(MultiBackend, Sqlite, Pg);

impl<S> QueryId for Select<S> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<S: Expression> Query for Select<S> {
    type SqlType = S::SqlType;
}

impl<S> RunQueryDsl<AnyConnection> for Select<S> {}
impl<S> RunQueryDsl<SqliteConnection> for Select<S> {}
impl<S> RunQueryDsl<PgConnection> for Select<S> {}

/// Counts the rows that `rest` (`FROM … WHERE …`) finds.
pub fn count(connection: &mut AnyConnection, rest: &str, value: SqlValue, tail: &str) -> Result<i64, Error> {
    let select = Select::new(columns::<BigInt>("COUNT(*)")).sql(format!(" {rest}")).bind(value).sql(tail);
    Ok(select.get_result(connection)?)
}
