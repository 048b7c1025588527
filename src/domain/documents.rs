//! Documents: which file names and media types are taken, and in which status of the release.

use super::values::{DocumentClass, Fault, Status};

/// A file name has at most so many characters ...
pub const NAME_LENGTH_MAX: usize = 255;
/// ... and bytes in UTF-8, which is what file systems take.
pub const NAME_BYTES_MAX: usize = 255;
/// A description has at most so many characters.
pub const DESCRIPTION_LENGTH_MAX: usize = 2000;
/// A version has at most so many characters, as that of a release.
pub const VERSION_LENGTH_MAX: usize = 50;
/// A media type has at most so many characters, parameters and all.
pub const MEDIA_TYPE_LENGTH_MAX: usize = 200;
/// The media type of a file that comes without one.
pub const MEDIA_TYPE_DEFAULT: &str = "application/octet-stream";
/// A release has at most so many documents that are not deleted.
pub const DOCUMENTS_MAX: i64 = 500;

/// Media types that are taken begin with one of these.
pub const MEDIA_KINDS: &[&str] = &["application", "audio", "font", "image", "model", "text", "video"];
/// Media types that are not taken all the same: what a browser would run, were it ever shown in one.
pub const MEDIA_TYPES_REFUSED: &[&str] = &[
    "application/ecmascript",
    "application/hta",
    "application/javascript",
    "application/x-javascript",
    "application/x-shockwave-flash",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/ecmascript",
    "text/html",
    "text/javascript",
    "text/vbscript",
];

/// Everything that is wrong with a file name. A name is kept as it came or not at all: it is never made to fit.
pub fn name_faults(name: &str, pointer: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut bad = |code, detail: String| faults.push(Fault::at(pointer, code, detail));
    if name.trim().is_empty() {
        bad("BLANK", "The file has a name.".into());
        return faults;
    }
    if name.chars().count() > NAME_LENGTH_MAX || name.len() > NAME_BYTES_MAX {
        let detail =
            format!("A file name has at most {NAME_LENGTH_MAX} characters, and {NAME_BYTES_MAX} bytes of UTF-8.");
        bad("TOO_LONG", detail);
    }
    if name.contains(['/', '\\']) || name == "." || name == ".." {
        bad(
            "INVALID_VALUE",
            "A file name is a name and no path: without `/` and `\\`, and neither `.` nor `..`.".into(),
        );
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        bad(
            "INVALID_CHARACTER",
            "A file name has no control characters, and none that are invisible or turn the direction of writing."
                .into(),
        );
    }
    if name.trim() != name {
        bad("INVALID_VALUE", "A file name neither begins nor ends with white space.".into());
    }
    faults
}

/// True for what hides in a name, or shows it as another one.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFD}'
    )
}

/// What is wrong with a media type, given its two halves in lower case.
pub fn media_type_fault(kind: &str, essence: &str, whole: &str, pointer: &str) -> Option<Fault> {
    if whole.chars().count() > MEDIA_TYPE_LENGTH_MAX {
        let detail = format!("A media type has at most {MEDIA_TYPE_LENGTH_MAX} characters.");
        return Some(Fault::at(pointer, "TOO_LONG", detail));
    }
    if !MEDIA_KINDS.contains(&kind) || MEDIA_TYPES_REFUSED.contains(&essence) {
        let detail = format!(
            "Files of the type `{essence}` are not taken: it begins with one of {}, and is none of {}.",
            MEDIA_KINDS.join(", "),
            MEDIA_TYPES_REFUSED.join(", ")
        );
        return Some(Fault::at(pointer, "MEDIA_TYPE_REFUSED", detail));
    }
    None
}

/// True where a document of the class may be added to a release, or its description changed.
pub const fn may_be_written(class: DocumentClass, status: Status) -> bool {
    match status {
        Status::Open | Status::Reopened | Status::Suspended => true,
        // What proves how it ended may come later.
        Status::Cancelled | Status::Closed => matches!(class, DocumentClass::Evidence),
    }
}

/// True where a document may be deleted: what a finished release rests on stays.
pub const fn may_be_deleted(status: Status) -> bool {
    matches!(status, Status::Open | Status::Reopened | Status::Suspended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(name: &str) -> Vec<&'static str> {
        name_faults(name, "/file").into_iter().map(|fault| fault.code).collect()
    }

    #[test]
    fn a_name_is_taken_as_it_is_or_not_at_all() {
        for good in ["a", "plan.pdf", "Übergabe – final (2).docx", "日本語.txt", ".env", "a\"b;c.txt", "..a"] {
            assert_eq!(codes(good), [""; 0], "{good}");
        }
        assert_eq!(codes(&"a".repeat(255)), [""; 0]);
        assert_eq!(codes(&"a".repeat(256)), ["TOO_LONG"]);
        assert_eq!(codes(&"ü".repeat(128)), ["TOO_LONG"]);
        for path in ["../x", "..\\x", "/etc/passwd", "a/b", ".", ".."] {
            assert_eq!(codes(path), ["INVALID_VALUE"], "{path}");
        }
        for odd in ["a\0b", "a\nb", "a\u{7f}", "a\u{85}b", "a\u{202E}fdp.exe", "a\u{200B}b", "a\u{FFFD}"] {
            assert_eq!(codes(odd), ["INVALID_CHARACTER"], "{odd:?}");
        }
        assert_eq!(codes(""), ["BLANK"]);
        assert_eq!(codes(" \t"), ["BLANK"]);
        assert_eq!(codes(" a"), ["INVALID_VALUE"]);
    }

    #[test]
    fn what_a_browser_would_run_is_not_taken() {
        let fault = |essence: &str| {
            media_type_fault(essence.split('/').next().unwrap(), essence, essence, "/file").map(|fault| fault.code)
        };
        for good in ["application/pdf", "text/plain", "image/png", "application/zip", "application/octet-stream"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["text/html", "image/svg+xml", "message/rfc822", "multipart/mixed", "x/y"] {
            assert_eq!(fault(bad), Some("MEDIA_TYPE_REFUSED"), "{bad}");
        }
    }

    #[test]
    fn a_finished_release_takes_evidence_and_gives_nothing_away() {
        for status in Status::ALL.iter().copied() {
            let finished = matches!(status, Status::Cancelled | Status::Closed);
            for class in DocumentClass::ALL.iter().copied() {
                assert_eq!(may_be_written(class, status), !finished || class == DocumentClass::Evidence);
            }
            assert_eq!(may_be_deleted(status), !finished);
        }
    }
}
