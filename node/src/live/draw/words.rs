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

/// Writes a range by its three levels, of thousands or millions where they are large.
pub(super) fn short_range(range: Option<&RangeView>) -> String {
    range.map_or_else(
        || "-".to_owned(),
        |range| {
            let [low, median, high] = [range.q10, range.q50, range.q90].map(short);
            format!("{low}..{median}..{high}")
        },
    )
}

fn short(value: f64) -> String {
    match value {
        1e9.. => format!("{:.0}G", value / 1e9),
        1e6..1e9 => format!("{:.1}M", value / 1e6),
        1e4..1e6 => format!("{:.0}k", value / 1e3),
        _ => quantity(value),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ranges_fit_into_nineteen_letters() {
        for (value, word) in [
            (0.5, "0.5"),
            (9_999.0, "9,999"),
            (243_837.0, "244k"),
            (9_999_999.0, "10.0M"),
            (12_345_678.0, "12.3M"),
            (9.2e12, "9200G"),
        ] {
            assert_eq!(short(value), word);
        }
        let range = RangeView {
            q10: 9_900.0,
            q50: 9_950.0,
            q90: 9_999.0,
        };
        assert_eq!(short_range(Some(&range)), "9,900..9,950..9,999");
        assert_eq!(short_range(None), "-");
    }

    #[test]
    fn durations_have_two_units() {
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(61), "1 min 01 s");
        assert_eq!(duration(3_661), "1 h 01 min");
        assert_eq!(duration(200_000), "2 d 7 h");
    }
}
