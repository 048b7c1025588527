//! Query parameters, pages and cursors.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Call;
use crate::domain::values::{Fault, Timestamp};
use crate::repository::audit::digest;
pub use crate::repository::listing::LIMIT_DEFAULT;
use crate::repository::listing::{
    ATTRIBUTE_NAME_MAX, ATTRIBUTE_VALUE_MAX, Condition, Filter, Kind, ListQuery, ListSpec, Rows, SortKind, SqlValue,
    Total,
};
use crate::service::{self, Reply};

/// A page has at most so many items.
pub const LIMIT_MAX: i64 = 200;
/// A filter takes at most so many values.
pub const FILTER_VALUES_MAX: usize = 50;
const COMMON: [&str; 4] = ["limit", "cursor", "sort", "count"];

/// Where a page stands in its list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PageInfo {
    /// Opens the next page; null on the last.
    pub next_cursor: Option<String>,
    /// At most so many items were asked for.
    pub limit: i64,
    /// How many items there are in all, where `count=exact` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// `eq`, or `gte` where counting stopped at 100 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_relation: Option<&'static str>,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// Where the page stands.
    pub page: PageInfo,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    /// Digest of list, filters and sort.
    b: String,
    /// Sort value of the last row.
    v: Value,
    /// Identifier of the last row.
    i: String,
}

/// Splits and decodes a query string.
pub fn parse_query(query: &str) -> Result<Vec<(String, String)>, Fault> {
    let bad = |detail: &str| Fault::parameter("", "INVALID_PARAMETER", detail);
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                percent_decode(&text.replace('+', " ")).ok_or_else(|| bad("The query is not percent-encoded UTF-8."))
            };
            let (name, value) = (decode(name)?, decode(value)?);
            if name.contains('\0') || value.contains('\0') {
                return Err(Fault::parameter(
                    name.replace('\0', ""),
                    "INVALID_CHARACTER",
                    "The parameter holds the character NUL.",
                ));
            }
            Ok((name, value))
        })
        .collect()
}

/// Decodes percent-encoded UTF-8.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let [high, low, tail @ ..] = tail else {
                return None;
            };
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Encodes a query string.
pub fn encode_query<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let encode = |text: &str| {
        text.bytes().fold(String::new(), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~,:".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                use std::fmt::Write as _;
                let _ = write!(encoded, "%{byte:02X}");
            }
            encoded
        })
    };
    pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// The names of every parameter of a list.
pub fn parameter_names(spec: &'static ListSpec, fixed: &[&str]) -> Vec<&'static str> {
    let filters = spec.filters.iter().map(|filter| filter.name).filter(|name| !fixed.contains(name));
    COMMON.into_iter().chain(filters).collect()
}

/// A fault for every parameter that is unknown or there twice.
pub fn unknown_parameters(pairs: &[(String, String)], allowed: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, (name, _)) in pairs.iter().enumerate() {
        if !allowed.contains(&name.as_str()) {
            faults.push(Fault::parameter(name, "UNKNOWN_PARAMETER", "There is no such parameter."));
        } else if pairs[..index].iter().any(|(other, _)| other == name) {
            faults.push(Fault::parameter(name, "REPEATED_PARAMETER", "Give several values in one, with commas."));
        }
    }
    faults
}

/// Reads the parameters of a list, with every fault. `fixed` names the filters that the path has set.
pub fn list_query(
    spec: &'static ListSpec,
    path: &str,
    pairs: &[(String, String)],
    fixed: &[&str],
) -> Result<ListQuery, Vec<Fault>> {
    let mut faults = unknown_parameters(pairs, &parameter_names(spec, fixed));
    let value_of = |name: &str| pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let bad = |name: &str, detail: String| Fault::parameter(name, "INVALID_PARAMETER", detail);

    let limit = limit(value_of("limit"), &mut faults).unwrap_or(LIMIT_DEFAULT);
    let count = match value_of("count") {
        None => false,
        Some("exact") => true,
        Some(_) => {
            faults.push(bad("count", "This can only be `exact`.".into()));
            false
        }
    };
    let wanted = value_of("sort").unwrap_or(spec.default_sort);
    let (descending, name) = wanted.strip_prefix('-').map_or((false, wanted), |name| (true, name));
    let sort = spec.sorts.iter().position(|sort| sort.name == name).unwrap_or_else(|| {
        let names: Vec<_> = spec.sorts.iter().map(|sort| sort.name).collect();
        faults.push(bad("sort", format!("This is one of {}, with `-` for descending.", names.join(", "))));
        0
    });
    let mut conditions = Vec::new();
    for (index, filter) in spec.filters.iter().enumerate().filter(|(_, filter)| !fixed.contains(&filter.name)) {
        let Some(text) = value_of(filter.name) else {
            continue;
        };
        match filter_values(filter, text) {
            Ok(values) => conditions.push(Condition { filter: index, values }),
            Err(detail) => faults.push(bad(filter.name, detail)),
        }
    }
    let mut query = ListQuery { conditions, sort, descending, after: None, limit, count, path: path.to_owned() };
    if let Some(cursor) = value_of("cursor") {
        match read_cursor(spec, &query, cursor) {
            Some(after) => query.after = Some(after),
            None => faults.push(no_cursor()),
        }
    }
    if faults.is_empty() { Ok(query) } else { Err(faults) }
}

