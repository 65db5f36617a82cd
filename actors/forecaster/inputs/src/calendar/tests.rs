use super::*;
use proptest::prelude::*;
use twinscale_protocol::EventKind;

/// 2024-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_704_067_200;
const DAY: i64 = 86_400;

fn options() -> CalendarOptions {
    CalendarOptions {
        zone: "Europe/Berlin".to_owned(),
        from: DomainTime(NEW_YEAR),
        until: DomainTime(NEW_YEAR + 366 * DAY),
        import_time: DomainTime(NEW_YEAR + 1_000),
        known: KnownFrom::LastChange,
        names: EventNames::Summary,
    }
}

fn calendar(body: &str) -> Calendar {
    let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{body}\r\nEND:VCALENDAR\r\n");
    read_calendar(text.as_bytes(), &options()).expect("a calendar")
}

fn event(lines: &str) -> String {
    format!("BEGIN:VEVENT\r\n{lines}\r\nEND:VEVENT")
}

/// Starts in UTC of all events, without the year, such as `03-31 01:00`.
fn starts(calendar: &Calendar) -> Vec<String> {
    let text = |event: &CalendarEvent| {
        let at = jiff::Timestamp::from_second(event.event.start.0).expect("in range");
        at.strftime("%m-%d %H:%M").to_string()
    };
    calendar.events.iter().map(text).collect()
}

fn check(lines: &str, wanted: &[&str]) {
    let calendar = calendar(&event(lines));
    assert!(calendar.faults.is_empty(), "{lines}: {:?}", calendar.faults);
    assert_eq!(starts(&calendar), wanted, "{lines}");
}

fn check_fault(lines: &str, wanted: CalendarFault) {
    let calendar = calendar(&event(lines));
    assert_eq!(
        calendar.faults.count(wanted),
        1,
        "{lines}: {:?}",
        calendar.faults
    );
}

#[test]
fn an_event_with_all_its_properties() {
    let lines = "UID:1\r\nDTSTAMP:20240101T000000Z\r\nCREATED:20231201T000000Z\r\nLAST-MODIFIED:20240102T000000Z\r\n\
         DTSTART;TZID=Europe/Berlin:20240311T080000\r\nDTEND;TZID=Europe/Berlin:20240311T200000\r\n\
         SUMMARY:Spring sale\\, all\r\nCATEGORIES:Shop,Sale\r\nX-TWINSCALE-MAGNITUDE:2.5\r\n\
         X-TWINSCALE-SERIES:web/requests\r\nBEGIN:VALARM\r\nDURATION:PT1H\r\nEND:VALARM";
    let calendar = calendar(&event(lines));
    assert!(calendar.faults.is_empty(), "{:?}", calendar.faults);
    let CalendarEvent { event, magnitude } = &calendar.events[0];
    assert_eq!(
        (event.kind, event.name.as_str()),
        (EventKind::Campaign, "Spring sale, all")
    );
    assert_eq!(event.start, DomainTime(NEW_YEAR + 70 * DAY + 7 * 3_600));
    assert_eq!(event.end.seconds_since(event.start), 12 * 3_600);
    assert_eq!(event.known_from, DomainTime(NEW_YEAR + DAY));
    assert_eq!(*magnitude, Some(2.5));
    assert_eq!(
        event.series.as_ref().map(ToString::to_string).as_deref(),
        Some("web/requests")
    );
    let import = CalendarOptions {
        known: KnownFrom::ImportTime,
        names: EventNames::KindOnly,
        ..options()
    };
    let text = format!("BEGIN:VCALENDAR\n{}\nEND:VCALENDAR", tests::event(lines));
    let again = read_calendar(text.as_bytes(), &import)
        .expect("a calendar")
        .events[0]
        .event
        .clone();
    assert_eq!(
        (again.known_from, again.name.as_str()),
        (import.import_time, "campaign")
    );
}

