//! A generated CMDB as an upload: items, and what they are to each other.

use std::fs::File;
use std::io::{BufWriter, Error, Write as _};
use std::path::Path;

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
