//! Syslog, RFC 3164: `<34>Oct 11 22:14:15 host su[12]: message`, also without the priority, as files hold it.

use super::record::{LogFault, LogRecord, Severity};
use super::syslog::priority;
use crate::moment;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use twinscale_protocol::DomainTime;

/// Bytes of `Oct 11 22:14:15`.
const TIME_BYTES: usize = 15;

/// Reads a line. Its time has no zone, which is given, and no year: it is in the one nearest to `now`.
pub(super) fn read<'a>(
    text: &'a str,
    zone: &TimeZone,
    now: DomainTime,
) -> Result<LogRecord<'a>, LogFault> {
    let (severity, rest) = match priority(text) {
        Some(read) => read,
        None if text.starts_with('<') => return Err(LogFault::Malformed),
        None => (Severity::Unknown, text),
    };
    let time = rest.get(..TIME_BYTES).ok_or(LogFault::Malformed)?;
    let at = moment::of_bsd(time, zone, now).ok_or(LogFault::BadTime)?;
    let rest = rest
        .get(TIME_BYTES..)
        .and_then(|rest| rest.strip_prefix(' '));
    let (_host, rest) = rest
        .and_then(|rest| rest.split_once(' '))
        .ok_or(LogFault::Malformed)?;
    let (service, message) = tag_of(rest);
    Ok(LogRecord {
        at,
        severity,
        service: service.map(Cow::Borrowed),
        message: Cow::Borrowed(message),
    })
}

/// Cuts `su[12]: ` off: the tag is alphanumeric, with `-`, `_`, `.` and `/`.
fn tag_of(text: &str) -> (Option<&str>, &str) {
    let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let end = text
        .bytes()
        .position(|byte| !is_tag(byte))
        .unwrap_or(text.len());
    let (tag, rest) = text.split_at(end);
    let rest = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_process, behind)) => behind,
        None => rest,
    };
    match rest.strip_prefix(':') {
        Some(message) if !tag.is_empty() => (Some(tag), message.trim_start()),
        _ => (None, text),
    }
}
