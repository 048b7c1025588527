//! The rows of an upload, one after the other: NDJSON, or CSV with a header (RFC 4180).
//!
//! A row that cannot be read is a row all the same, with what is wrong with it. Where not even its end can be found,
//! the upload cannot be read on.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Error as IoError, Read};
use std::rc::Rc;

use csv::{ByteRecord, Reader as CsvReader, ReaderBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use validator::Validate;

use crate::domain::values::*;
use crate::repository::contents::not_blank;
use crate::repository::nouns::ConfigurationItem;
use crate::store::{Error as StoreError, Store};

/// A line of NDJSON, and a row of CSV, has at most so many bytes.
pub const ROW_BYTES_MAX: usize = 256 * 1024;
/// An upload is read in parts of this size.
const PART_BYTES: u64 = 1024 * 1024;
/// The keys that a row names are told up to so many characters.
const KEY_LENGTH_MAX: usize = 500;

/// A relationship as a row says it: both items by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ImportedRelationship {
    /// The CMDB that owns the item that it starts from.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    pub source: String,
    /// The key of that item.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub external_id: String,
    /// What the item is to its target.
    pub kind: RelationshipKind,
    /// The CMDB that owns the target.
    #[schema(min_length = 1, max_length = 50)]
    #[validate(custom(function = not_blank))]
    pub target_source: String,
    /// The key of the target.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub target_external_id: String,
}

/// How rows are read and judged by the published schemas.
#[derive(Debug, Clone, Copy)]
pub struct Forms {
    /// Reads JSON.
    pub json: fn(&[u8]) -> Result<Value, Vec<Fault>>,
    /// Checks and types an item.
    pub item: fn(Value) -> Draft<ConfigurationItem>,
    /// Checks and types a relationship.
    pub relationship: fn(Value) -> Draft<ImportedRelationship>,
}

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An item as its CMDB has it.
    Item(Box<ConfigurationItem>),
    /// A relationship.
    Relationship(ImportedRelationship),
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The line on which it begins, from 1.
    pub line: i64,
    /// What it is a row of, where it says so.
    pub kind: Option<ImportedKind>,
    /// The keys that it names, for people.
    pub key: Option<String>,
    /// What it says, or what is wrong with it.
    pub content: Draft<Content>,
}

/// A place between two rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Bytes before it.
    pub bytes: u64,
    /// Lines before it.
    pub lines: i64,
}

/// An upload cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// For what it is.
    #[error("{0}")]
    Upload(String),
    /// For the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IoError> for Unreadable {
    fn from(error: IoError) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>()) {
            Some(store) => Self::Store(store.clone()),
            None => Self::Upload(error.to_string()),
        }
    }
}

impl From<csv::Error> for Unreadable {
    fn from(error: csv::Error) -> Self {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => error.into(),
            other => Self::Upload(format!("the upload is no CSV: {other:?}")),
        }
    }
}

/// An object of the store, read part by part.
pub struct Upload {
    store: Store,
    key: String,
    size: u64,
    at: u64,
    part: bytes::Bytes,
}

impl Upload {
    /// From a place in an object of this size.
    pub const fn new(store: Store, key: String, size: u64, at: u64) -> Self {
        Self { store, key, size, at, part: bytes::Bytes::new() }
    }
}

impl Read for Upload {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.part.is_empty() && self.at < self.size {
            let end = self.size.min(self.at + PART_BYTES);
            self.part = self.store.part_blocking(&self.key, self.at..end).map_err(IoError::other)?;
            self.at = end;
        }
        let count = into.len().min(self.part.len());
        into[..count].copy_from_slice(&self.part.split_to(count));
        Ok(count)
    }
}

/// The rows of an upload behind a place.
pub struct Rows {
    forms: Forms,
    /// Where the next row begins.
    pub mark: Mark,
    lines: Lines,
    /// The line of the row before: a row of CSV that ends in a lone CR is given the next number.
    last: i64,
}

enum Lines {
    Ndjson(BufReader<Box<dyn Read>>),
    Csv { reader: CsvReader<Bounded>, bounds: Rc<Bounds>, header: Vec<Column>, base: Mark },
}

