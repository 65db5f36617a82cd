//! Prices and service that are supposed of a customer, as flags say them.

use super::customer::{moment, until};
use super::{factor, name, pair};
use crate::error::ExpectedError;
use crate::service::api::{DriverKind, Moment, SupposedDriver};
use twinscale_environment::what_if::Change;

/// What `--price` says: of a VM type, or of what a customer's users pay.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PriceArgument {
    /// The price of a VM type of a stack model.
    VmType(Change),
    /// What users pay.
    Users(SupposedDriver),
}

/// The prices of VM types; those of users belong to a customer.
pub(super) fn of_vm_types(prices: &[PriceArgument]) -> Result<Vec<Change>, ExpectedError> {
    let change = |one: &PriceArgument| match one {
        PriceArgument::VmType(change) => Ok(change.clone()),
        PriceArgument::Users(_) => Err(ExpectedError::input_hint(
            "--price without a VM type is what a customer's users pay",
            "with --model write VM_TYPE=FACTOR, such as c7g.large=1.2",
        )),
    };
    prices.iter().map(change).collect()
}

/// The prices that users pay; those of VM types belong to a stack model.
pub(super) fn of_customer(prices: &[PriceArgument]) -> Result<Vec<SupposedDriver>, ExpectedError> {
    let driver = |one: &PriceArgument| match one {
        PriceArgument::Users(driver) => Ok(*driver),
        PriceArgument::VmType(_) => Err(ExpectedError::input_hint(
            "--price of a VM type belongs to a stack model",
            "with --customer write what users pay more or less, such as +10%",
        )),
    };
    prices.iter().map(driver).collect()
}

/// Reads `VM_TYPE=FACTOR`, or `+10%` with a span.
pub(super) fn parse_price(text: &str) -> Result<PriceArgument, String> {
    if text.contains('=') {
        let (vm_type, number) = pair(text, "VM_TYPE=FACTOR")?;
        return Ok(PriceArgument::VmType(Change::Price {
            vm_type: name(vm_type)?,
            factor: factor(number)?,
        }));
    }
    let form = "VM_TYPE=FACTOR or a change such as +10% or -5%";
    let (change, span) = spanned(text)?;
    let value = share(change).ok_or_else(|| format!("`{change}` is no price: write {form}"))?;
    let value = Some(1.0 + value).filter(|value| *value > 0.0);
    let value = value.ok_or_else(|| format!("`{change}` leaves no price: write {form}"))?;
    Ok(PriceArgument::Users(driver(DriverKind::Price, value, span)))
}

/// Reads `x2` or `800ms` with a span.
pub(super) fn parse_latency(text: &str) -> Result<SupposedDriver, String> {
    let (latency, span) = spanned(text)?;
    let found = match (latency.strip_prefix('x'), latency.strip_suffix("ms")) {
        (Some(number), _) => Some((DriverKind::Latency, number)),
        (_, Some(number)) => Some((DriverKind::LatencyMs, number)),
        _ => None,
    };
    let found = found.and_then(|(what, number)| Some((what, positive(number)?)));
    match found {
        Some((what, value)) => Ok(driver(what, value, span)),
        None => Err(format!(
            "`{latency}` is no latency: write so many times its objective, such as x2, or milliseconds, such as 800ms"
        )),
    }
}

/// Reads `5%` or `0.05` with a span.
pub(super) fn parse_throttle(text: &str) -> Result<SupposedDriver, String> {
    let (number, span) = spanned(text)?;
    match share(number).filter(|share| (0.0..=1.0).contains(share)) {
        Some(share) => Ok(driver(DriverKind::Throttled, share, span)),
        None => Err(format!(
            "`{number}` is no share of requests: write 5% or 0.05"
        )),
    }
}

type Ends = (Option<Moment>, Option<Moment>);

fn driver(what: DriverKind, value: f64, (start, end): Ends) -> SupposedDriver {
    SupposedDriver {
        what,
        value,
        start,
        end,
    }
}

/// Splits off `@START[..END]`.
fn spanned(text: &str) -> Result<(&str, Ends), String> {
    let Some((value, span)) = text.split_once('@') else {
        return Ok((text, (None, None)));
    };
    let (start, end) = match span.split_once("..") {
        Some((start, end)) => (start, Some(end)),
        None => (span, None),
    };
    let start = moment(start)?;
    let end = end.map(|end| until(start, end)).transpose()?;
    let ends = (
        Some(Moment(start.as_second())),
        end.map(|end| Moment(end.as_second())),
    );
    Ok((value, ends))
}

fn share(text: &str) -> Option<f64> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    let number: f64 = number.trim().parse().ok()?;
    Some(number * unit).filter(|share| share.is_finite())
}

fn positive(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    Some(number).filter(|number| *number > 0.0 && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_latency_and_throttling_are_read_with_their_spans() {
        let users = |text: &str| match parse_price(text).expect("a price") {
            PriceArgument::Users(driver) => driver,
            PriceArgument::VmType(change) => panic!("a change: {change}"),
        };
        assert!((users("+10%").value - 1.1).abs() < 1e-12);
        assert!((users("-0.05").value - 0.95).abs() < 1e-12);
        let spanned = users("+10%@2026-11-27T09:00Z..4h");
        assert_eq!(spanned.start.map(|at| at.0), Some(1_795_770_000));
        assert_eq!(spanned.end.map(|at| at.0), Some(1_795_784_400));
        assert!(matches!(
            parse_price("c7g.large=1.2"),
            Ok(PriceArgument::VmType(Change::Price { .. }))
        ));
        assert!(
            parse_price("-100%")
                .expect_err("none")
                .contains("leaves no price")
        );
        assert!(parse_price("dear").expect_err("none").contains("`dear`"));
        let twice = parse_latency("x2").expect("a latency");
        assert_eq!((twice.what, twice.start), (DriverKind::Latency, None));
        let slow = parse_latency("800ms@2026-11-27T09:00Z").expect("a latency");
        assert_eq!((slow.what, slow.end), (DriverKind::LatencyMs, None));
        assert!(parse_latency("2").expect_err("none").contains("x2"));
        assert!(parse_latency("x0").is_err());
        assert!((parse_throttle("5%").expect("a share").value - 0.05).abs() < 1e-12);
        assert!(parse_throttle("120%").expect_err("none").contains("`120%`"));
    }

    #[test]
    fn a_price_of_the_other_side_is_refused() {
        let prices = [parse_price("+10%").expect("a price")];
        assert!(of_vm_types(&prices).is_err());
        assert_eq!(of_customer(&prices).expect("users").len(), 1);
        let prices = [parse_price("small=2").expect("a price")];
        assert!(of_customer(&prices).is_err());
    }
}
