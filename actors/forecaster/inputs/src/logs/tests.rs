use super::*;
use crate::InputSecret;
use crate::templates::TemplateText;
use crate::windows::NotCounted;
use proptest::prelude::*;
use std::collections::BTreeMap;
use twinscale_protocol::{DomainTime, Sample, Seconds, VmTypeId};

/// 2023-10-11T22:14:15Z.
const AT: DomainTime = DomainTime(1_697_062_455);

fn reader(format: LogFormat, zone: Option<&str>) -> LogReader {
    let zone = zone.map(str::to_owned);
    LogReader::new(&LogReaderOptions { format, zone }).expect("a known zone")
}

/// A record as text: seconds since [`AT`], severity, service, message.
fn read(reader: &mut LogReader, text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut take = |record: LogRecord<'_>| {
        all.push(format!(
            "{} {} {} {}",
            record.at.seconds_since(AT),
            record.severity.name(),
            record.service.as_deref().unwrap_or("-"),
            record.message
        ));
    };
    reader.feed(text.as_bytes(), AT, &mut take);
    reader.finish(AT, &mut take);
    all
}

fn check(format: LogFormat, line: &str, wanted: &str) {
    let mut reader = reader(format, None);
    assert_eq!(
        read(&mut reader, line),
        vec![wanted.to_owned()],
        "{line}: {:?}",
        reader.faults()
    );
}

fn check_fault(format: LogFormat, line: &str, wanted: LogFault) {
    let mut reader = reader(format, None);
    assert_eq!(read(&mut reader, line), Vec::<String>::new());
    assert_eq!(
        reader.faults().count(wanted),
        1,
        "{line}: {:?}",
        reader.faults()
    );
}

#[test]
fn json_lines_of_common_loggers() {
    let check = |line, wanted| check(LogFormat::JsonLines, line, wanted);
    check(
        r#"{"@timestamp":"2023-10-11T22:14:15Z","log.level":"ERROR","service.name":"shop","message":"a \"b\""}"#,
        "0 error shop a \"b\"",
    );
    check(
        r#"{"level":50,"time":1697062455123,"msg":"pino","pid":7}"#,
        "0 error - pino",
    );
    check(
        r#"{"ts":1697062455.9,"level":"warn","msg":"zap","stack":{"level":"x"}}"#,
        "0 warn - zap",
    );
    check(
        r#"{"timeUnixNano":"1697062455000000000","severityNumber":17,"body":{"stringValue":"otlp"}}"#,
        "0 error - otlp",
    );
    check(
        r#"{"time":1697062455000000000,"msg":"ns"}"#,
        "0 unknown - ns",
    );
    check(
        r#"{"date":"never","timestamp":"2023-10-11T22:14:16Z","message":"rank"}"#,
        "1 unknown - rank",
    );
}

