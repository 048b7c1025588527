//! What a portion of rows does, in the transaction that it is stored in: a row counts on what the rows before it did,
//! and a bad one fails alone. The number of statements does not grow with the number of rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use super::configuration_items::state;
use super::import_imagined::Imagined;
use super::import_rows::{Content, ImportedRelationship, Row};
use super::keyed::{is_same, succeeding};
use super::relationships::{document, same_pairs, self_fault};
use super::{Result, WriteContext, catalogue};
use crate::domain::custom_fields::attributes_fault;
use crate::domain::policy::{Access, Permit};
use crate::domain::release::ChainHead;
use crate::domain::values::*;
use crate::repository::configuration_items;
use crate::repository::imports::{self, ImportRow, ResultRow};
use crate::repository::item_portion::{Change, Portion};
use crate::repository::nouns::{ConfigurationItem, Keyed as _, Noun, Record};
use crate::repository::relationships::{self as stored, Ends, RelationshipRow};

/// The key of an item: the CMDB that owns it, and its key there.
pub type Key = (String, String);

/// An item that the portion is about, as far as the rows have come.
struct Known {
    record: Record<ConfigurationItem>,
    /// How it was before the portion; none where it is new.
    before: Option<ConfigurationItem>,
    is_changed: bool,
}

/// What the rows of a portion are judged by, and what they lead to.
struct Applied<'p> {
    import: &'p ImportRow,
    permit: Permit,
    /// What earlier rows of a dry run would have stored.
    imagined: &'p Imagined,
    /// The relationships that rows of this portion of a dry run would have made.
    said: Imagined,
    items: HashMap<Key, Known>,
    groups: HashSet<GroupId>,
    related: BTreeMap<Ends, RelationshipId>,
    made: BTreeMap<ConfigurationItemId, Vec<RelationshipRow>>,
    results: Vec<ResultRow>,
}

/// What became of a row: its outcome and the record.
type Judged = std::result::Result<(RowOutcome, Option<String>), Vec<Fault>>;

/// Applies rows, and stores what became of each. The keys of items are named once in a portion.
pub fn apply(
    context: &mut WriteContext<'_>,
    import: &ImportRow,
    rows: &[Row],
    imagined: &Imagined,
) -> Result<Vec<ResultRow>> {
    let permit = context.authorise(Access::Integration)?;
    let mut applied = Applied {
        import,
        permit,
        imagined,
        said: Imagined::default(),
        items: HashMap::new(),
        groups: HashSet::new(),
        related: BTreeMap::new(),
        made: BTreeMap::new(),
        results: Vec::with_capacity(rows.len()),
    };
    applied.load(context, rows)?;
    for row in rows {
        let judged = match &row.content {
            Err(faults) => Err(faults.clone()),
            Ok(Content::Item(content)) => applied.item(context, content)?,
            Ok(Content::Relationship(given)) => applied.relationship(context, given),
        };
        if import.dry_run && judged.is_ok() && matches!(row.content, Ok(Content::Relationship(_))) {
            applied.said.learn(row)?;
        }
        applied.note(row, judged);
    }
    let results = std::mem::take(&mut applied.results);
    if !import.dry_run {
        applied.store(context)?;
    }
    imports::insert_results(context.connection, &results)?;
    Ok(results)
}