/// The limit that is asked for.
fn limit(given: Option<&str>, faults: &mut Vec<Fault>) -> Option<i64> {
    match given?.parse::<i64>() {
        Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Some(limit),
        _ => {
            let detail = format!("This is an integer from 1 to {LIMIT_MAX}.");
            faults.push(Fault::parameter("limit", "INVALID_PARAMETER", detail));
            None
        }
    }
}

fn no_cursor() -> Fault {
    let detail = "The cursor is damaged, or belongs to another list, filter or sort.";
    Fault::parameter("cursor", "INVALID_CURSOR", detail)
}

fn filter_values(filter: &Filter, text: &str) -> Result<Vec<SqlValue>, String> {
    let several = !matches!(filter.kind, Kind::Boolean | Kind::Instant | Kind::Prefix { .. });
    let values: Vec<&str> = if several { text.split(',').collect() } else { vec![text] };
    if values.len() > FILTER_VALUES_MAX {
        return Err(format!("At most {FILTER_VALUES_MAX} values are taken."));
    }
    values.into_iter().map(|value| filter_value(filter.kind, value)).collect()
}

fn filter_value(kind: Kind, text: &str) -> Result<SqlValue, String> {
    match kind {
        Kind::Id => match uuid::Uuid::try_parse(text) {
            Ok(id) if text.len() == 36 => Ok(SqlValue::Text(id.to_string())),
            _ => Err("This is a UUID; several are separated by commas.".into()),
        },
        Kind::Text { max_length } | Kind::Prefix { max_length } => {
            if (1..=max_length).contains(&text.chars().count()) {
                Ok(SqlValue::Text(text.to_owned()))
            } else {
                Err(format!("This has 1 to {max_length} characters."))
            }
        }
        Kind::Attribute => {
            let within = |text: &str, max: usize| (1..=max).contains(&text.chars().count());
            match text.split_once(':') {
                Some((name, value)) if within(name, ATTRIBUTE_NAME_MAX) && within(value, ATTRIBUTE_VALUE_MAX) => {
                    Ok(SqlValue::Text(text.to_owned()))
                }
                _ => Err(format!(
                    "This is `name:value`, with at most {ATTRIBUTE_NAME_MAX} and {ATTRIBUTE_VALUE_MAX} characters; \
                     several are separated by commas."
                )),
            }
        }
        Kind::OneOf(words) if words.contains(&text) => Ok(SqlValue::Text(text.to_owned())),
        Kind::OneOf(words) => Err(format!("This is one of {}; several are separated by commas.", words.join(", "))),
        Kind::Integer { min, max } => match text.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(SqlValue::Integer(number)),
            _ => Err(format!("This is an integer from {min} to {max}; several are separated by commas.")),
        },
        Kind::Boolean => match text {
            "true" => Ok(SqlValue::Boolean(true)),
            "false" => Ok(SqlValue::Boolean(false)),
            _ => Err("This is `true` or `false`.".into()),
        },
        Kind::Instant => text
            .parse()
            .map(SqlValue::Instant)
            .map_err(|_| "This is an RFC 3339 date-time, such as 2027-01-31T00:00:00Z.".into()),
    }
}

fn binding(query: &ListQuery) -> String {
    let shape = format!("{} {:?} {} {}", query.path, query.conditions, query.sort, query.descending);
    digest(&[&shape])[..16].to_owned()
}

fn write_cursor(query: &ListQuery, value: &SqlValue, id: &str) -> String {
    let value = match value {
        SqlValue::Text(text) => json!(text),
        SqlValue::Integer(number) => json!(number),
        SqlValue::Boolean(flag) => json!(flag),
        SqlValue::Instant(at) => json!(at),
    };
    encode_cursor(&Cursor { b: binding(query), v: value, i: id.to_owned() })
}

fn decode_cursor(cursor: &str, binding: &str) -> Option<Cursor> {
    if cursor.len() > 4096 {
        return None;
    }
    let cursor: Cursor = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    (cursor.b == binding && !cursor.i.contains('\0')).then_some(cursor)
}