#[test]
fn bad_json_lines_are_counted_by_reason() {
    let check = |line, wanted| check_fault(LogFormat::JsonLines, line, wanted);
    check("not json", LogFault::Malformed);
    check(r#"{"time":1,"msg":"a"} x"#, LogFault::Malformed);
    check(r#"["time"]"#, LogFault::Malformed);
    check(r#"{"msg":"a"}"#, LogFault::NoTime);
    check(
        r#"{"time":"2023-10-11 22:14:15","msg":"local"}"#,
        LogFault::BadTime,
    );
    check(r#"{"time":"soon","msg":"a"}"#, LogFault::BadTime);
    check(r#"{"time":1,"msg":7}"#, LogFault::NoMessage);
    let deep = format!("{{\"x\":{}", "[".repeat(10_000));
    check(&deep, LogFault::Malformed);
    let mut reader = reader(LogFormat::JsonLines, None);
    reader.feed(b"\xff\xfe\n", AT, &mut |_| {});
    assert_eq!(reader.faults().count(LogFault::NotUtf8), 1);
}

#[test]
fn syslog_of_both_standards() {
    check(
        LogFormat::Syslog5424,
        r#"<165>1 2023-10-11T22:14:15.003Z host evntslog - ID47 [ex@1 a="]\"" b="2"][y] An event"#,
        "0 info evntslog An event",
    );
    check(
        LogFormat::Syslog5424,
        "<0>1 2023-10-11T22:14:15+00:00 - - - - -",
        "0 fatal - ",
    );
    check(
        LogFormat::Syslog3164,
        "<34>Oct 11 22:14:15 mymachine su[7]: failed",
        "0 fatal su failed",
    );
    check(
        LogFormat::Syslog3164,
        "Oct  9 22:14:15 host no tag here",
        "-172800 unknown - no tag here",
    );
    let mut berlin = reader(LogFormat::Syslog3164, Some("Europe/Berlin"));
    assert_eq!(
        read(&mut berlin, "<11>Oct 12 00:14:15 h app: x"),
        ["0 error app x"]
    );
    check_fault(
        LogFormat::Syslog5424,
        "<192>1 2023-10-11T22:14:15Z a b c d - x",
        LogFault::Malformed,
    );
    check_fault(
        LogFormat::Syslog5424,
        "<34>1 - a b c d - x",
        LogFault::NoTime,
    );
    check_fault(
        LogFormat::Syslog5424,
        "<34>1 2023-10-11T22:14:15Z a b c d [x",
        LogFault::Malformed,
    );
    check_fault(
        LogFormat::Syslog3164,
        "<34>Okt 11 22:14:15 h x: y",
        LogFault::BadTime,
    );
}

#[test]
fn logfmt_with_quotes() {
    check(
        LogFormat::Logfmt,
        r#"time=2023-10-11T22:14:15Z level=warn flag msg="took \"long\" ä" app=web"#,
        "0 warn web took \"long\" ä",
    );
    check_fault(LogFormat::Logfmt, "plain words only", LogFault::Malformed);
    check_fault(
        LogFormat::Logfmt,
        r#"time=1 msg="open"#,
        LogFault::Malformed,
    );
}

#[test]
fn an_unknown_zone_is_named() {
    let zone = Some("Mars/Base".to_owned());
    let options = LogReaderOptions {
        format: LogFormat::Logfmt,
        zone,
    };
    let error = LogReader::new(&options)
        .expect_err("no such zone")
        .to_string();
    assert!(error.contains("Mars/Base"), "{error}");
}

fn options() -> LogRatesOptions {
    LogRatesOptions {
        vm_type: VmTypeId::new("web").expect("an id"),
        interval: Seconds(300),
        lateness: Seconds(300),
        top_templates: 2,
        text: TemplateText::Kept,
    }
}

fn secret() -> InputSecret {
    InputSecret::take(&mut [3; 32])
}

fn record(at: i64, severity: Severity, message: &str) -> LogRecord<'_> {
    LogRecord {
        at: DomainTime(at),
        severity,
        service: None,
        message: message.into(),
    }
}

fn by_name(samples: &[Sample], at: i64) -> BTreeMap<&str, f64> {
    let of_time = samples.iter().filter(|sample| sample.at == DomainTime(at));
    of_time
        .map(|sample| (sample.series.metric.as_str(), sample.value.units()))
        .collect()
}

#[test]
fn counts_by_severity_and_template_with_late_lines() {
    let mut rates = LogRates::new(options(), &secret()).expect("valid");
    let now = DomainTime(100_000);
    for index in 0..30 {
        let message = format!("request {index} failed badly");
        rates
            .observe(&record(1_000 + index, Severity::Error, &message), now)
            .expect("in time");
    }
    rates
        .observe(&record(1_300, Severity::Info, "started"), now)
        .expect("in time");
    rates
        .observe(&record(900, Severity::Warn, "late"), now)
        .expect("allowed");
    assert_eq!(rates.take_closed(), Vec::new());
    rates
        .observe(&record(1_550, Severity::Info, "started"), now)
        .expect("in time");
    let samples = rates.take_closed();
    let counts = by_name(&samples, 900);
    assert!((counts["log_error"] - 30.0).abs() < 1e-9 && (counts["log_warn"] - 1.0).abs() < 1e-9);
    assert!(counts["log_info"].abs() < 1e-9);
    // The first nine lines came before the template had its number; the late line has none.
    assert!((counts["log_template_1"] - 21.0).abs() < 1e-9, "{counts:?}");
    assert!((counts["log_template_other"] - 10.0).abs() < 1e-9);
    let late = rates.observe(&record(1_199, Severity::Warn, "late"), now);
    assert_eq!((late, rates.late()), (Err(NotCounted::Late), 1));
    let rest = rates.take_all();
    // The template goes on with zeros.
    assert!(by_name(&rest, 1_200)["log_template_1"].abs() < 1e-9);
}

#[test]
fn a_state_goes_on_and_one_of_other_settings_is_refused() {
    let now = DomainTime(10_000);
    let mut one = LogRates::new(options(), &secret()).expect("valid");
    for index in 0..40 {
        one.observe(
            &record(500 + index * 20, Severity::Info, "tick 5 done"),
            now,
        )
        .expect("in time");
    }
    let bytes = one.to_bytes().expect("small");
    let mut other = LogRates::from_bytes(&bytes, options(), &secret()).expect("its own");
    assert_eq!(one.take_all(), other.take_all());
    let changed = LogRatesOptions {
        interval: Seconds(600),
        ..options()
    };
    let error = LogRates::from_bytes(&bytes, changed, &secret()).expect_err("another interval");
    assert!(error.to_string().contains("interval"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_panic_and_pieces_change_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        at in 0_usize..300,
        format in prop_oneof![
            Just(LogFormat::JsonLines), Just(LogFormat::Syslog5424),
            Just(LogFormat::Syslog3164), Just(LogFormat::Logfmt),
        ],
    ) {
        let (mut whole, mut parted) = (reader(format, Some("UTC")), reader(format, Some("UTC")));
        whole.feed(&bytes, AT, &mut |_| {});
        whole.finish(AT, &mut |_| {});
        let (one, other) = bytes.split_at(at.min(bytes.len()));
        parted.feed(one, AT, &mut |_| {});
        parted.feed(other, AT, &mut |_| {});
        parted.finish(AT, &mut |_| {});
        prop_assert_eq!(whole.faults(), parted.faults());
        prop_assert_eq!(whole.record_count(), parted.record_count());
    }

    #[test]
    fn a_line_that_is_written_is_read(message in "[a-zA-Z \"\\\\]{1,60}", second in 0_i64..4_000_000_000) {
        let line = format!("{{\"time\":{second},\"msg\":{}}}", serde_json::to_string(&message).expect("text"));
        let mut reader = reader(LogFormat::JsonLines, None);
        let found = read(&mut reader, &line);
        prop_assert_eq!(found, vec![format!("{} unknown - {message}", second - AT.0)]);
    }
}
