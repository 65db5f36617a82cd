//! One `VEVENT`, from its lines to what the twin stores.

use super::line::ContentLine;
use super::rule::Rule;
use super::value::{Length, Moment, Zones, length_of};
use super::{CalendarFault, CalendarOptions, EventNames, KnownFrom};
use jiff::ToSpan as _;
use jiff::civil::Date;
use std::collections::BTreeSet;
use twinscale_protocol::{DomainTime, Event, EventKind, MetricName, SeriesKey, VmTypeId};

/// Longest name of an event, in bytes, as a twin takes it.
pub const NAME_BYTES_MAX: usize = 256;

/// Longest identifier of an event that is told apart, in bytes.
const UID_BYTES_MAX: usize = 255;

/// Most times in the lists of exceptions and additions of one event.
const LISTED_TIMES_MAX: usize = 1_024;

/// Largest magnitude.
const MAGNITUDE_MAX: f64 = 1e6;

/// Categories that are another word for a kind.
const SYNONYMS: &[(&str, EventKind)] = &[
    ("bank holiday", EventKind::Holiday),
    ("holidays", EventKind::Holiday),
    ("public holiday", EventKind::Holiday),
    ("marketing", EventKind::Campaign),
    ("promotion", EventKind::Campaign),
    ("sale", EventKind::Campaign),
    ("deployment", EventKind::Release),
    ("launch", EventKind::Release),
    ("product_event", EventKind::Release),
    ("pricing", EventKind::PriceChange),
    ("price change", EventKind::PriceChange),
    ("outage", EventKind::Incident),
];

/// An event as its file says it.
#[derive(Clone, Debug)]
pub(super) struct RawEvent {
    pub(super) line: u64,
    pub(super) uid: String,
    pub(super) sequence: u64,
    pub(super) recurrence: Option<Moment>,
    pub(super) is_cancelled: bool,
    /// The newest of `DTSTAMP`, `CREATED` and `LAST-MODIFIED`.
    pub(super) changed: Option<DomainTime>,
    start: Moment,
    end: Option<Moment>,
    length: Option<Length>,
    pub(super) rule: Option<Rule>,
    pub(super) exceptions: Vec<Moment>,
    pub(super) additions: Vec<Moment>,
    kind: EventKind,
    name: String,
    pub(super) magnitude: Option<f64>,
    series: Option<SeriesKey>,
}

/// Why an event is left out, with the line that it is because of.
pub(super) type Refusal = (CalendarFault, ContentLine);

/// Reads the lines of an event. A fault that leaves the event usable goes to `note`.
pub(super) fn read(
    first: &ContentLine,
    lines: &[ContentLine],
    zones: &Zones,
    note: &mut impl FnMut(CalendarFault, &ContentLine),
) -> Result<RawEvent, Refusal> {
    let line_of = |name: &str| lines.iter().find(|line| line.name == name);
    let moment_of = |name: &str| -> Result<Option<Moment>, Refusal> {
        let read = |line: &ContentLine| zones.moment(line).map_err(|fault| (fault, line.clone()));
        line_of(name).map(read).transpose()
    };
    let moments_of = |name: &str| -> Result<Vec<Moment>, Refusal> {
        let mut all = Vec::new();
        for line in lines.iter().filter(|line| line.name == name) {
            all.extend(zones.moments(line).map_err(|fault| (fault, line.clone()))?);
            if all.len() > LISTED_TIMES_MAX {
                return Err((CalendarFault::TooManyTimes, line.clone()));
            }
        }
        Ok(all)
    };
    let start = moment_of("DTSTART")?.ok_or((CalendarFault::NoStart, first.clone()))?;
    let rule = line_of("RRULE")
        .map(|line| Rule::parse(&line.value).map_err(|fault| (fault, line.clone())));
    let length = line_of("DURATION")
        .map(|line| length_of(&line.value).ok_or((CalendarFault::BadEnd, line.clone())));
    if let Some(line) = line_of("RECURRENCE-ID")
        && line.parameter("RANGE").is_some()
    {
        return Err((CalendarFault::UnsupportedRule, line.clone()));
    }
    // A second rule, or one that excludes, would otherwise be dropped in silence.
    let rules = lines.iter().filter(|line| line.name == "RRULE").skip(1);
    if let Some(line) = rules
        .chain(lines.iter().filter(|line| line.name == "EXRULE"))
        .next()
    {
        return Err((CalendarFault::UnsupportedRule, line.clone()));
    }
    let stamps = ["DTSTAMP", "CREATED", "LAST-MODIFIED"]
        .into_iter()
        .filter_map(line_of);
    let changed = stamps
        .filter_map(|line| zones.moment(line).ok()?.at().ok())
        .max();
    let kind = kind_of(lines, note);
    let sequence = line_of("SEQUENCE").and_then(|line| line.value.trim().parse().ok());
    Ok(RawEvent {
        line: first.number,
        uid: uid_of(line_of("UID"), first.number),
        sequence: sequence.unwrap_or(0),
        recurrence: moment_of("RECURRENCE-ID")?,
        is_cancelled: line_of("STATUS")
            .is_some_and(|line| line.value.trim().eq_ignore_ascii_case("CANCELLED")),
        changed,
        start,
        end: moment_of("DTEND")?,
        length: length.transpose()?,
        rule: rule.transpose()?,
        exceptions: moments_of("EXDATE")?,
        additions: moments_of("RDATE")?,
        kind,
        name: line_of("SUMMARY")
            .map(|line| name_of(&line.text()))
            .unwrap_or_default(),
        magnitude: magnitude_of(line_of("X-TWINSCALE-MAGNITUDE"), note),
        series: series_of(line_of("X-TWINSCALE-SERIES"), note),
    })
}

