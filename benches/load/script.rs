//! Scripts for pgbench, out of statements that the service sent.
//!
//! Parameters become literals, so every script repeats one request. What a request may do only once is made to
//! differ: identifiers and keys that were made for it get a random end, positions in a chain a random number, and the
//! guard of an update asks for the version that the update leaves behind.

use crate::capture::Statement;

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Writes the script of some requests. `since_ms` tells which identifiers were made for them, `key` which idempotency
/// key was sent.
pub fn write(requests: &[Statement], since_ms: u64, key: &str) -> Result<String, String> {
    let left_behind = requests.iter().rev().find_map(version_left_behind);
    let mut guarded = false;
    let mut script = String::from("\\set r random(1, 999999900000)\n\\set s random(1000, 2000000000)\n");
    for (nth, statement) in requests.iter().enumerate() {
        let mut literals = Vec::with_capacity(statement.parameters.len());
        for (kind, value) in &statement.parameters {
            literals.push(match value {
                Some(value) => literal(*kind, value, since_ms, key)?,
                None => "NULL".to_owned(),
            });
        }
        let bare = statement.sql.replace('"', "");
        for (table, column, parameter) in inserted(&bare) {
            match (table, column) {
                (_, "seq") => literals[parameter] = format!("CAST(:s AS int8) + {nth}"),
                ("releases", "number") => literals[parameter] = "CAST(:number AS int8)".into(),
                _ => {}
            }
        }
        if let Some(update) = update_of_release(&bare) {
            if let Some(parameter) = parameter_behind(update, "updated_at = $", false) {
                literals[parameter] = "CAST(now() AT TIME ZONE 'UTC' AS timestamp)".into();
            }
            let guard = parameter_behind(update, "row_version = $", true);
            if let (false, Some(guard), Some(version)) = (guarded, guard, &left_behind) {
                literals[guard] = format!("CAST({version} AS int8)");
                guarded = true;
            }
        }
        let sql = filled(&statement.sql, &literals);
        match sql.contains("nextval('release_number')") && sql.starts_with("SELECT") {
            true => script.push_str("SELECT nextval('release_number') AS number \\gset\n"),
            false => script.push_str(&format!("{sql};\n")),
        }
    }
    Ok(script)
}

/// The version that an update of a release stores.
fn version_left_behind(statement: &Statement) -> Option<i64> {
    let bare = statement.sql.replace('"', "");
    let parameter = parameter_behind(update_of_release(&bare)?, "row_version = $", false)?;
    let bytes = statement.parameters.get(parameter)?.1.as_ref()?;
    Some(i64::from_be_bytes(bytes.as_slice().try_into().ok()?))
}

/// The update of a release in a statement without quotes, which may have more to it.
fn update_of_release(bare: &str) -> Option<&str> {
    bare.find("UPDATE releases SET ").map(|at| &bare[at..])
}

