//! Conditional requests: what `If-Match` and `If-None-Match` say (RFC 9110 §13).

use actix_web::http::header::HeaderValue;

use crate::domain::values::Fault;
use crate::service::IfMatch;

/// A condition has at most so many characters.
pub const CONDITION_LENGTH_MAX: usize = 1000;
/// How a condition is written: `*`, or ETags with commas between them. None of ours holds a comma. Empty elements are
/// passed over (RFC 9110 §5.6.1.2), but an ETag there is.
pub const CONDITION_PATTERN: &str =
    "^(\\*|(,[ \\t]*)*(W/)?\"[!#-+\\--~]*\"([ \\t]*,([ \\t]*(W/)?\"[!#-+\\--~]*\")?)*)$";

/// What the representation is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Any there is.
    Any,
    /// These, in quotes.
    Tags(Vec<Tag>),
}

/// An ETag that a caller named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// True where it was marked as weak.
    pub weak: bool,
    /// The tag with its quotes.
    pub quoted: String,
}

impl Condition {
    /// Reads the lines of a header; none where it is not there.
    pub fn read<'h>(name: &str, lines: impl Iterator<Item = &'h HeaderValue>) -> Result<Option<Self>, Fault> {
        let bad = |detail: &str| Err(Fault::parameter(name, "INVALID_HEADER", detail));
        let mut texts = Vec::new();
        for line in lines {
            match line.to_str() {
                Ok(text) => texts.push(text),
                Err(_) => return bad("The header is not ASCII text."),
            }
        }
        if texts.is_empty() {
            return Ok(None);
        }
        let text = texts.join(",");
        if text.len() > CONDITION_LENGTH_MAX {
            return bad(&format!("The header has at most {CONDITION_LENGTH_MAX} characters."));
        }
        if text.trim() == "*" {
            return Ok(Some(Self::Any));
        }
        let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
        let tags: Option<Vec<Tag>> = elements.map(Tag::read).collect();
        match tags {
            Some(tags) if !tags.is_empty() => Ok(Some(Self::Tags(tags))),
            _ => bad("An ETag in quotes is needed, or `*`."),
        }
    }

    /// True where a representation with this tag, in quotes, is among those named; weak or not.
    pub fn names(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|other| other.quoted == tag),
        }
    }
}

impl Tag {
    fn read(text: &str) -> Option<Self> {
        let (weak, quoted) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        let fits = inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        fits.then(|| Self { weak, quoted: quoted.to_owned() })
    }

    /// The version of a record: only the part before the dot counts, written as the service writes it. A weak tag
    /// matches nothing.
    fn version(&self) -> Option<i64> {
        let written = self.quoted.trim_matches('"').split('.').next()?;
        let version: i64 = written.parse().ok()?;
        (!self.weak && version.to_string() == written).then_some(version)
    }
}

impl From<Option<Condition>> for IfMatch {
    fn from(condition: Option<Condition>) -> Self {
        match condition {
            None => Self::Missing,
            Some(Condition::Any) => Self::Any,
            Some(Condition::Tags(tags)) => Self::Versions(tags.iter().filter_map(Tag::version).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<Condition>, Fault> {
        let lines: Vec<HeaderValue> = lines.iter().map(|line| HeaderValue::from_str(line).unwrap()).collect();
        Condition::read("If-Match", lines.iter())
    }

    #[test]
    fn versions_are_read_out_of_every_line() {
        let versions = |lines: &[&str]| match IfMatch::from(read(lines).unwrap()) {
            IfMatch::Versions(versions) => versions,
            other => panic!("{other:?}"),
        };
        assert_eq!(versions(&["\"3\""]), [3]);
        assert_eq!(versions(&["\"3.abc\" , W/\"4\"", "\"5\""]), [3, 5]);
        assert_eq!(versions(&["\"x\""]), [0_i64; 0]);
        assert_eq!(versions(&["\"+3\", \"03\", \"-0\", \" 3\"".replace("\" 3\"", "\"3x\"").as_str()]), [0_i64; 0]);
        assert_eq!(versions(&[", \"3\",, ,\"4.a\",", ""]), [3, 4]);
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(Some(Condition::Any)));
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        let long = format!("\"{}\"", "1".repeat(CONDITION_LENGTH_MAX));
        for text in
            ["", "3", "\"", "\"3", "W/3", "W/W/\"3\"", "\"3\"\"", "\"a b\"", ",", " , ,", "*,\"1\"", "*,", &long]
        {
            assert!(read(&[text]).is_err(), "{text}");
        }
    }
}