impl RawEvent {
    /// Starts of all occurrences that could touch the window.
    pub(super) fn starts(
        &self,
        options: &CalendarOptions,
        work: &mut u64,
    ) -> Result<(Vec<Moment>, bool), CalendarFault> {
        let length_s = self.end_of(&self.start)?.seconds_since(self.start.at()?);
        let from = DomainTime(options.from.0.saturating_sub(length_s));
        let (mut starts, is_cut) = match &self.rule {
            Some(rule) => {
                let found = rule.occurrences(&self.start, from, options.until, work)?;
                (found.moments, found.is_cut)
            }
            None => (vec![self.start.clone()], false),
        };
        starts.extend(self.additions.iter().cloned());
        let exceptions: BTreeSet<DomainTime> = self
            .exceptions
            .iter()
            .filter(|moment| !moment.is_date)
            .filter_map(|moment| moment.at().ok())
            .collect();
        let dates: BTreeSet<Date> = self
            .exceptions
            .iter()
            .filter(|moment| moment.is_date)
            .map(|moment| moment.local.date())
            .collect();
        let mut seen = BTreeSet::new();
        starts.retain(|start| {
            let at = start.at().unwrap_or_default();
            !exceptions.contains(&at) && !dates.contains(&start.local.date()) && seen.insert(at)
        });
        Ok((starts, is_cut))
    }

    /// The event of one occurrence.
    pub(super) fn occurrence(
        &self,
        start: &Moment,
        options: &CalendarOptions,
    ) -> Result<Event, CalendarFault> {
        let known = match options.known {
            KnownFrom::LastChange => self.changed.unwrap_or(options.import_time),
            KnownFrom::ImportTime => options.import_time,
        };
        let name = match options.names {
            EventNames::Summary if !self.name.is_empty() => self.name.clone(),
            EventNames::Summary | EventNames::KindOnly => kind_name(self.kind).to_owned(),
        };
        Ok(Event {
            kind: self.kind,
            name,
            start: start.at()?,
            end: self.end_of(start)?,
            known_from: known,
            series: self.series.clone(),
        })
    }

    /// The end of the occurrence that starts then: as far from it as the event's own end, in calendar days and hours.
    fn end_of(&self, start: &Moment) -> Result<DomainTime, CalendarFault> {
        let begins = start.at()?;
        let end = if let Some(end) = &self.end {
            if self.start.is_date {
                let days = (end.local.date() - self.start.local.date()).get_days();
                shifted(start, days)?
            } else {
                let length_s = end.at()?.seconds_since(self.start.at()?);
                DomainTime(begins.0.saturating_add(length_s))
            }
        } else if let Some(length) = self.length {
            DomainTime(
                shifted(start, length.days)?
                    .0
                    .saturating_add(length.seconds),
            )
        } else if self.start.is_date {
            shifted(start, 1)?
        } else {
            DomainTime(begins.0.saturating_add(default_length_s(self.kind)))
        };
        if end <= begins {
            return Err(CalendarFault::BadEnd);
        }
        Ok(end)
    }
}

