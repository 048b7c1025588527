//! Imports: the operations that take and answer rows, one on each line, beside JSON.

use serde_json::{Value, json};

use crate::api::v1::imports::NDJSON;
use crate::service::imports::IMPORT_BYTES_MAX;

/// Completes the operation that takes rows.
pub fn describe_upload(operation: &mut Value) {
    let rows = |description: &str, example: &str| json!({"schema": {"type": "string", "minLength": 1, "maxLength": IMPORT_BYTES_MAX, "description": description, "pattern": "^[\\s\\S]+$", "example": example}});
    operation["requestBody"]["content"] = json!({
        NDJSON: rows("On each line a JSON object.", "{\"type\":\"configuration_item\",\"source\":\"cmdb\",\"external_id\":\"srv-1\",\"name\":\"payments-db-1\",\"class\":\"database\",\"status\":\"in_production\"}\n"),
        "text/csv": rows("A header, and rows.", "source,external_id,name,class,status,attributes.cpu\ncmdb,srv-1,payments-db-1,database,in_production,8\n"),
    });
    let text = "`true`: every row is judged, and none is stored.";
    let dry_run = json!({"name": "dry_run", "in": "query", "required": false, "description": text, "schema": {"type": "boolean", "default": false}});
    operation["parameters"] = json!([dry_run]);
}

/// Completes the operation that answers rows.
pub fn describe_results(operation: &mut Value) {
    let text = "`ndjson`: all rows, one on each line; `json`: a page of them.";
    let format = json!({"name": "format", "in": "query", "required": false, "description": text, "schema": {"type": "string", "enum": ["json", "ndjson"]}, "example": "json"});
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.push(format);
    }
    let lines = json!({"schema": {"type": "string", "maxLength": 1 << 30, "description": "On each line an `ImportResult`.", "pattern": "^[\\s\\S]*$", "example": "{\"line\":2,\"outcome\":\"created\",\"kind\":\"configuration_item\",\"record_key\":\"cmdb/srv-1\",\"record_id\":\"01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f\",\"errors\":[],\"row_version\":1}\n"}});
    operation["responses"]["200"]["content"][NDJSON] = lines;
}
