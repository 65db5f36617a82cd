//! One line of telemetry: pure.

use super::error::echo_within;
use super::refusal::RefusalCode;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use twinscale_protocol::series::CustomerSample;
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, Sample, SeriesKey, VmTypeId, metric,
};
use utoipa::ToSchema;

/// The last moment that a timestamp may name: 2200-01-01. Milliseconds of any year after 1977 lie beyond.
const TIMESTAMP_MAX: i64 = 7_258_118_400;

/// Most of the parser's words that an answer repeats, in bytes: they may quote the client.
const PARSER_WORDS_BYTES_MAX: usize = 240;

/// A line of telemetry as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleLine<'a> {
    /// Whose sample: 1 to 63 of a-z, 0-9 and -.
    #[serde(borrow)]
    #[schema(value_type = String, example = "acme")]
    pub customer: Cow<'a, str>,
    /// What was measured: a VM type or pool.
    #[serde(borrow)]
    #[schema(value_type = String, example = "web")]
    pub vm_type: Cow<'a, str>,
    /// The metric, one of the registry.
    #[serde(borrow)]
    #[schema(value_type = String, example = "requests")]
    pub metric: Cow<'a, str>,
    /// Start of the measured interval: whole seconds since 1970, or RFC 3339.
    #[schema(value_type = MomentForms)]
    pub timestamp: Moment,
    /// The value in the metric's unit, zero or more.
    #[schema(example = 1250.0)]
    pub value: f64,
}

/// A moment in whole seconds since 1970; RFC 3339 is taken as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub i64);

/// The forms in which a moment may be sent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MomentForms {
    /// Whole seconds since 1970, UTC.
    Epoch(i64),
    /// RFC 3339.
    Rfc3339(String),
}

/// Why a line was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedText {
    /// Why.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
}

/// Reads a line of telemetry. `newest` is the latest time that is taken, `now` the node's clock.
///
/// # Errors
/// [`RefusedText`] with value and remedy.
pub fn parse(
    line: &[u8],
    now: DomainTime,
    newest: DomainTime,
) -> Result<CustomerSample, RefusedText> {
    let line: SampleLine<'_> = serde_json::from_slice(line).map_err(|error| {
        let message = echo_error(&error);
        refused(RefusalCode::Malformed, message)
    })?;
    let SampleLine {
        customer,
        vm_type,
        metric: metric_name,
        timestamp,
        value,
    } = line;
    let customer = CustomerId::new(customer)
        .map_err(|error| refused(RefusalCode::Customer, error.to_string()))?;
    let vm_type =
        VmTypeId::new(vm_type).map_err(|error| refused(RefusalCode::VmType, error.to_string()))?;
    let metric_name = MetricName::new(metric_name)
        .map_err(|error| refused(RefusalCode::Metric, error.to_string()))?;
    if metric::find(&metric_name).is_err() {
        let message =
            format!("unknown metric `{metric_name}`: docs/reference/api.md lists the known ones");
        return Err(refused(RefusalCode::Metric, message));
    }
    let at = checked_time(timestamp, now, newest)?;
    let value = FixedValue::from_measured(value)
        .map_err(|error| refused(RefusalCode::Value, error.to_string()))?;
    Ok(CustomerSample {
        customer,
        sample: Sample {
            series: SeriesKey {
                vm_type,
                metric: metric_name,
            },
            at,
            value,
        },
    })
}

fn checked_time(
    timestamp: Moment,
    now: DomainTime,
    newest: DomainTime,
) -> Result<DomainTime, RefusedText> {
    let Moment(seconds) = timestamp;
    if seconds > TIMESTAMP_MAX {
        let message = format!(
            "timestamp {seconds} lies after the year 2200: are these milliseconds? divide them by 1000"
        );
        return Err(refused(RefusalCode::Timestamp, message));
    }
    if seconds < 0 {
        let message = format!("timestamp {seconds} lies before 1970");
        return Err(refused(RefusalCode::Timestamp, message));
    }
    let at = DomainTime(seconds);
    if at > newest {
        let (ahead, allowed) = (at.seconds_since(now), newest.seconds_since(now));
        let message = format!(
            "timestamp {at} lies {ahead} s ahead of this node's clock ({now}), at most {allowed} s are \
             allowed: check the sender's clock"
        );
        return Err(refused(RefusalCode::InTheFuture, message));
    }
    Ok(at)
}

