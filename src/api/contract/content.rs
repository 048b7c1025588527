//! The downloads: the operations whose answer is no JSON.

use serde_json::{Value, json};

use super::header;

/// The operations that answer content.
pub const DOWNLOADS: &[&str] = &["download_document", "download_medium_content"];

/// The headers that content comes with.
pub fn add_headers(headers: &mut Value) {
    let more = json!({
        "Content-ETag": {"description": "SHA-256 of the content.", "schema": {"type": "string", "maxLength": 66, "pattern": "^\"[0-9a-f]{64}\"$", "example": "\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\""}},
        "Accept-Ranges": {"description": "`bytes`: a part of the content may be asked for.", "schema": {"type": "string", "enum": ["bytes"]}},
        "Content-Disposition": {"description": "An attachment, with the name of the file (RFC 6266, RFC 8187).", "schema": {"type": "string", "maxLength": 2000, "pattern": "^attachment; filename=\"", "example": "attachment; filename=\"tests.txt\""}},
        "Content-Range": {"description": "Which part of the content this is, or how many bytes there are (`bytes */17`).", "schema": {"type": "string", "maxLength": 100, "pattern": "^bytes ([0-9]+-[0-9]+|\\*)/[0-9]+$", "example": "bytes 0-3/17"}},
        "Last-Modified": {"description": "When the content was uploaded.", "schema": {"type": "string", "maxLength": 40, "pattern": "^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$", "example": "Mon, 07 Jan 2030 10:00:00 GMT"}},
    });
    if let (Some(headers), Value::Object(more)) = (headers.as_object_mut(), more) {
        headers.extend(more);
    }
}

/// Completes the operation.
pub fn describe(operation: &mut Value) {
    let text = |name: &str, description: &str, pattern: &str, example: &str| json!({"name": name, "in": "header", "required": false, "description": description, "schema": {"type": "string", "maxLength": crate::api::download::HEADER_LENGTH_MAX, "pattern": pattern}, "example": example});
    let parameters = [
        text(
            "Range",
            "The part that is wanted. One range of bytes; anything else is answered with the whole.",
            super::bounds::TEXT,
            "bytes=0-1023",
        ),
        text(
            "If-Range",
            "The ETag or the date that the part belongs to; the whole where it is another.",
            super::bounds::TEXT,
            "\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"",
        ),
        text(
            "If-None-Match",
            "The ETag that the caller has; 304 where it still holds.",
            super::CONDITION_PATTERN,
            "\"2cf24dba5fb0a30e\"",
        ),
        text(
            "If-Modified-Since",
            "The date that the caller has; 304 where it still holds. Not looked at beside `If-None-Match`.",
            super::bounds::TEXT,
            "Mon, 07 Jan 2030 10:00:00 GMT",
        ),
    ];
    if let Some(known) = operation["parameters"].as_array_mut() {
        known.extend(parameters);
    }
    let mut whole = operation["responses"]["200"].take();
    for (name, reference) in [
        ("ETag", "Content-ETag"),
        ("Accept-Ranges", "Accept-Ranges"),
        ("Content-Disposition", "Content-Disposition"),
        ("Last-Modified", "Last-Modified"),
    ] {
        whole["headers"][name] = header(reference);
    }
    // Bytes, whatever the media type of the document: no browser shows them.
    whole["content"] = json!({"application/octet-stream": {"schema": {"type": "string", "format": "binary", "maxLength": 1_073_741_824}}});
    whole["description"] = json!("The content.");
    let mut part = whole.clone();
    part["description"] = json!("The part of the content that was asked for.");
    part["headers"]["Content-Range"] = header("Content-Range");
    operation["responses"]["200"] = whole;
    operation["responses"]["206"] = part;
    operation["responses"]["304"] = json!({});
    operation["responses"]["416"] = json!({"$ref": "#/components/responses/Problem416"});
}