impl Applied<'_> {
    /// Everything that the rows name, whatever their number, in three statements.
    fn load(&mut self, context: &mut WriteContext<'_>, rows: &[Row]) -> Result<()> {
        let (mut keys, mut groups) = (BTreeSet::new(), BTreeSet::new());
        let contents = || rows.iter().filter_map(|row| row.content.as_ref().ok());
        for content in contents() {
            match content {
                Content::Item(item) => {
                    keys.insert(owned(item.key()));
                    groups.extend(item.owner_group_id);
                }
                Content::Relationship(given) => keys.extend(ends_of(given)),
            }
        }
        for record in configuration_items::lock_by_keys(context.connection, &keys)? {
            let before = Some(record.content.clone());
            self.items.insert(owned(record.content.key()), Known { record, before, is_changed: false });
        }
        self.groups = configuration_items::existing_groups(context.connection, &groups)?;
        let mut pairs = BTreeSet::new();
        for content in contents() {
            if let Content::Relationship(given) = content
                && let [Some(from), Some(to)] = ends_of(given).map(|key| self.items.get(&key))
            {
                pairs.extend(same_pairs(given.kind, from.record.id, to.record.id));
            }
        }
        self.related = stored::between(context.connection, &pairs)?;
        Ok(())
    }

    /// How an item is before a row: the revision, and whether the row says what is there already. None where it is not
    /// there.
    fn before(&self, key: &Key, given: &ConfigurationItem) -> Result<Option<(Option<i64>, bool)>> {
        let stored = self.items.get(key).map(|known| &known.record.content);
        Ok(match (self.imagined.item(key), stored) {
            (Some(imagined), stored) => {
                let revision = imagined.revision.or(stored.and_then(|stored| stored.source_revision));
                Some((revision, imagined.says(given)?))
            }
            (None, stored) => stored.map(|stored| (stored.source_revision, is_same(stored, given))),
        })
    }

    fn item(&mut self, context: &WriteContext<'_>, given: &ConfigurationItem) -> Result<Judged> {
        let mut faults: Vec<Fault> = attributes_fault(&given.attributes.0).into_iter().collect();
        if given.owner_group_id.is_some_and(|group| !self.groups.contains(&group)) {
            faults.push(Fault::unknown("/owner_group_id", "group"));
        }
        let key = owned(given.key());
        let before = self.before(&key, given)?;
        let revision = match before {
            None => Ok(given.source_revision),
            Some((kept, is_same)) => succeeding((kept, given.source_revision), is_same),
        };
        let revision = match revision {
            Ok(revision) if faults.is_empty() => revision,
            judged => {
                faults.extend(judged.err());
                return Ok(Err(faults));
            }
        };
        let is_unchanged = before.is_some_and(|(kept, is_same)| is_same && revision == kept);
        let outcome = match before {
            None => RowOutcome::Created,
            Some(_) if is_unchanged => RowOutcome::Unchanged,
            Some(_) => RowOutcome::Updated,
        };
        let content = given.clone().at_revision(revision);
        let Some(known) = self.items.get_mut(&key) else {
            if before.is_some() {
                // An earlier row of a dry run would have made it.
                return Ok(Ok((outcome, None)));
            }
            let id = ConfigurationItemId::new(context.env.new_id(context.now));
            let record = Record {
                id,
                row_version: 1,
                created_at: context.now,
                updated_at: context.now,
                chain: ChainHead::default(),
                content,
            };
            self.items.insert(key, Known { record, before: None, is_changed: true });
            return Ok(Ok((outcome, self.told(id))));
        };
        if !is_unchanged {
            known.record.content = content;
            known.record.row_version += 1;
            known.record.updated_at = context.now;
            known.is_changed = true;
        }
        Ok(Ok((outcome, Some(known.record.id.to_string()))))
    }

    /// What a dry run makes has no identifier.
    fn told(&self, id: impl ToString) -> Option<String> {
        (!self.import.dry_run).then(|| id.to_string())
    }

    fn relationship(&mut self, context: &WriteContext<'_>, given: &ImportedRelationship) -> Judged {
        let keys = ends_of(given);
        let mut faults = Vec::new();
        if keys[0] == keys[1] {
            faults.push(self_fault("/target_external_id"));
        }
        for (key, pointer) in keys.iter().zip(["/external_id", "/target_external_id"]) {
            if !self.items.contains_key(key) && self.imagined.item(key).is_none() {
                faults.push(Fault::unknown(pointer, "configuration item"));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        if self.imagined.has(given) || self.said.has(given) {
            return Ok((RowOutcome::Unchanged, None));
        }
        let [Some(from), Some(to)] = keys.each_ref().map(|key| self.items.get(key).map(|known| known.record.id)) else {
            // At least one of them would have been made by an earlier row of a dry run.
            return Ok((RowOutcome::Created, None));
        };
        let known = same_pairs(given.kind, from, to)
            .into_iter()
            .find_map(|(from, to)| self.related.get(&(from, given.kind, to)));
        if let Some(id) = known {
            return Ok((RowOutcome::Unchanged, self.told(id)));
        }
        let row = RelationshipRow {
            id: RelationshipId::new(context.env.new_id(context.now)),
            configuration_item_id: from,
            kind: given.kind,
            target_id: to,
            created_at: context.now,
        };
        self.related.insert((from, given.kind, to), row.id);
        let told = self.told(row.id);
        self.made.entry(from).or_default().push(row);
        Ok((RowOutcome::Created, told))
    }

    fn note(&mut self, row: &Row, judged: Judged) {
        let (outcome, record_id, errors) = match judged {
            Ok((outcome, record_id)) => (outcome, record_id, None),
            Err(faults) => (RowOutcome::Failed, None, Some(told_faults(&faults))),
        };
        self.results.push(ResultRow {
            import_id: self.import.id,
            line: row.line,
            outcome,
            kind: row.kind,
            record_key: row.key.clone(),
            record_id,
            errors,
        });
    }

    /// Records and stores what the rows led to: items in the order in which they were made, then what starts from them.
    fn store(self, context: &mut WriteContext<'_>) -> Result<()> {
        let mut portion = Portion::default();
        let mut items: Vec<Known> = self.items.into_values().collect();
        items.sort_by_key(|known| known.record.id);
        let mut made = self.made;
        for Known { mut record, before, is_changed } in items {
            let rows = made.remove(&record.id);
            let mut change = Change::Chain;
            let mut last = None;
            if is_changed {
                change = if before.is_none() { Change::New } else { Change::Content };
                let documents =
                    (before.as_ref().map(catalogue::document).transpose()?, catalogue::document(&record.content)?);
                let verb = if before.is_none() { "create" } else { "update" };
                let states = (documents.0.as_ref(), Some(&documents.1));
                let stamp = record_item(context, self.permit, &record, verb, states)?;
                record.chain = stamp.head().clone();
                let cause = (ItemOrigin::Import, None, Some(self.import.id));
                portion.add_state(state(context, &record, before.as_ref(), cause), &stamp);
                last = Some(stamp);
            }
            if let Some(rows) = rows {
                let told: Vec<Value> = rows
                    .iter()
                    .map(|row| {
                        let mut told = document(row);
                        told["id"] = json!(row.id);
                        told
                    })
                    .collect();
                let after = json!({"relationships": told});
                let stamp = record_item(context, self.permit, &record, "add_relationships", (None, Some(&after)))?;
                portion.add_relationships(rows, &stamp);
                last = Some(stamp);
            }
            if let Some(stamp) = last {
                portion.add_item(change, record, &stamp);
            }
        }
        Ok(portion.store(context.connection)?)
    }
}

fn record_item(
    context: &mut WriteContext<'_>,
    permit: Permit,
    record: &Record<ConfigurationItem>,
    verb: &str,
    (before, after): (Option<&Value>, Option<&Value>),
) -> Result<crate::repository::audit::Stamp> {
    let change = super::Recorded {
        record_type: ConfigurationItem::RECORD,
        record_id: record.id.to_string(),
        subject: None,
        action: format!("{}.{verb}", ConfigurationItem::RECORD),
        before,
        after,
        published: true,
    };
    context.record(permit, &record.chain, change)
}

/// A key of one's own.
pub fn owned((source, external_id): (&str, &str)) -> Key {
    (source.to_owned(), external_id.to_owned())
}

/// The keys of both items of a relationship.
pub fn ends_of(given: &ImportedRelationship) -> [Key; 2] {
    [owned((&given.source, &given.external_id)), owned((&given.target_source, &given.target_external_id))]
}

/// Faults as a problem lists them, in JSON.
fn told_faults(faults: &[Fault]) -> String {
    let told = |fault: &Fault| {
        let (Place::Pointer(pointer) | Place::Parameter(pointer)) = &fault.place;
        json!({"pointer": pointer, "code": fault.code, "detail": fault.detail})
    };
    Value::Array(faults.iter().map(told).collect()).to_string()
}
