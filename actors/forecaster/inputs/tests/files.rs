//! Whole files from bytes to samples and events, as a node would use the crate.

use twinscale_inputs::InputSecret;
use twinscale_inputs::calendar::{CalendarOptions, EventNames, KnownFrom, read_calendar};
use twinscale_inputs::logs::{
    LogFault, LogFormat, LogRates, LogRatesOptions, LogReader, LogReaderOptions,
};
use twinscale_inputs::templates::TemplateText;
use twinscale_protocol::{DomainTime, EventKind, Seconds, VmTypeId};

/// 2023-11-14T22:13:20Z.
const NOW: DomainTime = DomainTime(1_700_000_000);

fn check(file: &[u8], format: LogFormat, records: u64, faults: &[LogFault], errors: i64) {
    let mut reader = LogReader::new(&LogReaderOptions { format, zone: None }).expect("no zone");
    let options = LogRatesOptions {
        vm_type: VmTypeId::new("web").expect("an id"),
        interval: Seconds(300),
        lateness: Seconds(900),
        top_templates: 16,
        text: TemplateText::Kept,
    };
    let secret = InputSecret::take(&mut [1; 32]);
    let mut rates = LogRates::new(options, &secret).expect("valid");
    reader.feed(file, NOW, &mut |record| {
        rates.observe(&record, NOW).expect("in time");
    });
    assert_eq!(reader.record_count(), records);
    let found: Vec<LogFault> = reader.faults().iter().map(|(fault, _)| fault).collect();
    assert_eq!(found, faults);
    let samples = rates.take_all();
    let of_errors = samples
        .iter()
        .filter(|sample| sample.series.metric.as_str() == "log_error");
    let counted: i64 = of_errors.map(|sample| sample.value.0 / 1_000_000).sum();
    assert_eq!(counted, errors);
}

#[test]
fn logs_of_every_format() {
    let json = include_bytes!("data/shop.json.log");
    check(json, LogFormat::JsonLines, 4, &[LogFault::NoTime], 1);
    let syslog = include_bytes!("data/shop.syslog5424.log");
    check(syslog, LogFormat::Syslog5424, 2, &[LogFault::NoTime], 1);
    check(
        include_bytes!("data/shop.syslog3164.log"),
        LogFormat::Syslog3164,
        2,
        &[],
        0,
    );
    check(
        include_bytes!("data/shop.logfmt.log"),
        LogFormat::Logfmt,
        2,
        &[],
        0,
    );
}

#[test]
fn a_calendar_with_zones_rules_and_a_cancelled_event() {
    let options = CalendarOptions {
        zone: "Europe/Berlin".to_owned(),
        from: DomainTime(1_693_526_400),
        until: DomainTime(1_709_251_200),
        import_time: NOW,
        known: KnownFrom::LastChange,
        names: EventNames::Summary,
    };
    let calendar = read_calendar(include_bytes!("data/shop.ics"), &options).expect("a calendar");
    assert!(calendar.faults.is_empty(), "{:?}", calendar.faults);
    let found: Vec<(EventKind, &str)> = calendar
        .events
        .iter()
        .map(|held| (held.event.kind, held.event.name.as_str()))
        .collect();
    // September to February without January, which is excepted.
    let release = (EventKind::Release, "Monthly release");
    let wanted = [
        release,
        (EventKind::Holiday, "German Unity Day"),
        release,
        release,
        (EventKind::Campaign, "Black Friday, all shops"),
        release,
        release,
    ];
    assert_eq!(found, wanted);
    assert_eq!(calendar.cancelled, 1);
    let sale = &calendar.events[4];
    assert_eq!(sale.magnitude, Some(2.5));
    // 08:00 in Berlin, for three days and a half; known since the 15th of September.
    assert_eq!(sale.event.start, DomainTime(1_700_809_200));
    assert_eq!(sale.event.end.seconds_since(sale.event.start), 84 * 3_600);
    assert_eq!(sale.event.known_from, DomainTime(1_694_764_800));
}
