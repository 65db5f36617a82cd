//! Syslog, RFC 5424: `<34>1 2003-10-11T22:14:15.003Z host app procid msgid [id a="b"] message`.

use super::record::{LogFault, LogRecord, Severity};
use crate::moment;
use std::borrow::Cow;

/// Highest priority value: facility 23, severity 7.
const PRIORITY_MAX: u64 = 191;

/// Reads a line.
pub(super) fn read(text: &str) -> Result<LogRecord<'_>, LogFault> {
    let (severity, rest) = priority(text).ok_or(LogFault::Malformed)?;
    let rest = rest.strip_prefix("1 ").ok_or(LogFault::Malformed)?;
    let mut parts = rest.splitn(6, ' ');
    let time = parts.next().ok_or(LogFault::Malformed)?;
    let _host = parts.next().ok_or(LogFault::Malformed)?;
    let app = parts.next().ok_or(LogFault::Malformed)?;
    let _process = parts.next().ok_or(LogFault::Malformed)?;
    let _message_id = parts.next().ok_or(LogFault::Malformed)?;
    let tail = parts.next().ok_or(LogFault::Malformed)?;
    if time == "-" {
        return Err(LogFault::NoTime);
    }
    let at = moment::of_text(time, None).ok_or(LogFault::BadTime)?;
    let message = behind_structured(tail).ok_or(LogFault::Malformed)?;
    let message = message.strip_prefix(' ').unwrap_or(message);
    Ok(LogRecord {
        at,
        severity,
        service: (app != "-").then_some(Cow::Borrowed(app)),
        message: Cow::Borrowed(message.strip_prefix('\u{feff}').unwrap_or(message)),
    })
}

/// Reads `<N>` in front.
pub(super) fn priority(text: &str) -> Option<(Severity, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    if number.is_empty() || number.len() > 3 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    (number <= PRIORITY_MAX).then(|| (Severity::of_number(number % 8), rest))
}

/// Skips `-` or the elements in brackets, in whose values `\` escapes `"`, `\` and `]`.
fn behind_structured(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(rest);
    }
    let mut rest = text;
    if !rest.starts_with('[') {
        return None;
    }
    while rest.starts_with('[') {
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.char_indices().find_map(|(at, sign)| {
            if escaped {
                escaped = false;
            } else {
                match sign {
                    '\\' if quoted => escaped = true,
                    '"' => quoted = !quoted,
                    ']' if !quoted => return Some(at),
                    _ => {}
                }
            }
            None
        })?;
        rest = rest.get(end + 1..)?;
    }
    Some(rest)
}