/// Index of the parameter that stands behind some words, in the condition or before it.
fn parameter_behind(sql: &str, words: &str, in_condition: bool) -> Option<usize> {
    let (before, condition) = sql.split_once(" WHERE ").unwrap_or((sql, ""));
    let (_, rest) = if in_condition { condition } else { before }.split_once(words)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// Which parameter goes into which column of which table, in a statement without quotes.
fn inserted(bare: &str) -> Vec<(&str, &str, usize)> {
    let mut found = Vec::new();
    for insert in bare.split("INSERT INTO ").skip(1) {
        let Some((table, rest)) = insert.split_once(" (") else { continue };
        let Some((columns, values)) = rest.split_once(") VALUES (") else { continue };
        let columns: Vec<&str> = columns.split(", ").collect();
        // Rows of plain parameters, one behind the other.
        for row in values.split("), (") {
            let (row, last) = row.split_once(')').map_or((row, false), |(row, _)| (row, true));
            for (column, value) in columns.iter().zip(row.split(", ")) {
                let number = value.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
                found.extend(number.and_then(|number| number.checked_sub(1)).map(|at| (table, *column, at)));
            }
            if last {
                break;
            }
        }
    }
    found
}

/// The statement with its parameters filled in.
fn filled(sql: &str, literals: &[String]) -> String {
    let mut result = String::with_capacity(sql.len() * 2);
    let mut rest = sql;
    while let Some((before, tail)) = rest.split_once('$') {
        let length = tail.bytes().take_while(u8::is_ascii_digit).count();
        let literal = tail[..length].parse::<usize>().ok().and_then(|number| literals.get(number.checked_sub(1)?));
        result.push_str(before);
        match literal {
            Some(literal) => result.push_str(literal),
            None => result.push_str(&format!("${}", &tail[..length])),
        }
        rest = &tail[length..];
    }
    result + rest
}

fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        2 => i64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        4 => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        8 => i64::from_be_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

/// A binary parameter as SQL.
fn literal(kind: u32, value: &[u8], since_ms: u64, key: &str) -> Result<String, String> {
    let unknown = || format!("a parameter of type {kind} that cannot be written as a literal");
    let number = || integer(value).ok_or_else(unknown);
    Ok(match kind {
        16 => if value == [0] { "FALSE" } else { "TRUE" }.to_owned(),
        20 => format!("CAST({} AS int8)", number()?),
        21 => format!("CAST({} AS int2)", number()?),
        23 => format!("CAST({} AS int4)", number()?),
        25 | 1043 | 0 => {
            let text = std::str::from_utf8(value).map_err(|_| unknown())?;
            format!("CAST({} AS text)", quoted(text, since_ms, key))
        }
        1114 => {
            let at = chrono::DateTime::from_timestamp_micros(number()? + EPOCH_MICROS).ok_or_else(unknown)?;
            format!("CAST({} AS timestamp)", quoted(&at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(), since_ms, key))
        }
        1009 | 1015 => {
            let elements: Option<Vec<String>> =
                array(value).map(|elements| elements.iter().map(|text| quoted(text, since_ms, key)).collect());
            format!("CAST(ARRAY[{}] AS text[])", elements.ok_or_else(unknown)?.join(", "))
        }
        _ => return Err(unknown()),
    })
}

/// The texts of a binary array of one dimension.
fn array(value: &[u8]) -> Option<Vec<String>> {
    let word = |at: usize| Some(u32::from_be_bytes(value.get(at..at + 4)?.try_into().ok()?));
    if word(0)? == 0 {
        return Some(Vec::new());
    }
    let count = word(12)?;
    let mut at = 20;
    let mut texts = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(word(at)?).ok()?;
        texts.push(String::from_utf8(value.get(at + 4..at + 4 + length)?.to_vec()).ok()?);
        at += 4 + length;
    }
    Some(texts)
}

/// Text as SQL, without a colon, which pgbench would take for a variable. What was made for the request ends
/// randomly.
fn quoted(text: &str, since_ms: u64, key: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if !key.is_empty() && rest.starts_with(key) {
            parts.push(escaped(&format!("{plain}{key}-")));
            parts.push("CAST(:r AS text)".into());
            plain.clear();
            rest = &rest[key.len()..];
        } else if is_made(rest, since_ms) {
            parts.push(escaped(&format!("{plain}{}", &rest[..24])));
            // Several that were made at the same instant stay several.
            let nth = u32::from_str_radix(&rest[32..36], 16).unwrap_or_default();
            parts.push(format!("lpad(CAST(CAST(:r AS int8) + {nth} AS text), 12, '0')"));
            plain.clear();
            rest = &rest[36..];
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    if parts.is_empty() || !plain.is_empty() {
        parts.push(escaped(&plain));
    }
    if parts.len() == 1 { parts.remove(0) } else { format!("({})", parts.join(" || ")) }
}

/// True where a UUIDv7 begins that is not older than the request.
fn is_made(text: &str, since_ms: u64) -> bool {
    let Some(word) = text.get(..36) else { return false };
    let shaped = word.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        14 => byte == b'7',
        _ => byte.is_ascii_hexdigit(),
    });
    let millis = u64::from_str_radix(&format!("{}{}", &word[..8], word.get(9..13).unwrap_or("")), 16);
    shaped && millis.is_ok_and(|millis| millis >= since_ms)
}

fn escaped(text: &str) -> String {
    let inner: String = text
        .chars()
        .map(|letter| match letter {
            '\\' => "\\\\".to_owned(),
            '\'' => "\\'".to_owned(),
            ':' => "\\x3a".to_owned(),
            '\n' => "\\n".to_owned(),
            other => other.to_string(),
        })
        .collect();
    format!("E'{inner}'")
}
