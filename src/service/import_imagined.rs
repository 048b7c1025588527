//! What a dry run would have stored so far, as far as it takes to judge the rows behind: of an item whether it is there,
//! the newest revision that a row gave and a digest of the content; of a relationship that it is there.
//!
//! A verdict of a dry run is that of the real run on the CMDB as it is meanwhile. What it cannot know is what others
//! write before the real run comes to the row, and whether the database refuses rows then.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Result;
use super::catalogue::document;
use super::import_portion::{Key, ends_of, owned};
use super::import_rows::{Content, ImportedRelationship, Row};
use crate::domain::values::RelationshipKind;
use crate::repository::nouns::{ConfigurationItem, Keyed as _};

/// Half of a SHA-256: there may be millions of them.
type Short = [u8; 16];

/// An item as the rows have left it.
#[derive(Debug, Clone, Copy)]
pub struct ImaginedItem {
    /// The newest revision that a row gave.
    pub revision: Option<i64>,
    content: Short,
}

impl ImaginedItem {
    /// True where a row says what is there already, its revision aside.
    pub fn says(&self, given: &ConfigurationItem) -> Result<bool> {
        Ok(self.content == content_of(given)?)
    }
}

/// What the rows of a dry run would have stored.
#[derive(Debug, Default)]
pub struct Imagined {
    items: HashMap<Short, ImaginedItem>,
    relationships: HashSet<Short>,
}

impl Imagined {
    /// An item that a row would have made or changed.
    pub fn item(&self, key: &Key) -> Option<&ImaginedItem> {
        self.items.get(&key_of(key))
    }

    /// True where a row would have made the relationship.
    pub fn has(&self, given: &ImportedRelationship) -> bool {
        self.relationships.contains(&relationship_of(given))
    }

    /// Takes in a row that did not fail.
    pub fn learn(&mut self, row: &Row) -> Result<()> {
        match &row.content {
            Err(_) => {}
            Ok(Content::Relationship(given)) => {
                self.relationships.insert(relationship_of(given));
            }
            Ok(Content::Item(given)) => {
                let key = key_of(&owned(given.key()));
                let before = self.items.get(&key).and_then(|before| before.revision);
                let revision = given.source_revision.or(before);
                self.items.insert(key, ImaginedItem { revision, content: content_of(given)? });
            }
        }
        Ok(())
    }
}

fn short(parts: &[&str]) -> Short {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let mut short = Short::default();
    short.copy_from_slice(&digest.finalize()[..16]);
    short
}

fn key_of((source, external_id): &Key) -> Short {
    short(&[source, external_id])
}

fn relationship_of(given: &ImportedRelationship) -> Short {
    let mut ends = ends_of(given);
    if given.kind.is_symmetric() {
        ends.sort();
    }
    let [(source, external_id), (target_source, target_external_id)] = &ends;
    let kind: RelationshipKind = given.kind;
    short(&[source, external_id, &kind.to_string(), target_source, target_external_id])
}

/// The content without its revision; the order of attributes says nothing.
fn content_of(given: &ConfigurationItem) -> Result<Short> {
    let mut content: Value = document(given)?;
    content["source_revision"] = Value::Null;
    content.sort_all_objects();
    Ok(short(&[&content.to_string()]))
}