fn refused(code: RefusalCode, message: String) -> RefusedText {
    RefusedText { code, message }
}

/// The parser's words without its line number, which is always 1 here.
pub(crate) fn echo_error(error: &serde_json::Error) -> String {
    let words = error.to_string().replace(" at line 1 column", " at column");
    echo_within(&words, PARSER_WORDS_BYTES_MAX)
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MomentVisitor)
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = Moment;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a timestamp: whole seconds since 1970, or RFC 3339")
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Moment, E> {
        Ok(Moment(seconds))
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Moment, E> {
        Ok(Moment(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Moment, E> {
        // Two samples within a second would have one key, and the first would be lost.
        if seconds.fract() != 0.0 {
            return Err(E::invalid_value(de::Unexpected::Float(seconds), &self));
        }
        let whole = FixedValue::from_measured(seconds).map_err(E::custom)?;
        Ok(Moment(whole.0 / twinscale_protocol::units::MICROS))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
        let moment = text
            .parse::<jiff::Timestamp>()
            .map_err(|_unparsed| E::invalid_value(de::Unexpected::Str(text), &self))?;
        if moment.subsec_nanosecond() != 0 {
            return Err(E::invalid_value(de::Unexpected::Str(text), &self));
        }
        Ok(Moment(moment.as_second()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: DomainTime = DomainTime(1_800_000_000);
    const NEWEST: DomainTime = DomainTime(1_800_000_300);

    fn line(timestamp: &str, value: &str) -> String {
        format!(
            "{{\"customer\":\"acme\",\"vm_type\":\"web\",\"metric\":\"requests\",\"timestamp\":{timestamp},\
             \"value\":{value}}}"
        )
    }

    #[track_caller]
    fn refuses(line: &str, code: RefusalCode, words: &[&str]) {
        let told = parse(line.as_bytes(), NOW, NEWEST).expect_err("must be refused");
        assert_eq!(told.code, code, "{line}: {}", told.message);
        for word in words {
            assert!(
                told.message.contains(word),
                "{word} not in {}",
                told.message
            );
        }
    }

    #[test]
    fn all_forms_of_a_moment_are_the_same() {
        for form in ["1799999999", "1799999999.0", "\"2027-01-15T07:59:59Z\""] {
            let sample = parse(line(form, "1.5").as_bytes(), NOW, NEWEST).expect(form);
            assert_eq!(sample.sample.at, DomainTime(1_799_999_999), "{form}");
            assert_eq!(sample.sample.value, FixedValue(1_500_000));
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_value_and_remedy() {
        refuses("{", RefusalCode::Malformed, &["EOF"]);
        refuses("[]", RefusalCode::Malformed, &[]);
        refuses(
            &line("1800000301", "1"),
            RefusalCode::InTheFuture,
            &["301 s", "300 s", "1800000000"],
        );
        refuses(
            &line("1800003600", "1"),
            RefusalCode::InTheFuture,
            &["3600 s ahead"],
        );
        refuses(
            &line("1800000000000", "1"),
            RefusalCode::Timestamp,
            &["milliseconds"],
        );
        refuses(&line("-1", "1"), RefusalCode::Timestamp, &["1970"]);
        refuses(
            &line("1.5", "1"),
            RefusalCode::Malformed,
            &["whole seconds"],
        );
        refuses(
            &line("\"yesterday\"", "1"),
            RefusalCode::Malformed,
            &["RFC 3339"],
        );
        refuses(&line("1", "-1"), RefusalCode::Value, &["-1", "negative"]);
        refuses(&line("1", "1e300"), RefusalCode::Value, &["larger unit"]);
        refuses(&line("1", "null"), RefusalCode::Malformed, &["null"]);
        let odd = line("1", "1");
        refuses(
            &odd.replace("acme", "../etc"),
            RefusalCode::Customer,
            &["../etc"],
        );
        refuses(&odd.replace("web", ""), RefusalCode::VmType, &["VM type"]);
        refuses(
            &odd.replace("requests", "reqeusts"),
            RefusalCode::Metric,
            &["reqeusts"],
        );
        refuses(
            &odd.replace('{', "{\"labels\":{},"),
            RefusalCode::Malformed,
            &["labels"],
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused_in_bounded_words(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Err(told) = parse(&bytes, NOW, NEWEST) {
                prop_assert!(told.message.len() < 400, "{}", told.message);
            }
        }
    }
}
