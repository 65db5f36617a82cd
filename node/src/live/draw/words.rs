//! Numbers and words for a terminal.

use crate::report::format::quantity;
use crate::service::api::{CustomerItem, RangeView};
use twinscale_protocol::MicroDollars;

/// Writes dollars.
pub(crate) fn amount(dollars: f64) -> String {
    crate::report::format::dollars(MicroDollars::from_dollars(dollars).unwrap_or_default())
}

/// Writes seconds in the two largest units.
pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest:02} s"),
        (0, _, _) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Writes a value that may be unknown.
pub(super) fn value(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), quantity)
}

/// Writes a range by its three levels.
pub(crate) fn range(range: Option<&RangeView>) -> String {
    range.map_or_else(
        || "-".to_owned(),
        |range| {
            let [low, median, high] = [range.q10, range.q50, range.q90].map(quantity);
            format!("{low}..{median}..{high}")
        },
    )
}

/// Says in a word how a twin is.
pub(crate) fn twin_word(twin: &CustomerItem) -> &'static str {
    match (twin.state.as_str(), twin.fresh) {
        ("driven", Some(true)) => "fresh",
        ("driven", Some(false)) => "stale",
        ("driven", None) => "new",
        ("unconfigured", _) => "no plan",
        ("quarantined", _) => "apart",
        _ => "waits",
    }
}
