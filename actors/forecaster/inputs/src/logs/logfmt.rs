//! `key=value key="quoted value"` a line.

use super::fields::{Fields, Value, is_wanted};
use super::record::{LogFault, LogRecord};
use jiff::tz::TimeZone;
use std::borrow::Cow;

/// Most fields of a line; what follows is left out.
const FIELDS_MAX: usize = 256;

/// Reads a line. A key without `=` is a flag and skipped; a quoted value that never ends is malformed.
pub(super) fn read<'a>(text: &'a str, zone: Option<&TimeZone>) -> Result<LogRecord<'a>, LogFault> {
    let mut fields = Fields::default();
    let mut rest = text.trim_start();
    let mut has_pair = false;
    for _ in 0..FIELDS_MAX {
        let Some(end) = rest.find(|sign: char| sign == '=' || sign.is_whitespace()) else {
            break;
        };
        let (name, behind) = rest.split_at(end);
        let Some(behind) = behind.strip_prefix('=') else {
            rest = behind.trim_start();
            continue;
        };
        has_pair = true;
        let (value, behind) = value_of(behind)?;
        if is_wanted(name) {
            fields.put(name, Value::Text(value));
        }
        rest = behind.trim_start();
    }
    if !has_pair {
        return Err(LogFault::Malformed);
    }
    fields.record(zone)
}

fn value_of(text: &str) -> Result<(Cow<'_, str>, &str), LogFault> {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (value, behind) = text.split_at(end);
        return Ok((Cow::Borrowed(value), behind));
    };
    let mut plain: Option<String> = None;
    let mut escaped = false;
    for (at, sign) in inside.char_indices() {
        if escaped {
            escaped = false;
            if let Some(plain) = &mut plain {
                plain.push(match sign {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                });
            }
        } else if sign == '\\' {
            escaped = true;
            plain.get_or_insert_with(|| inside.get(..at).unwrap_or_default().to_owned());
        } else if sign == '"' {
            let behind = inside.get(at + 1..).unwrap_or_default();
            let whole = || Cow::Borrowed(inside.get(..at).unwrap_or_default());
            return Ok((plain.map_or_else(whole, Cow::Owned), behind));
        } else if let Some(plain) = &mut plain {
            plain.push(sign);
        }
    }
    Err(LogFault::Malformed)
}