impl Rows {
    /// Opens an upload at a place; `open` opens it at a number of bytes.
    pub fn open(
        format: ImportFormat,
        forms: Forms,
        mark: Mark,
        open: impl Fn(u64) -> Box<dyn Read>,
    ) -> Result<Self, Unreadable> {
        if format == ImportFormat::Ndjson {
            let lines = Lines::Ndjson(BufReader::new(open(mark.bytes)));
            return Ok(Self { forms, mark, lines, last: mark.lines });
        }
        let (mut reader, bounds) = csv_reader(open(0), Rc::default());
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record)? {
            return Err(Unreadable::Upload("the upload has no header".into()));
        }
        let header = header_of(&record)?;
        if mark.bytes > 0 {
            let (reader, bounds) = csv_reader(open(mark.bytes), bounds);
            let lines = Lines::Csv { reader, bounds, header, base: mark };
            return Ok(Self { forms, mark, lines, last: mark.lines });
        }
        let base = Mark::default();
        let mut rows = Self { forms, mark, lines: Lines::Csv { reader, bounds, header, base }, last: 0 };
        rows.note_position();
        Ok(rows)
    }

    fn note_position(&mut self) {
        if let Lines::Csv { reader, base, .. } = &self.lines {
            let position = reader.position();
            let lines = i64::try_from(position.line().saturating_sub(1)).unwrap_or(i64::MAX);
            self.mark = Mark { bytes: base.bytes + position.byte(), lines: base.lines + lines };
        }
    }

    /// The next row; none where there are no more. Empty lines are no rows.
    pub fn read_next(&mut self) -> Result<Option<Row>, Unreadable> {
        let last = self.last;
        match &mut self.lines {
            Lines::Ndjson(reader) => loop {
                let mut line = Vec::new();
                let read = reader.by_ref().take(ROW_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
                if read == 0 {
                    return Ok(None);
                }
                let (first, number) = (self.mark.bytes == 0, self.mark.lines + 1);
                self.mark = Mark { bytes: self.mark.bytes + read as u64, lines: number };
                if read > ROW_BYTES_MAX && line.last() != Some(&b'\n') {
                    self.mark.bytes += skip_line(reader)?;
                    let detail = format!("A row has at most {ROW_BYTES_MAX} bytes.");
                    let content = Err(vec![Fault::at("", "TOO_LONG", detail)]);
                    return Ok(Some(Row { line: number, kind: None, key: None, content }));
                }
                let text = if first { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line) } else { &line };
                if !text.iter().all(u8::is_ascii_whitespace) {
                    let value = (self.forms.json)(text).and_then(|value| match value {
                        Value::Object(fields) => Ok(fields),
                        _ => Err(vec![Fault::at("", "WRONG_TYPE", "A row is a JSON object.")]),
                    });
                    return Ok(Some(judged(self.forms, number, None, value)));
                }
            },
            Lines::Csv { reader, bounds, header, base } => {
                // What the reader holds already is no part of a longer row than this.
                bounds.allowance.set(ROW_BYTES_MAX);
                let mut record = ByteRecord::new();
                if !reader.read_byte_record(&mut record)? {
                    return Ok(None);
                }
                let within = record.position().map_or(1, csv::Position::line);
                // Of CR LF the reader leaves the second for the next row.
                let behind = i64::from(bounds.is_crlf.get() == Some(true));
                let line = base.lines + behind + i64::try_from(within).unwrap_or(i64::MAX);
                let relates = header.iter().any(|column| *column == Column::Field("target_external_id".into()));
                let kind = if relates { ImportedKind::Relationship } else { ImportedKind::ConfigurationItem };
                let told = line.max(last + 1);
                let mut fields = fields_of(header, &record);
                if bounds.ended.get() && bounds.quotes.get() % 2 == 1 {
                    let detail = "The upload ends within quotes, or a quote in it has no partner.";
                    fields = Err(vec![Fault::at("", "INVALID_CSV", detail)]);
                }
                let row = judged(self.forms, told, Some(kind), fields);
                self.note_position();
                self.mark.lines = if told > line { self.mark.lines.max(told) } else { self.mark.lines };
                self.last = told;
                Ok(Some(row))
            }
        }
    }
}

/// Reads on to the end of a line; answers how many bytes that were.
fn skip_line(reader: &mut BufReader<Box<dyn Read>>) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(skipped);
        }
        let end = part.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(part.len(), |end| end + 1);
        reader.consume(count);
        skipped += count as u64;
        if end.is_some() {
            return Ok(skipped);
        }
    }
}

/// What is known of a source, beside who reads it.
#[derive(Default)]
struct Bounds {
    /// So many bytes more may be read.
    allowance: Cell<usize>,
    /// How many quotes came.
    quotes: Cell<usize>,
    /// Whether the source was read to its end.
    ended: Cell<bool>,
    /// Whether lines end with CR LF, once one has ended.
    is_crlf: Cell<Option<bool>>,
}

/// A source that gives no more than it is allowed to.
struct Bounded {
    source: Box<dyn Read>,
    bounds: Rc<Bounds>,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let allowance = self.bounds.allowance.get();
        let allowed = into.len().min(allowance);
        if allowed == 0 && !into.is_empty() {
            let detail = format!("a row of the upload has more than {ROW_BYTES_MAX} bytes, or its quotes do not end");
            return Err(IoError::other(detail));
        }
        let count = self.source.read(&mut into[..allowed])?;
        self.bounds.allowance.set(allowance - count);
        self.bounds.ended.set(count == 0 && allowed > 0);
        let quotes = into[..count].iter().filter(|byte| **byte == b'"').count();
        self.bounds.quotes.set(self.bounds.quotes.get() + quotes);
        if self.bounds.is_crlf.get().is_none()
            && let Some(end) = into[..count].iter().position(|byte| *byte == b'\n')
        {
            self.bounds.is_crlf.set(Some(into[..end].last() == Some(&b'\r')));
        }
        Ok(count)
    }
}

