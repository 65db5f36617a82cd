//! Numbers and dates for people.

use super::contest::Score;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use twinscale_protocol::{DomainTime, MicroDollars, Seconds};

/// Writes dollars with thousands separators, and cents where they matter.
pub(crate) fn dollars(amount: MicroDollars) -> String {
    let value = amount.dollars();
    if value.abs() >= 100.0 {
        format!("${}", grouped(value))
    } else {
        format!("${value:.2}")
    }
}

/// Rounds to a whole number and groups its digits by thousands.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0.0 && digits != "0" {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a quantity with as many digits as help.
pub(crate) fn quantity(value: f64) -> String {
    if value.abs() >= 100.0 {
        grouped(value)
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        trimmed(format!("{value:.2}"))
    }
}

/// Writes a share as a percentage; small ones keep two digits.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value == 0.0 {
        "0 %".to_owned()
    } else if value.abs() < 0.01 {
        "<0.01 %".to_owned()
    } else if value.abs() < 1.0 {
        format!("{value:.2} %")
    } else {
        format!("{value:.1} %")
    }
}

/// Writes how much dearer a score is than another, as a signed percentage.
pub(super) fn over(score: &Score, base: &Score) -> String {
    score
        .cost_ratio(base)
        .map_or_else(|| "-".to_owned(), |ratio| signed_percent(ratio - 1.0))
}

/// Writes how a score's cost stands to another's, such as `12.5 % more`.
pub(super) fn relation(score: &Score, base: &Score, words: [&str; 2]) -> String {
    let [more, less] = words;
    let Some(ratio) = score.cost_ratio(base) else {
        return "0 % ".to_owned() + more;
    };
    let value = (ratio - 1.0) * 100.0;
    let digits = usize::from(value.abs() < 100.0);
    let word = if value < 0.0 { less } else { more };
    format!("{:.digits$} % {word}", value.abs())
}

/// Writes a signed percentage.
pub(crate) fn signed_percent(share: f64) -> String {
    let value = share * 100.0;
    if value.abs() < 0.05 {
        return "±0 %".to_owned();
    }
    let digits = usize::from(value.abs() < 100.0);
    format!("{value:+.digits$} %")
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Writes a length of time in the unit that fits.
pub(crate) fn span(length: Seconds) -> String {
    let seconds = f64::from(length.0);
    match length.0 {
        0..120 => format!("{} s", length.0),
        120..7_200 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{} h", quantity(seconds / 3_600.0)),
    }
}

/// Writes a moment's parts in UTC; the pattern is strftime's.
pub(crate) fn moment(at: DomainTime, pattern: &str) -> String {
    Timestamp::from_second(at.0).map_or_else(
        |_| at.0.to_string(),
        |timestamp| {
            timestamp
                .to_zoned(TimeZone::UTC)
                .strftime(pattern)
                .to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_rounded() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(grouped(-1_000.0), "-1,000");
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(0.2), "0");
        assert_eq!(quantity(0.5), "0.5");
        assert_eq!(quantity(12.34), "12.3");
        assert_eq!(dollars(MicroDollars(1_234_500_000)), "$1,234");
        assert_eq!(dollars(MicroDollars(450_000)), "$0.45");
        assert_eq!(percent(0.00123), "0.12 %");
        assert_eq!(percent(0.000_001), "<0.01 %");
        assert_eq!(signed_percent(0.123), "+12.3 %");
        assert_eq!(span(Seconds(119)), "119 s");
        assert_eq!(span(Seconds(3_360)), "56 min");
        assert_eq!(span(Seconds(9_000)), "2.5 h");
        assert_eq!(
            moment(DomainTime(1_700_000_000), "%Y-%m-%d %H:%M"),
            "2023-11-14 22:13"
        );
    }
}
