//! W3C Trace Context: the trace that a request belongs to, taken on and passed on.

use std::fmt;

/// A trace that the caller began, with this service's own span in it.
///
/// [`Display`](fmt::Display) writes the value of `traceparent` for whatever is called next. Of the flags, those that
/// the standard knows go on: sampled, and that the identifier is random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Names the trace.
    pub trace_id: TraceId,
    /// Names this request within the trace.
    pub span_id: SpanId,
    flags: u8,
}

/// Names a trace: 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Names a span: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Length of a `traceparent` of version 00.
const LENGTH_BYTES: usize = 55;
/// Sampled, and random trace identifier.
const KNOWN_FLAGS: u8 = 0b11;

impl Trace {
    /// Takes a trace on from the value of `traceparent`, with a new span; `None` where it is not valid.
    pub fn continued(traceparent: &str) -> Option<Self> {
        let (head, rest) = traceparent.split_at_checked(LENGTH_BYTES)?;
        let mut parts = head.split('-');
        let version = u8::try_from(hexadecimal(parts.next()?, 2)?).ok()?;
        let trace_id = hexadecimal(parts.next()?, 32)?;
        let parent_id = hexadecimal(parts.next()?, 16)?;
        let flags = u8::try_from(hexadecimal(parts.next()?, 2)?).ok()?;
        // A later version may say more behind another dash; version 00 may not.
        let more = rest.is_empty() || (version > 0 && rest.starts_with('-'));
        if version == 0xff || trace_id == 0 || parent_id == 0 || !more {
            return None;
        }
        let span_id = SpanId(rand::random_range(1..=u64::MAX));
        Some(Self { trace_id: TraceId(trace_id), span_id, flags: flags & KNOWN_FLAGS })
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Lower-case hexadecimal digits, exactly so many.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if fits { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_trace_goes_on_with_a_span_of_its_own() {
        let trace = Trace::continued(PARENT).unwrap();
        let written = trace.to_string();
        assert!(written.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && written.ends_with("-01"), "{written}");
        assert!(!written.contains("00f067aa0ba902b7"), "{written}");
        assert_eq!(Trace::continued(&written).unwrap().trace_id, trace.trace_id);
    }

    #[test]
    fn a_later_version_may_say_more_and_unknown_flags_stay_behind() {
        assert!(Trace::continued(&format!("01{}-more", &PARENT[2..])).is_some());
        let flagged = Trace::continued(&format!("{}ff", &PARENT[..53])).unwrap();
        assert!(flagged.to_string().ends_with("-03"), "{flagged}");
    }

    #[test]
    fn what_is_not_valid_is_no_trace() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        for bad in [
            "",
            "00",
            "garbage",
            &PARENT[..54],
            &PARENT.to_uppercase(),
            &format!("{PARENT}-more"),
            &format!("{PARENT}0"),
            &format!("01{}more", &PARENT[2..]),
            &format!("ff{}", &PARENT[2..]),
            &PARENT.replace('-', "_"),
            &PARENT.replace("4bf9", "+bf9"),
            &PARENT.replace("4bf9", "4bg9"),
            &format!("{}é", &PARENT[..54]),
            &zero_trace,
            &zero_parent,
        ] {
            assert_eq!(Trace::continued(bad), None, "{bad}");
        }
    }
}