#[test]
fn whole_days_are_of_the_zone_and_ends_have_defaults() {
    let days = |lines: &str| {
        let calendar = calendar(&event(lines));
        let event = &calendar.events[0].event;
        (
            event.start.0 - NEW_YEAR,
            event.end.seconds_since(event.start),
        )
    };
    // The day of the change to summer time has 23 hours.
    assert_eq!(
        days("DTSTART;VALUE=DATE:20240331"),
        (90 * DAY - 3_600, 23 * 3_600)
    );
    assert_eq!(
        days("DTSTART:20240102\r\nDTEND:20240105"),
        (DAY - 3_600, 3 * DAY)
    );
    assert_eq!(
        days("DTSTART:20240102T000000Z\r\nDURATION:P1DT1H"),
        (DAY, DAY + 3_600)
    );
    assert_eq!(
        days("DTSTART:20240102T000000Z\r\nX-TWINSCALE-KIND:release"),
        (DAY, 4 * 3_600)
    );
    assert_eq!(days("DTSTART:20240102T000000Z"), (DAY, 3_600));
}

#[test]
fn rules_of_the_standard_expand() {
    check(
        "DTSTART:20240101T090000Z\r\nRRULE:FREQ=DAILY;COUNT=3;INTERVAL=2",
        &["01-01 09:00", "01-03 09:00", "01-05 09:00"],
    );
    check(
        "DTSTART:20240102T090000Z\r\nRRULE:FREQ=WEEKLY;BYDAY=TU,TH;UNTIL=20240109T090000Z",
        &["01-02 09:00", "01-04 09:00", "01-09 09:00"],
    );
    check(
        "DTSTART:20240131T090000Z\r\nRRULE:FREQ=MONTHLY;COUNT=3",
        &["01-31 09:00", "03-31 09:00", "05-31 09:00"],
    );
    check(
        "DTSTART:20240131T090000Z\r\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2",
        &["01-31 09:00", "02-29 09:00"],
    );
    check(
        "DTSTART:20240105T090000Z\r\nRRULE:FREQ=MONTHLY;BYDAY=1FR,-1FR;COUNT=4",
        &["01-05 09:00", "01-26 09:00", "02-02 09:00", "02-23 09:00"],
    );
    check(
        "DTSTART:20240131T090000Z\r\nRRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=3",
        &["01-31 09:00", "02-29 09:00", "03-29 09:00"],
    );
    check(
        "DTSTART:20231128T090000Z\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;COUNT=2",
        &["11-28 09:00"],
    );
    check(
        "DTSTART:20200229T090000Z\r\nRRULE:FREQ=YEARLY",
        &["02-29 09:00"],
    );
    check(
        "DTSTART:20240101T090000Z\r\nRRULE:FREQ=YEARLY;BYDAY=20MO;COUNT=1",
        &["05-13 09:00"],
    );
    // Section 3.8.5.3 of the RFC: how WKST matters.
    check(
        "DTSTART:20240102T090000Z\r\nRRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        &["01-02 09:00", "01-07 09:00", "01-16 09:00", "01-21 09:00"],
    );
    check(
        "DTSTART:20240102T090000Z\r\nRRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        &["01-02 09:00", "01-14 09:00", "01-16 09:00", "01-28 09:00"],
    );
    // Friday the 13th.
    check(
        "DTSTART:20240101T090000Z\r\nRRULE:FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        &["09-13 09:00", "12-13 09:00"],
    );
}

#[test]
fn a_rule_keeps_local_time_over_the_change_of_the_clock() {
    check(
        "DTSTART;TZID=Europe/Berlin:20240330T090000\r\nRRULE:FREQ=DAILY;COUNT=2",
        &["03-30 08:00", "03-31 07:00"],
    );
    // 02:30 is skipped on that day, and is read as 03:30.
    check(
        "DTSTART;TZID=Europe/Berlin:20240331T023000",
        &["03-31 01:30"],
    );
}