fn shifted(start: &Moment, days: i32) -> Result<DomainTime, CalendarFault> {
    let local = start.local.checked_add(days.days());
    start
        .at_local(local.map_err(|_beyond| CalendarFault::BadTime)?)
        .at()
}

/// How long an event lasts that says neither end nor duration, and is no whole day.
pub(super) const fn default_length_s(kind: EventKind) -> i64 {
    match kind {
        EventKind::Holiday | EventKind::Campaign | EventKind::Earnings | EventKind::PriceChange => {
            86_400
        }
        EventKind::Season => 30 * 86_400,
        EventKind::Release => 4 * 3_600,
        EventKind::Incident | EventKind::Other => 3_600,
    }
}

const fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Holiday => "holiday",
        EventKind::Campaign => "campaign",
        EventKind::Release => "release",
        EventKind::Earnings => "earnings",
        EventKind::Season => "season",
        EventKind::PriceChange => "price_change",
        EventKind::Other => "other",
        EventKind::Incident => "incident",
    }
}

const KINDS: [EventKind; 8] = [
    EventKind::Holiday,
    EventKind::Campaign,
    EventKind::Release,
    EventKind::Earnings,
    EventKind::Season,
    EventKind::PriceChange,
    EventKind::Other,
    EventKind::Incident,
];

fn kind_of_word(word: &str) -> Option<EventKind> {
    let named = KINDS.into_iter().map(|kind| (kind_name(kind), kind));
    let mut all = named.chain(SYNONYMS.iter().copied());
    all.find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, kind)| kind)
}

fn kind_of(lines: &[ContentLine], note: &mut impl FnMut(CalendarFault, &ContentLine)) -> EventKind {
    if let Some(line) = lines.iter().find(|line| line.name == "X-TWINSCALE-KIND") {
        return kind_of_word(line.text().trim()).unwrap_or_else(|| {
            note(CalendarFault::UnknownKind, line);
            EventKind::Other
        });
    }
    let categories = lines.iter().filter(|line| line.name == "CATEGORIES");
    let mut words = categories.flat_map(ContentLine::texts);
    words
        .find_map(|word| kind_of_word(&word))
        .unwrap_or(EventKind::Other)
}

/// Events without an identifier are each their own.
fn uid_of(line: Option<&ContentLine>, number: u64) -> String {
    let uid = line
        .map(|line| line.value.trim())
        .filter(|uid| !uid.is_empty());
    uid.map_or_else(
        || format!("\u{0}{number}"),
        |uid| cut(uid, UID_BYTES_MAX).to_owned(),
    )
}

fn name_of(text: &str) -> String {
    let plain: String = text
        .trim()
        .chars()
        .map(|sign| if sign.is_control() { ' ' } else { sign })
        .collect();
    cut(&plain, NAME_BYTES_MAX).to_owned()
}

fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or(text)
}

fn magnitude_of(
    line: Option<&ContentLine>,
    note: &mut impl FnMut(CalendarFault, &ContentLine),
) -> Option<f64> {
    let line = line?;
    let read: Option<f64> = line.value.trim().parse().ok();
    let sound = read.filter(|magnitude| (0.0..=MAGNITUDE_MAX).contains(magnitude));
    if sound.is_none() {
        note(CalendarFault::BadMagnitude, line);
    }
    sound
}

/// Reads `vm_type/metric`.
fn series_of(
    line: Option<&ContentLine>,
    note: &mut impl FnMut(CalendarFault, &ContentLine),
) -> Option<SeriesKey> {
    let line = line?;
    let parts = line.value.trim().split_once('/');
    let key = parts.and_then(|(vm_type, metric)| {
        Some(SeriesKey {
            vm_type: VmTypeId::new(vm_type).ok()?,
            metric: MetricName::new(metric).ok()?,
        })
    });
    if key.is_none() {
        note(CalendarFault::BadSeries, line);
    }
    key
}
