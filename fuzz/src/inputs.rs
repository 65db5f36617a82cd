//! Readers of what a customer's systems emit: logs, calendars, and the states that counting them leaves.

use crc32fast::hash;
use twinscale_inputs::InputSecret;
use twinscale_inputs::activity::{Activity, ActivityOptions};
use twinscale_inputs::calendar::{
    CalendarOptions, EVENTS_MAX, EventNames, KnownFrom, NAME_BYTES_MAX, read_calendar,
};
use twinscale_inputs::logs::{LogFormat, LogRates, LogRatesOptions, LogReader, LogReaderOptions};
use twinscale_inputs::templates::{TemplateMiner, TemplateText};
use twinscale_protocol::envelope::{ENVELOPE_VERSION, MAGIC};
use twinscale_protocol::{DomainTime, Seconds, VmTypeId};

/// 2023-11-14T22:13:20Z.
const NOW: DomainTime = DomainTime(1_700_000_000);

fn secret() -> InputSecret {
    InputSecret::take(&mut [1; 32])
}

fn log_options() -> LogRatesOptions {
    LogRatesOptions {
        vm_type: VmTypeId::new("web").expect("an id"),
        interval: Seconds(300),
        lateness: Seconds(300),
        top_templates: 4,
        text: TemplateText::Kept,
    }
}

/// Every line is counted once: in a sample, as late or ahead, or by its fault; the state goes on as it was.
pub fn log_lines(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let format = match first % 4 {
        0 => LogFormat::JsonLines,
        1 => LogFormat::Syslog5424,
        2 => LogFormat::Syslog3164,
        _ => LogFormat::Logfmt,
    };
    let zone = (first % 8 >= 4).then(|| "Europe/Berlin".to_owned());
    let mut reader = LogReader::new(&LogReaderOptions { format, zone }).expect("a known zone");
    let mut rates = LogRates::new(log_options(), &secret()).expect("valid");
    let mut refused = 0;
    let mut take = |record: twinscale_inputs::logs::LogRecord<'_>| {
        refused += u64::from(rates.observe(&record, NOW).is_err());
    };
    for piece in bytes.chunks(100) {
        reader.feed(piece, NOW, &mut take);
    }
    reader.finish(NOW, &mut take);
    assert_eq!(refused, rates.late() + rates.out_of_range());
    let state = rates.to_bytes().expect("within its limits");
    let mut again = LogRates::from_bytes(&state, log_options(), &secret()).expect("its own");
    let samples = rates.take_all();
    assert_eq!(again.take_all(), samples);
    let of_severities = samples.iter().filter(|sample| {
        let name = sample.series.metric.as_str();
        name.starts_with("log_") && !name.starts_with("log_template_")
    });
    let counted: i64 = of_severities.map(|sample| sample.value.0 / 1_000_000).sum();
    assert_eq!(
        u64::try_from(counted).expect("counts") + refused,
        reader.record_count()
    );
}

/// Events of a calendar keep the rules of a twin; a bad one never fails the others.
pub fn calendar_ics(bytes: &[u8]) {
    let options = CalendarOptions {
        zone: "Europe/Berlin".to_owned(),
        from: NOW.minus(Seconds(400 * 86_400)),
        until: NOW.plus(Seconds(400 * 86_400)),
        import_time: NOW,
        known: KnownFrom::LastChange,
        names: EventNames::Summary,
    };
    match read_calendar(bytes, &options) {
        Ok(calendar) => {
            assert!(calendar.events.len() <= EVENTS_MAX);
            for held in &calendar.events {
                assert!(held.event.end > held.event.start);
                assert!(held.event.name.len() <= NAME_BYTES_MAX && !held.event.name.is_empty());
                assert!(held.event.end > options.from && held.event.start < options.until);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A state that is read is one that this program would write.
pub fn inputs_state(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else {
        return;
    };
    let kind = 0x0900 + u16::from(first % 3);
    let length = u32::try_from(body.len()).expect("short");
    let mut sealed = MAGIC.to_vec();
    sealed.extend_from_slice(&ENVELOPE_VERSION.to_le_bytes());
    sealed.extend_from_slice(&kind.to_le_bytes());
    sealed.extend_from_slice(&length.to_le_bytes());
    sealed.extend_from_slice(&hash(body).to_le_bytes());
    sealed.extend_from_slice(body);
    if let Ok(mut miner) = TemplateMiner::from_bytes(&sealed, &secret(), TemplateText::Kept) {
        let again = miner.to_bytes().expect("within its limits");
        assert!(TemplateMiner::from_bytes(&again, &secret(), TemplateText::Kept).is_ok());
        for line in ["a b c", "a 1 c", "", "x y"].repeat(20) {
            miner.observe(line);
        }
    }
    if let Ok(mut rates) = LogRates::from_bytes(&sealed, log_options(), &secret()) {
        rates.take_idle(NOW);
        rates.take_all();
    }
    if let Ok(mut activity) = Activity::from_bytes(&sealed, activity_options(), secret()) {
        let again = activity.to_bytes().expect("within its limits");
        assert!(Activity::from_bytes(&again, activity_options(), secret()).is_ok());
        activity.take_all();
    }
}

fn activity_options() -> ActivityOptions {
    ActivityOptions {
        vm_type: VmTypeId::new("web").expect("an id"),
        interval: Seconds(3_600),
        lateness: Seconds(3_600),
        threshold: 10,
        cohorts: vec!["free".to_owned(), "paid".to_owned()],
        actions: vec!["login".to_owned()],
        noise: None,
    }
}

/// Sealed states without their header and with the number of their kind in front, to begin from.
pub fn state_seeds() -> [(&'static str, Vec<u8>); 3] {
    let mut rates = LogRates::new(log_options(), &secret()).expect("valid");
    let mut activity = Activity::new(activity_options(), secret()).expect("valid");
    let mut miner = TemplateMiner::new(&secret(), TemplateText::Kept);
    for number in 0..30_u8 {
        let message = format!("request {number} failed badly");
        miner.observe(&message);
        let record = twinscale_inputs::logs::LogRecord {
            at: NOW,
            severity: twinscale_inputs::logs::Severity::Error,
            service: None,
            message: message.as_str().into(),
        };
        rates.observe(&record, NOW).expect("in time");
        let event = twinscale_inputs::activity::ActivityEvent {
            at: NOW,
            user: &[number],
            cohort: Some("free"),
            action: Some("login"),
        };
        activity.observe(&event, NOW).expect("in time");
    }
    let seed = |kind: u8, sealed: Vec<u8>| {
        let body = sealed.get(16..).unwrap_or_default();
        [&[kind], body].concat()
    };
    [
        ("miner", seed(0, miner.to_bytes().expect("small"))),
        ("rates", seed(1, rates.to_bytes().expect("small"))),
        ("activity", seed(2, activity.to_bytes().expect("small"))),
    ]
}
