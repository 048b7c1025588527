//! Log lines through env_logger: text on a terminal, JSON otherwise. One line for each event, whatever is in it.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;

use env_logger::fmt::Formatter;
use log::kv::{Key, Source, Value, VisitSource, VisitValue};
use log::{Level, Record};
use serde::Serialize as _;

use super::trace::Trace;
use crate::domain::policy::Via;
use crate::domain::values::UserId;

/// What the lines of requests are logged under.
pub const REQUEST_TARGET: &str = "slipway::request";
/// A logged path or method has at most so many bytes; what is longer is cut.
const TEXT_BYTES_MAX: usize = 1024;
/// How a personal access token begins; a path with one in it is not logged.
const SECRET_PREFIX: &str = "slp_";
/// What every JSON line has; no other field goes under these names.
const OWN_FIELDS: &[&str] = &["at", "level", "target", "message"];

/// Starts logging. `RUST_LOG` chooses what is logged; `info` without it.
pub fn start() {
    let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"));
    if io::stderr().is_terminal() {
        builder.format(|out: &mut Formatter, record| {
            let at = out.timestamp_millis();
            text_line(out, at, record)
        });
    } else {
        builder.format(|out: &mut Formatter, record| {
            let at = out.timestamp_micros();
            json_line(out, at, record)
        });
    }
    // A second start, in tests, changes nothing.
    let _ = builder.try_init();
}

/// True where the lines of requests are logged at all.
pub fn requests_are_logged() -> bool {
    log::log_enabled!(target: REQUEST_TARGET, Level::Info)
}

/// A request that has ended, as its log line tells it.
#[derive(Debug)]
pub struct RequestLine<'r> {
    /// Names the request.
    pub request_id: &'r str,
    /// Method, as it came.
    pub method: &'r str,
    /// Template of the route.
    pub route: &'r str,
    /// Path, as it came, without the query.
    pub path: &'r str,
    /// Status of the answer; `None` where the caller went away before there was one.
    pub status: Option<u16>,
    /// Code of the problem that was answered.
    pub code: Option<&'static str>,
    /// Time until the answer was ready to be sent.
    pub duration_us: u64,
    /// Length of the answer's body, where it is known beforehand.
    pub bytes: Option<u64>,
    /// Who it was, where they were authenticated, and how.
    pub actor: Option<(UserId, Via)>,
    /// Where it came from, as far as proxies are trusted.
    pub peer: IpAddr,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
}

impl RequestLine<'_> {
    /// Writes the line.
    pub fn write(&self) {
        let message = format_args!("request");
        log::logger()
            .log(&Record::builder().level(Level::Info).target(REQUEST_TARGET).args(message).key_values(self).build());
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

impl Source for RequestLine<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), log::kv::Error> {
        let mut pair = |key: &'static str, value: Value<'kvs>| visitor.visit_pair(Key::from_str(key), value);
        pair("request_id", self.request_id.into())?;
        pair("method", cut(self.method).into())?;
        pair("route", self.route.into())?;
        let path = if self.path.contains(SECRET_PREFIX) { "(withheld)" } else { cut(self.path) };
        pair("path", path.into())?;
        if let Some(status) = self.status {
            pair("status", status.into())?;
        }
        if let Some(code) = self.code {
            pair("code", code.into())?;
        }
        pair("duration_us", self.duration_us.into())?;
        if let Some(bytes) = self.bytes {
            pair("bytes", bytes.into())?;
        }
        if let Some((user, via)) = &self.actor {
            pair("actor", Value::from_display(user))?;
            pair("via", Value::from_display(via))?;
        }
        pair("peer", Value::from_display(&self.peer))?;
        if let Some(trace) = &self.trace {
            pair("trace_id", Value::from_display(&trace.trace_id))?;
            pair("span_id", Value::from_display(&trace.span_id))?;
        }
        Ok(())
    }
}

/// True for what could end a line, or make a terminal show something else than what was written.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// JSON text without anything treacherous: it is escaped like a line feed is.
struct OneLine;

impl serde_json::ser::Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if is_plain(fragment) {
            return out.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if is_treacherous(c) {
                write!(out, "\\u{:04x}", u32::from(c))?;
            } else {
                write!(out, "{c}")?;
            }
        }
        Ok(())
    }
}

fn json_text(out: &mut (impl Write + ?Sized), text: &str) -> io::Result<()> {
    Ok(text.serialize(&mut serde_json::Serializer::with_formatter(out, OneLine))?)
}

/// Writes a value of a record, as JSON or as text.
struct Values<'o, W: ?Sized> {
    out: &'o mut W,
    json: bool,
    written: String,
}

impl<W: Write + ?Sized> Values<'_, W> {
    fn text(&mut self, text: &str) -> io::Result<()> {
        if self.json {
            return json_text(self.out, text);
        }
        let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'));
        if bare { self.out.write_all(text.as_bytes()) } else { write!(self.out, "{text:?}") }
    }
}