#[test]
fn exceptions_additions_and_occurrences_said_apart() {
    check(
        "DTSTART:20240101T090000Z\r\nRRULE:FREQ=DAILY;COUNT=4\r\nEXDATE:20240102T090000Z,20240103T090000Z\r\n\
         RDATE:20240120T090000Z",
        &["01-01 09:00", "01-04 09:00", "01-20 09:00"],
    );
    let base = event("UID:a\r\nDTSTART:20240101T090000Z\r\nRRULE:FREQ=DAILY;COUNT=3");
    let moved = event("UID:a\r\nRECURRENCE-ID:20240102T090000Z\r\nDTSTART:20240102T150000Z");
    let gone = event(
        "UID:a\r\nRECURRENCE-ID:20240103T090000Z\r\nDTSTART:20240103T090000Z\r\nSTATUS:CANCELLED",
    );
    let calendar = calendar(&[base, moved, gone].join("\r\n"));
    assert_eq!(starts(&calendar), ["01-01 09:00", "01-02 15:00"]);
    assert_eq!(calendar.cancelled, 1);
}

#[test]
fn the_highest_sequence_counts_wherever_it_stands() {
    let of = |sequence: u32, day: u32, more: &str| {
        event(&format!(
            "UID:a\r\nSEQUENCE:{sequence}\r\nDTSTART:202401{day:02}T000000Z{more}"
        ))
    };
    let newer_last = calendar(&[of(1, 5, ""), of(2, 6, "")].join("\r\n"));
    assert_eq!(starts(&newer_last), ["01-06 00:00"]);
    let newer_first = calendar(&[of(2, 6, ""), of(1, 5, "")].join("\r\n"));
    assert_eq!(
        (starts(&newer_first), newer_first.replaced),
        (vec!["01-06 00:00".to_owned()], 1)
    );
    let cancelled = calendar(&[of(1, 5, ""), of(2, 5, "\r\nSTATUS:CANCELLED")].join("\r\n"));
    assert_eq!((cancelled.events.len(), cancelled.cancelled), (0, 1));
}

const OFFICE: &str = "BEGIN:VTIMEZONE\r\nTZID:W. Europe Standard Time\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\n\
    TZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r\nEND:STANDARD\r\n\
    BEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n\
    RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE";

#[test]
fn zones_of_the_file_are_used_where_the_name_is_none_of_ianas() {
    let body = |zone: &str, definition: &str| {
        let event = event(&format!(
            "DTSTART;TZID={zone}:20240330T120000\r\nRRULE:FREQ=DAILY;COUNT=2"
        ));
        calendar(&format!("{definition}\r\n{event}"))
    };
    let office = body("W. Europe Standard Time", OFFICE);
    assert_eq!(
        starts(&office),
        ["03-30 11:00", "03-31 10:00"],
        "{:?}",
        office.faults
    );
    let prefixed = body("/vendor.example/20240101_1/America/New_York", "");
    assert_eq!(starts(&prefixed), ["03-30 16:00", "03-31 16:00"]);
    let fixed = OFFICE
        .replace("W. Europe Standard Time", "Mine")
        .replace("+0200", "+0100");
    assert_eq!(
        starts(&body("Mine", &fixed)),
        ["03-30 11:00", "03-31 11:00"]
    );
    let strange = OFFICE
        .replace("W. Europe Standard Time", "Mine")
        .replace("YEARLY;BYMONTH=3", "WEEKLY;COUNT=3");
    assert_eq!(
        body("Mine", &strange)
            .faults
            .count(CalendarFault::ZoneRules),
        1
    );
    assert_eq!(
        body("Nowhere", "").faults.count(CalendarFault::UnknownZone),
        1
    );
}

