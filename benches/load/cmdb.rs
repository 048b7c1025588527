//! A generated CMDB as an upload: items, and what they are to each other. And what is measured with it: its import,
//! the impact of a release over some of its items, and closing such a release.

use std::fs::File;
use std::io::{BufWriter, Error, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::installation::Reader;

/// Releases that are measured, each over items of its own.
const RELEASES: usize = 2_000;
/// The impact of so many of them is asked for; the others are closed.
pub const IMPACTS: usize = 40;
/// Items of each.
pub const ITEMS_EACH: usize = 20;

const CLASSES: [&str; 5] = ["server", "database", "application", "balancer", "network"];
const KINDS: [&str; 4] = ["depends_on", "runs_on", "part_of", "connected_to"];

/// Writes NDJSON: so many items, then so many relationships, those of an item one behind the other.
pub fn write(file: &Path, items: u64, relationships: u64) -> Result<(), Error> {
    let mut out = BufWriter::new(File::create(file)?);
    for n in 0..items {
        let class = CLASSES[(n % 5) as usize];
        writeln!(
            out,
            "{{\"type\":\"configuration_item\",\"source\":\"cmdb\",\"external_id\":\"ci-{n}\",\"name\":\"{class}-{n}\",\
             \"class\":\"{class}\",\"environment\":\"production\",\"status\":\"in_production\",\"version\":\"{}.{}\",\
             \"attributes\":{{\"cpu\":{},\"rack\":\"r{}\"}}}}",
            n % 7,
            n % 11,
            n % 64,
            n % 100
        )?;
    }
    let each = relationships.div_ceil(items.max(1));
    for n in 0..relationships {
        let (from, step) = (n / each, n % each);
        // Steps of different sizes: no pair comes twice, and none is an item with itself.
        let to = (from + 1 + step * 37) % items;
        let kind = KINDS[(step % 4) as usize];
        writeln!(
            out,
            "{{\"type\":\"relationship\",\"source\":\"cmdb\",\"external_id\":\"ci-{from}\",\"kind\":\"{kind}\",\
             \"target_source\":\"cmdb\",\"target_external_id\":\"ci-{to}\"}}"
        )?;
    }
    out.flush()
}

/// Registers releases over items of the CMDB, as a manager, and carries them to closure.
pub async fn releases(reader: &mut Reader) -> Result<Vec<String>, String> {
    let models = reader.json("/models?status=active&limit=200").await?;
    let minor = models["data"].as_array().into_iter().flatten().find(|model| model["name"] == "Minor");
    let model = minor.map(|model| model["id"].clone()).ok_or("no model for minor releases")?;
    let mut items = Vec::new();
    let mut cursor = String::new();
    while items.len() < RELEASES * ITEMS_EACH {
        let page = reader.json(&format!("/configuration-items?source=cmdb&limit=200{cursor}")).await?;
        items.extend(page["data"].as_array().into_iter().flatten().map(|item| item["id"].clone()));
        let next = page["page"]["next_cursor"].as_str().ok_or("too few configuration items")?;
        cursor = format!("&cursor={next}");
    }
    let now = chrono::Utc::now();
    let at = |days: i64| (now + chrono::TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut made = Vec::new();
    for (nth, items) in items.chunks(ITEMS_EACH).take(RELEASES).enumerate() {
        let links: Vec<Value> =
            items.iter().map(|item| json!({"configuration_item_id": item, "intended_version": "99.1"})).collect();
        let body = json!({
            "title": format!("Measured over items {nth}"), "model_id": model, "configuration_items": links,
            "requester": {"name": "Ana Souza", "email": "ana@example.org"},
            "planning_window": {"start": at(1), "end": at(2)}, "deployment_window": {"start": at(3), "end": at(4)},
        });
        let id = reader.create("/releases", &body.to_string()).await?;
        for from in ["planning", "deployment"] {
            let step = json!({
                "action": "advance", "from_stage": from, "on_behalf_of": {"origin": "phone", "note": "Agreed"},
            });
            reader.create(&format!("/releases/{id}/transitions"), &step.to_string()).await?;
        }
        made.push(id);
    }
    Ok(made)
}

/// The body that closes one of them.
pub async fn closing(reader: &mut Reader) -> Result<String, String> {
    let category = reader.first("/solution-categories").await?;
    let body = json!({
        "action": "close", "resolution": "solved", "closure_notes": "Measured",
        "release_date": chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "solution_category_id": category["id"], "on_behalf_of": {"origin": "phone", "note": "Agreed"},
    });
    Ok(body.to_string())
}