fn encode_cursor(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn read_cursor(spec: &ListSpec, query: &ListQuery, cursor: &str) -> Option<(SqlValue, String)> {
    let cursor = decode_cursor(cursor, &binding(query))?;
    let value = match spec.sorts[query.sort].kind {
        SortKind::Text => SqlValue::Text(cursor.v.as_str().filter(|text| !text.contains('\0'))?.to_owned()),
        SortKind::Integer => SqlValue::Integer(cursor.v.as_i64()?),
        SortKind::Instant => SqlValue::Instant(cursor.v.as_str()?.parse::<Timestamp>().ok()?),
    };
    Some((value, cursor.i))
}

/// A page of a list: the rows as items, with the cursor behind the last of them.
pub fn page<R, T>(
    spec: &ListSpec,
    query: &ListQuery,
    rows: Rows<R>,
    item: impl Fn(R) -> T,
    position: impl Fn(&R, &str) -> (SqlValue, String),
) -> Page<T> {
    let Rows { rows, more, total } = rows;
    let next_cursor = rows.last().filter(|_| more).map(|last| {
        let (value, id) = position(last, spec.sorts[query.sort].name);
        write_cursor(query, &value, &id)
    });
    Page {
        data: rows.into_iter().map(item).collect::<Vec<_>>(),
        page: PageInfo {
            next_cursor,
            limit: query.limit,
            total: total.map(|total: Total| total.count),
            total_relation: total.map(|total| if total.exact { "eq" } else { "gte" }),
        },
    }
}

/// What is asked of a list that is short enough to be read whole.
#[derive(Debug, Clone)]
pub struct Part {
    limit: Option<i64>,
    /// The place of the last item of the page before.
    after: Option<String>,
    binding: String,
}

/// The parameters of a list that is read whole.
pub const PART: &[&str] = &["limit", "cursor"];

impl Part {
    /// Reads the parameters, with every fault.
    pub fn of(path: &str, pairs: &[(String, String)]) -> Result<Self, Vec<Fault>> {
        let mut faults = unknown_parameters(pairs, PART);
        let value_of = |name: &str| pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let limit = limit(value_of("limit"), &mut faults);
        let binding = digest(&[path])[..16].to_owned();
        let after = value_of("cursor").and_then(|cursor| {
            let read = decode_cursor(cursor, &binding).map(|cursor| cursor.i);
            if read.is_none() {
                faults.push(no_cursor());
            }
            read
        });
        if faults.is_empty() { Ok(Self { limit, after, binding }) } else { Err(faults) }
    }

    /// The part of the list that was asked for. `place` is what the items are in order by: rising, or falling.
    pub fn cut<T>(&self, mut whole: Page<T>, place: impl Fn(&T) -> String, falling: bool) -> Page<T> {
        if let Some(after) = &self.after {
            whole.data.retain(|item| if falling { place(item) < *after } else { place(item) > *after });
        }
        if let Some(limit) = self.limit {
            whole.page.limit = limit;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            if whole.data.len() > limit {
                whole.data.truncate(limit);
                whole.page.next_cursor = whole
                    .data
                    .last()
                    .map(|last| encode_cursor(&Cursor { b: self.binding.clone(), v: Value::Null, i: place(last) }));
            }
        }
        whole
    }
}

/// The page of a list that is read whole.
pub fn whole<R, T: From<R>>(rows: Vec<R>, limit: i64) -> Page<T> {
    let page = PageInfo { next_cursor: None, limit, total: None, total_relation: None };
    Page { data: rows.into_iter().map(T::from).collect(), page }
}

/// The answer of a list.
pub fn shown<T: Serialize>(call: &Call, page: &Page<T>) -> service::Result<Reply> {
    let mut reply = Reply::json(200, page)?;
    reply.next = page.page.next_cursor.as_deref().map(|cursor| call.next_link(cursor));
    Ok(reply)
}

/// The answer of a list, out of its rows.
pub fn reply<R, T: Serialize>(
    call: &Call,
    spec: &ListSpec,
    query: &ListQuery,
    rows: Rows<R>,
    item: impl Fn(R) -> T,
    position: impl Fn(&R, &str) -> (SqlValue, String),
) -> service::Result<Reply> {
    shown(call, &page(spec, query, rows, item, position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::releases::LIST;

    fn parse(query: &str) -> Result<ListQuery, Vec<Fault>> {
        list_query(&LIST, "/releases", &parse_query(query).map_err(|fault| vec![fault])?, &[])
    }

    #[test]
    fn every_fault_of_a_query_is_named_at_once() {
        let faults = parse("limit=0&colour=red&status=open,closd&sort=size&status=open&overdue=maybe").unwrap_err();
        let mut codes: Vec<_> = faults.iter().map(|fault| (fault.place.clone(), fault.code)).collect();
        codes.sort_by_key(|(place, _)| format!("{place:?}"));
        assert_eq!(faults.len(), 6, "{faults:?}");
    }

    #[test]
    fn a_cursor_opens_only_the_list_that_it_was_made_for() {
        let query = parse("status=open").unwrap();
        let at = SqlValue::Instant("2026-01-01T00:00:00Z".parse().unwrap());
        let cursor = write_cursor(&query, &at, "x");
        assert!(parse(&format!("status=open&cursor={cursor}")).is_ok());
        for other in ["status=closed", "status=open&sort=priority", "sort=created_at&status=open"] {
            assert!(parse(&format!("{other}&cursor={cursor}")).is_err(), "{other}");
        }
        assert!(parse("cursor=AAAA").is_err());
    }

    #[test]
    fn bad_encodings_are_refused() {
        for query in ["q=%00", "q=%FF", "q=%G0", "q=%2"] {
            assert!(parse(query).is_err(), "{query}");
        }
        assert_eq!(parse_query("a=b+c%20d").unwrap(), [("a".to_owned(), "b c d".to_owned())]);
    }
}