#[test]
fn a_bad_event_leaves_out_itself_alone() {
    check_fault("SUMMARY:x", CalendarFault::NoStart);
    check_fault("DTSTART:20230229", CalendarFault::BadTime);
    check_fault(
        "DTSTART:20240102T000000Z\r\nDTEND:20240101T000000Z",
        CalendarFault::BadEnd,
    );
    check_fault(
        "DTSTART:20240102T000000Z\r\nDURATION:-PT1H",
        CalendarFault::BadEnd,
    );
    check_fault(
        "DTSTART:20240102T000000Z\r\nRRULE:FREQ=HOURLY",
        CalendarFault::UnsupportedRule,
    );
    check_fault(
        "DTSTART:20240102T000000Z\r\nRRULE:FREQ=DAILY;BYHOUR=9",
        CalendarFault::UnsupportedRule,
    );
    check_fault(
        "DTSTART:20240102T000000Z\r\nRRULE:FREQ=DAILY;COUNT=0",
        CalendarFault::BadRule,
    );
    check_fault(
        "DTSTART:20240102T000000Z\r\nX-TWINSCALE-KIND:party",
        CalendarFault::UnknownKind,
    );
    check_fault(
        "DTSTART:20240102T000000Z\r\nX-TWINSCALE-MAGNITUDE:NaN",
        CalendarFault::BadMagnitude,
    );
    let mixed = calendar(&[event("SUMMARY:x"), event("DTSTART:20240102T000000Z")].join("\r\n"));
    assert_eq!(starts(&mixed), ["01-02 00:00"]);
    let (_, noted) = mixed.faults.iter().next().expect("one");
    assert_eq!(noted.first_place, 3);
    assert_eq!(
        read_calendar(b"hello", &options()),
        Err(CalendarError::NotACalendar)
    );
}

#[test]
fn rules_without_end_are_bounded() {
    let wide = CalendarOptions {
        until: DomainTime(NEW_YEAR + 3_000 * 366 * DAY),
        ..options()
    };
    let daily = event("UID:a\r\nDTSTART:20240101T000000Z\r\nRRULE:FREQ=DAILY");
    let text = format!("BEGIN:VCALENDAR\r\n{daily}\r\nEND:VCALENDAR");
    let read = read_calendar(text.as_bytes(), &wide).expect("a calendar");
    assert_eq!(read.events.len(), OCCURRENCES_MAX);
    assert_eq!(read.faults.count(CalendarFault::TooManyOccurrences), 1);
    // Rules that never come: each looks at all days until 9999, and the budget of the file ends.
    let never: String = (0..20)
        .map(|uid| {
            event(&format!(
                "UID:{uid}\r\nDTSTART:20240101T000000Z\r\nRRULE:FREQ=YEARLY;BYDAY=MO;BYSETPOS=60"
            ))
        })
        .collect::<Vec<_>>()
        .join("\r\n");
    let far = CalendarOptions {
        until: DomainTime(NEW_YEAR + 7_900 * 365 * DAY),
        ..options()
    };
    let text = format!("BEGIN:VCALENDAR\r\n{never}\r\nEND:VCALENDAR");
    let read = read_calendar(text.as_bytes(), &far).expect("a calendar");
    assert!(
        read.events.is_empty() && read.faults.count(CalendarFault::TooMuchWork) > 0,
        "{:?}",
        read.faults
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = [b"BEGIN:VCALENDAR\nBEGIN:VEVENT\n".as_slice(), &bytes].concat();
        let read = read_calendar(&text, &options()).expect("it begins");
        prop_assert!(read.events.len() <= EVENTS_MAX);
    }

    #[test]
    fn occurrences_are_in_order_in_the_window_and_as_long_as_the_event(
        frequency in prop_oneof![Just("DAILY"), Just("WEEKLY"), Just("MONTHLY"), Just("YEARLY")],
        interval in 1_u32..40,
        day in 1_u32..29,
        hours in 1_i64..200,
        zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Asia/Kolkata")],
    ) {
        let lines = format!(
            "DTSTART;TZID={zone}:202302{day:02}T023000\r\nDURATION:PT{hours}H\r\nRRULE:FREQ={frequency};INTERVAL={interval}"
        );
        let calendar = calendar(&event(&lines));
        prop_assert!(calendar.faults.is_empty());
        let events: Vec<&Event> = calendar.events.iter().map(|held| &held.event).collect();
        prop_assert!(events.is_sorted_by(|one, other| one.start < other.start));
        for event in events {
            prop_assert_eq!(event.end.seconds_since(event.start), hours * 3_600);
            prop_assert!(event.end > options().from && event.start < options().until);
        }
    }
}