impl<'v, W: Write + ?Sized> VisitValue<'v> for &mut Values<'_, W> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), log::kv::Error> {
        // One buffer for all values of the line.
        let mut written = std::mem::take(&mut self.written);
        written.clear();
        write!(written, "{value}")?;
        self.text(&written)?;
        self.written = written;
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), log::kv::Error> {
        Ok(write!(self.out, "{value}")?)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), log::kv::Error> {
        Ok(write!(self.out, "{value}")?)
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), log::kv::Error> {
        Ok(write!(self.out, "{value}")?)
    }

    fn visit_null(&mut self) -> Result<(), log::kv::Error> {
        Ok(write!(self.out, "null")?)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), log::kv::Error> {
        Ok(self.text(value)?)
    }
}

impl<'kvs, W: Write + ?Sized> VisitSource<'kvs> for Values<'_, W> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        if OWN_FIELDS.contains(&key.as_str()) {
            return Ok(());
        }
        if self.json {
            self.out.write_all(b",")?;
            json_text(self.out, key.as_str())?;
            self.out.write_all(b":")?;
        } else {
            self.out.write_all(b" ")?;
            self.text(key.as_str())?;
            self.out.write_all(b"=")?;
        }
        value.visit(&mut *self)
    }
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// Calls with the text of a message; most are there already.
fn with_message<T>(record: &Record<'_>, work: impl FnOnce(&str) -> T) -> T {
    match record.args().as_str() {
        Some(text) => work(text),
        None => work(&record.args().to_string()),
    }
}

/// Writes a record as one line of JSON: an object with the values of the record as fields.
pub fn json_line(out: &mut impl Write, at: impl Display, record: &Record<'_>) -> io::Result<()> {
    write!(out, "{{\"at\":\"{at}\",\"level\":\"{}\",\"target\":", level(record.level()))?;
    json_text(out, record.target())?;
    out.write_all(b",\"message\":")?;
    with_message(record, |text| json_text(out, text))?;
    record.key_values().visit(&mut Values { out, json: true, written: String::new() }).map_err(io::Error::other)?;
    out.write_all(b"}\n")
}

/// Writes a record as one line for people.
pub fn text_line(out: &mut impl Write, at: impl Display, record: &Record<'_>) -> io::Result<()> {
    write!(out, "{at} {:5} {} ", record.level(), record.target())?;
    with_message(record, |text| {
        if is_plain(text) {
            return out.write_all(text.as_bytes());
        }
        text.chars().try_for_each(|c| match is_treacherous(c) {
            true => write!(out, "{}", c.escape_default()),
            false => write!(out, "{c}"),
        })
    })?;
    record.key_values().visit(&mut Values { out, json: false, written: String::new() }).map_err(io::Error::other)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\r\nb\u{1b}[31m\u{7f}\u{85}\u{2028}\u{2029}\u{202e}\"}\\\u{0}é💥\u{feff}";

    fn json(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        json_line(&mut out, "now", record).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn text(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        text_line(&mut out, "now", record).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn line<'r>(path: &'r str, method: &'r str) -> RequestLine<'r> {
        RequestLine {
            request_id: "r-1",
            method,
            route: "/api/v1/releases",
            path,
            status: Some(200),
            code: None,
            duration_us: 12,
            bytes: Some(34),
            actor: None,
            peer: "2001:db8::1".parse().unwrap(),
            trace: Trace::continued("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        }
    }

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let values = [(HOSTILE, HOSTILE), ("message", "stolen")];
        for written in [
            json(&Record::builder().args(format_args!("{HOSTILE}")).target(HOSTILE).key_values(&values).build()),
            text(&Record::builder().args(format_args!("{HOSTILE}")).target("t").key_values(&values).build()),
        ] {
            let (line, end) = written.split_at(written.len() - 1);
            assert_eq!(end, "\n");
            assert!(!line.chars().any(is_treacherous), "{line:?}");
            assert!(!line.contains("stolen"), "{line:?}");
        }
    }

    #[test]
    fn json_gives_back_what_was_put_in() {
        let values = [("given", HOSTILE)];
        let record = json(&Record::builder().args(format_args!("{HOSTILE}")).key_values(&values).build());
        let read: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!((read["message"].as_str(), read["given"].as_str()), (Some(HOSTILE), Some(HOSTILE)));
    }

    #[test]
    fn a_request_is_told_in_fields_of_their_own_type() {
        let line = line("/api/v1/releases", "GET");
        let record = Record::builder().args(format_args!("request")).key_values(&line).build();
        let read: serde_json::Value = serde_json::from_str(&json(&record)).unwrap();
        assert_eq!(read["status"], 200);
        assert_eq!(read["duration_us"], 12);
        assert_eq!(read["bytes"], 34);
        assert_eq!(read["peer"], "2001:db8::1");
        assert_eq!(read["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(read.get("actor").is_none() && read.get("code").is_none());
        assert!(text(&record).contains(" request request_id=r-1 method=GET route=/api/v1/releases path="));
    }

    #[test]
    fn a_long_path_is_cut_and_one_with_a_token_in_it_withheld() {
        let long = format!("/{}", "é".repeat(5000));
        let line_of_long = line(&long, "GET");
        let record = Record::builder().args(format_args!("request")).key_values(&line_of_long).build();
        assert!(json(&record).len() < 2 * TEXT_BYTES_MAX);
        let line_of_token = line("/api/v1/tokens/slp_secret", "GET");
        let record = Record::builder().args(format_args!("request")).key_values(&line_of_token).build();
        assert!(!json(&record).contains("secret"));
    }
}
