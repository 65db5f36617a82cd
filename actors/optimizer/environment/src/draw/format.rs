//! Numbers for people.

/// Writes a number with three significant digits at most, and a unit prefix where it is large or small.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "∞".to_owned();
    }
    // The sum of no floats is -0.
    let value = value + 0.0;
    let size = value.abs();
    let (scaled, prefix) = if size >= 1e9 {
        (value / 1e9, "G")
    } else if size >= 1e6 {
        (value / 1e6, "M")
    } else if size >= 1e4 {
        (value / 1e3, "k")
    } else {
        (value, "")
    };
    let size = scaled.abs();
    let digits = if size >= 100.0 || size == 0.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 1.0 {
        2
    } else {
        3
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    format!("{text}{prefix}")
}

/// Writes a share as per cent.
pub(crate) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return "∞".to_owned();
    }
    let value = share * 100.0 + 0.0;
    if value != 0.0 && value.abs() < 10.0 {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// Writes a length of time with the unit that suits it.
pub(crate) fn seconds(value: f64) -> String {
    if value >= 1.0 || value == 0.0 {
        format!("{} s", number(value))
    } else if value >= 1e-3 {
        format!("{} ms", number(value * 1e3))
    } else {
        format!("{} µs", number(value * 1e6))
    }
}
