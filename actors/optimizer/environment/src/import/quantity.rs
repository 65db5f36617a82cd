//! Quantities as Compose and Kubernetes write them.

/// Bytes of a GiB.
const GIB_BYTES: f64 = 1_073_741_824.0;

/// Reads CPUs: `1.5`, or `500m` for thousandths.
pub(crate) fn cpus(text: &str) -> Option<f64> {
    let text = text.trim();
    let value = match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().ok()? / 1000.0,
        None => text.parse().ok()?,
    };
    within(value)
}

/// Reads bytes as Kubernetes writes them, in GiB: `512Mi` by 1024, `512M` by 1000.
pub(crate) fn kubernetes_gib(text: &str) -> Option<f64> {
    const UNITS: &[(&str, f64)] = &[
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", GIB_BYTES),
        ("Ti", GIB_BYTES * 1024.0),
        ("Pi", GIB_BYTES * 1_048_576.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("m", 1e-3),
    ];
    bytes(text, UNITS)
}

/// Reads bytes as Compose writes them, in GiB: `512m`, `512M`, `512mb` and `512MiB` all by 1024.
pub(crate) fn compose_gib(text: &str) -> Option<f64> {
    const UNITS: &[(&str, f64)] = &[
        ("k", 1024.0),
        ("m", 1_048_576.0),
        ("g", GIB_BYTES),
        ("t", GIB_BYTES * 1024.0),
    ];
    let lower = text.trim().to_ascii_lowercase();
    let stem = lower.strip_suffix('b').unwrap_or(&lower);
    bytes(stem.strip_suffix('i').unwrap_or(stem), UNITS)
}

fn bytes(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let unit = units.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, factor) = match unit {
        Some((suffix, factor)) => (text.strip_suffix(suffix)?, *factor),
        None => (text, 1.0),
    };
    within(number.trim().parse::<f64>().ok()? * factor / GIB_BYTES)
}

fn within(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_their_tools_do() {
        for (text, value) in [
            ("500m", Some(0.5)),
            ("2", Some(2.0)),
            ("0.25", Some(0.25)),
            ("x", None),
            ("-1", None),
            ("nan", None),
        ] {
            assert_eq!(cpus(text), value, "{text}");
        }
        for (text, value) in [
            ("512Mi", Some(0.5)),
            ("2Gi", Some(2.0)),
            ("1073741824", Some(1.0)),
            ("", None),
            ("Gi", None),
        ] {
            assert_eq!(kubernetes_gib(text), value, "{text}");
        }
        for (text, value) in [
            ("512m", Some(0.5)),
            ("1gb", Some(1.0)),
            ("2GiB", Some(2.0)),
            ("64", Some(64.0 / GIB_BYTES)),
            ("b", None),
        ] {
            assert_eq!(compose_gib(text), value, "{text}");
        }
    }
}