fn csv_reader(source: Box<dyn Read>, bounds: Rc<Bounds>) -> (CsvReader<Bounded>, Rc<Bounds>) {
    bounds.allowance.set(ROW_BYTES_MAX);
    bounds.quotes.set(0);
    let bounded = Bounded { source, bounds: Rc::clone(&bounds) };
    (ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bounded), bounds)
}

/// A column of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Field(String),
    Attribute(String),
}

/// The columns that are there, besides those of attributes.
const COLUMNS: [&str; 15] = [
    "type",
    "source",
    "external_id",
    "name",
    "class",
    "environment",
    "status",
    "version",
    "serial",
    "location",
    "owner_group_id",
    "source_revision",
    "kind",
    "target_source",
    "target_external_id",
];

fn header_of(record: &ByteRecord) -> Result<Vec<Column>, Unreadable> {
    let mut header = Vec::new();
    for cell in record {
        let name = String::from_utf8_lossy(cell);
        let column = match name.strip_prefix("attributes.") {
            Some(attribute) if !attribute.is_empty() => Column::Attribute(attribute.to_owned()),
            _ if COLUMNS.contains(&&*name) => Column::Field(name.to_string()),
            _ => {
                let name: String = name.chars().take(100).collect();
                return Err(Unreadable::Upload(format!("the header names the column `{name}`, which there is not")));
            }
        };
        if header.contains(&column) {
            return Err(Unreadable::Upload(format!("the header names the column `{name}` more than once")));
        }
        header.push(column);
    }
    Ok(header)
}

/// The cells of a row as the fields of JSON; an empty cell is an absent value.
fn fields_of(header: &[Column], record: &ByteRecord) -> Result<Map<String, Value>, Vec<Fault>> {
    let (mut fields, mut attributes, mut faults) = (Map::new(), Map::new(), Vec::new());
    if record.len() != header.len() {
        let detail = format!("The row has {} cells, and the header has {}.", record.len(), header.len());
        faults.push(Fault::at("", "INVALID_CSV", detail));
    }
    for (column, cell) in header.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
        let name = match column {
            Column::Field(name) | Column::Attribute(name) => name,
        };
        let Ok(text) = std::str::from_utf8(cell) else {
            faults.push(Fault::at(format!("/{name}"), "INVALID_CHARACTER", "The cell is not UTF-8."));
            continue;
        };
        match column {
            Column::Field(name) if name == "source_revision" => {
                let number = text.trim().parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
                fields.insert(name.clone(), number);
            }
            Column::Field(name) => {
                fields.insert(name.clone(), text.into());
            }
            Column::Attribute(name) => {
                attributes.insert(name.clone(), text.into());
            }
        }
    }
    if !attributes.is_empty() {
        fields.insert("attributes".into(), attributes.into());
    }
    if faults.is_empty() { Ok(fields) } else { Err(faults) }
}

/// A row, out of its fields. Where they do not say what it is, it is what `otherwise` says.
fn judged(
    forms: Forms,
    line: i64,
    otherwise: Option<ImportedKind>,
    fields: Result<Map<String, Value>, Vec<Fault>>,
) -> Row {
    let mut fields = match fields {
        Ok(fields) => fields,
        Err(faults) => return Row { line, kind: otherwise, key: None, content: Err(faults) },
    };
    let given = fields.shift_remove("type");
    let said = match &given {
        None => otherwise.ok_or_else(|| Fault::at("/type", "REQUIRED", "A value is needed.")),
        Some(Value::String(text)) => text.parse::<ImportedKind>().map_err(|_| {
            let detail = format!("This is one of {}.", ImportedKind::NAMES.join(", "));
            Fault::at("/type", "NOT_ALLOWED", detail)
        }),
        Some(_) => Err(Fault::at("/type", "WRONG_TYPE", "This is text.")),
    };
    let key = key_of(&fields);
    let content = match &said {
        Err(fault) => Err(vec![fault.clone()]),
        Ok(ImportedKind::ConfigurationItem) => (forms.item)(fields.into()).map(|item| Content::Item(Box::new(item))),
        Ok(ImportedKind::Relationship) => (forms.relationship)(fields.into()).map(Content::Relationship),
    };
    Row { line, kind: said.ok(), key, content }
}

/// The keys that the fields name, for people: `cmdb/srv-1`, or `cmdb/app-1 runs_on cmdb/srv-1`.
fn key_of(fields: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let mut key = format!("{}/{}", text("source")?, text("external_id")?);
    if let (Some(source), Some(external_id)) = (text("target_source"), text("target_external_id")) {
        key.push_str(&format!(" {} {source}/{external_id}", text("kind").unwrap_or("?")));
    }
    Some(key.chars().filter(|c| *c != '\0').take(KEY_LENGTH_MAX).collect())
}
