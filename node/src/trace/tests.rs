use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use twinscale_protocol::{
    CustomerId, DomainTime, EventKind, FixedValue, MetricName, Seconds, SeriesKey, VmTypeId,
};

const HEADER: &str = "customer,vm_type,metric,timestamp,value\n";

fn read(text: &str) -> Result<Trace, TraceError> {
    read_with(text.as_bytes(), &TraceOptions::default())
}

fn read_with(bytes: &[u8], options: &TraceOptions) -> Result<Trace, TraceError> {
    read_trace_from(bytes, "t.csv", None, options, &mut |_| {})
}

fn refused(rows: &str) -> String {
    read(&format!("{HEADER}{rows}"))
        .expect_err("refused")
        .to_string()
}

fn customer(name: &str) -> CustomerId {
    CustomerId::new(name).expect("a customer")
}

fn series(vm_type: &str, metric: &str) -> SeriesKey {
    SeriesKey {
        vm_type: VmTypeId::new(vm_type).expect("a VM type"),
        metric: MetricName::new(metric).expect("a metric"),
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("packs");
    encoder.finish().expect("packs")
}

#[test]
fn columns_may_stand_in_any_order_with_more_beside() {
    let text = "\u{feff}value,region,timestamp, Metric ,vm_type,customer\r\n\
                1.5,eu,2023-11-14T22:00:00Z,vm_count,typeB,acme\r\n\
                \"2\",eu,1700002800,vm_count,typeB,acme\r\n";
    let trace = read(text).expect("a trace");
    let series = &trace.customers[&customer("acme")].series[&series("typeB", "vm_count")];
    assert_eq!(series.interval, Seconds(3_600));
    assert_eq!(
        series.samples,
        [
            (DomainTime(1_699_999_200), FixedValue(1_500_000)),
            (DomainTime(1_700_002_800), FixedValue(2_000_000))
        ]
    );
}

#[test]
fn gzip_is_recognised_by_content() {
    let text = format!("{HEADER}acme,a,vm_count,0,1\nacme,a,vm_count,300,2\n");
    let plain = read(&text).expect("plain");
    let options = TraceOptions::default();
    assert_eq!(read_with(&packed(&text), &options).expect("packed"), plain);
    // Two members, one after the other, are one file.
    let mut twice = packed(HEADER);
    twice.extend(packed("acme,a,vm_count,0,1\nacme,a,vm_count,300,2\n"));
    assert_eq!(read_with(&twice, &options).expect("two members"), plain);
}

#[test]
fn a_cut_gzip_file_is_refused() {
    let mut text = HEADER.to_owned();
    for hour in 0..2_000 {
        writeln!(
            text,
            "acme,a,vm_count,{},{}",
            hour * 3_600,
            hour * 7_919 % 97
        )
        .expect("a String");
    }
    let mut bytes = packed(&text);
    bytes.truncate(bytes.len() / 2);
    let error = read_with(&bytes, &TraceOptions::default()).expect_err("cut");
    assert!(
        matches!(error, TraceError::Read { line, .. } if line > 1),
        "{error}"
    );
}

#[test]
fn gaps_stay_gaps_and_repeats_are_counted() {
    let trace = read(&format!(
        "{HEADER}acme,a,vm_count,0,1\nacme,a,vm_count,3600,2\nacme,a,vm_count,14400,5\n\
         acme,a,vm_count,7200,3\nacme,a,vm_count,7200,3\nacme,a,vm_count,3600,9\n"
    ))
    .expect("a trace");
    assert_eq!(trace.counts.rows, 6);
    assert_eq!(trace.counts.repeated, 1);
    assert_eq!(trace.counts.conflicting, 1);
    assert_eq!(trace.counts.disordered, 3);
    let series = &trace.customers[&customer("acme")].series[&series("a", "vm_count")];
    assert_eq!(series.missing_count(), 1);
    let units: Vec<Option<f64>> = series
        .grid(DomainTime(0), DomainTime(18_000))
        .into_iter()
        .map(|value| value.map(FixedValue::units))
        .collect();
    assert_eq!(units, [Some(1.0), Some(9.0), Some(3.0), None, Some(5.0)]);
    assert_eq!(series.value_at(DomainTime(10_800)), None);
    assert_eq!(
        series.value_at(DomainTime(14_400)),
        Some(FixedValue(5_000_000))
    );
}

#[test]
fn times_move_to_the_start_of_their_interval() {
    let trace = read(&format!(
        "{HEADER}acme,a,vm_count,173,1\nacme,a,vm_count,473,2\nacme,a,vm_count,773,3\nacme,a,vm_count,890,4\n"
    ))
    .expect("a trace");
    let series = &trace.customers[&customer("acme")].series[&series("a", "vm_count")];
    assert_eq!(series.interval, Seconds(300));
    let times: Vec<i64> = series.samples.iter().map(|(at, _)| at.0).collect();
    assert_eq!(times, [0, 300, 600]);
    assert_eq!(series.samples[2].1, FixedValue(4_000_000));
    assert_eq!((trace.counts.moved, trace.counts.merged), (4, 1));
}

#[test]
fn samples_come_by_time_then_by_series() {
    let trace = read(&format!(
        "{HEADER}acme,b,vm_count,0,1\nacme,b,vm_count,3600,2\nacme,a,vm_count,0,3\nacme,a,vm_count,3600,4\n"
    ))
    .expect("a trace");
    let order: Vec<String> = trace.customers[&customer("acme")]
        .samples_by_time()
        .iter()
        .map(|sample| format!("{}@{}", sample.series.vm_type, sample.at))
        .collect();
    assert_eq!(order, ["a@0", "b@0", "a@3600", "b@3600"]);
    let span = trace.customers[&customer("acme")].span();
    assert_eq!(span, Some((DomainTime(0), DomainTime(7_200))));
}

#[test]
fn refused_rows_name_place_value_and_remedy() {
    let cases = [
        (
            "acme,a,vm_count,0\n",
            "line 2: the row has 4 fields, the header has 5",
        ),
        (
            "acme,a,vm_cuont,0,1\n",
            "column `metric`: `vm_cuont` is an unknown metric",
        ),
        ("acme,a,vm_count,0,-1\n", "column `value`: `-1` is negative"),
        (
            "acme,a,vm_count,0,NaN\n",
            "column `value`: `NaN` is not finite",
        ),
        (
            "acme,a,vm_count,0,inf\n",
            "column `value`: `inf` is not finite",
        ),
        (
            "acme,a,vm_count,0,1e15\n",
            "column `value`: `1e15` is too large",
        ),
        (
            "acme,a,vm_count,0,1;5\n",
            "column `value`: `1;5` is not a number",
        ),
        ("acme,a,vm_count,0,\n", "column `value`: `` is not a number"),
        (
            "acme,a,vm_count,yesterday,1\n",
            "column `timestamp`: `yesterday` is not a timestamp",
        ),
        (
            "acme,a,vm_count,1700000000000,1\n",
            "are these milliseconds? divide them by 1000",
        ),
        (
            "acme,a,vm_count,-5,1\n",
            "column `timestamp`: `-5` lies before 1970",
        ),
        (
            "Acme Corp,a,vm_count,0,1\n",
            "column `customer`: `Acme Corp` is no customer id",
        ),
        (
            "acme,../a,vm_count,0,1\n",
            "column `vm_type`: `../a` is no VM type",
        ),
    ];
    for (rows, expected) in cases {
        let text = refused(rows);
        assert!(text.starts_with("t.csv, line 2"), "{text}");
        assert!(text.contains(expected), "{text}\nlacks {expected}");
    }
    let known = refused("acme,a,vm_cuont,0,1\n");
    assert!(known.contains("vm_count"), "{known}");
}

#[test]
fn unknown_metrics_can_be_left_out() {
    let options = TraceOptions {
        unknown_metrics: UnknownMetrics::Skip,
        ..TraceOptions::default()
    };
    let text = format!("{HEADER}acme,a,heat,0,-40\nacme,a,vm_count,0,1\nacme,a,heat,60,x\n");
    let trace = read_with(text.as_bytes(), &options).expect("a trace");
    assert_eq!((trace.counts.rows, trace.counts.skipped), (3, 2));
    assert_eq!(trace.sample_count(), 1);
}

#[test]
fn the_line_of_a_late_row_is_right() {
    let mut text = String::new();
    for hour in 0..5_000 {
        writeln!(text, "acme,a,vm_count,{},1", hour * 3_600).expect("a String");
    }
    text.push_str("acme,a,vm_count,oops,1\n");
    let text = refused(&text);
    assert!(text.starts_with("t.csv, line 5002,"), "{text}");
}

#[test]
fn a_clock_that_goes_back_is_refused_past_the_limit() {
    let rows = "acme,a,vm_count,900000,1\nacme,a,vm_count,0,2\n";
    let text = refused(rows);
    assert!(
        text.contains("line 3") && text.contains("900000 s older"),
        "{text}"
    );
    let options = TraceOptions {
        disorder: Disorder::Accept,
        ..TraceOptions::default()
    };
    let trace = read_with(format!("{HEADER}{rows}").as_bytes(), &options).expect("any order");
    assert_eq!(trace.counts.disordered, 1);
    let options = TraceOptions {
        disorder: Disorder::AcceptUpTo(Seconds(900_000)),
        ..TraceOptions::default()
    };
    assert!(read_with(format!("{HEADER}{rows}").as_bytes(), &options).is_ok());
}

#[test]
fn a_vm_type_outside_the_stack_is_refused() {
    let options = TraceOptions {
        known_vm_types: BTreeMap::from([(
            customer("acme"),
            BTreeSet::from([VmTypeId::new("typeA").expect("a VM type")]),
        )]),
        ..TraceOptions::default()
    };
    let fine = format!("{HEADER}acme,typeA,vm_count,0,1\nglobex,typeZ,vm_count,0,1\n");
    read_with(fine.as_bytes(), &options).expect("globex has no stack");
    let text = format!("{HEADER}acme,typeZ,vm_count,0,1\n");
    let error = read_with(text.as_bytes(), &options)
        .expect_err("unknown")
        .to_string();
    assert!(
        error.contains("`typeZ`") && error.contains("the stack names typeA"),
        "{error}"
    );
}

#[test]
fn headers_and_empty_files_are_refused() {
    let error = read("customer,vm_type,metric,time,value\n").expect_err("no timestamp");
    assert!(
        error.to_string().contains("no column `timestamp`"),
        "{error}"
    );
    let error = read("customer,customer,vm_type,metric,timestamp,value\n").expect_err("twice");
    assert!(error.to_string().contains("customer just once"), "{error}");
    assert!(matches!(read(HEADER), Err(TraceError::Empty { .. })));
    assert!(matches!(read(""), Err(TraceError::Header { .. })));
}

#[test]
fn limits_hold() {
    let long = format!("{HEADER}acme,{},vm_count,0,1\n", "x".repeat(10_000));
    let error = read(&long).expect_err("too long");
    assert!(
        matches!(
            error,
            TraceError::LineTooLong {
                limit: 4_096,
                line: 2,
                ..
            }
        ),
        "{error}"
    );
    let options = TraceOptions {
        limits: TraceLimits {
            customers: 2,
            series: 3,
            samples: 5,
            ..TraceLimits::default()
        },
        ..TraceOptions::default()
    };
    let check = |rows: &str, expected: &str| {
        let text = format!("{HEADER}{rows}");
        let error = read_with(text.as_bytes(), &options).expect_err("over the limit");
        assert!(
            matches!(&error, TraceError::TooMany { what, .. } if *what == expected),
            "{error}"
        );
    };
    check(
        "a,x,vm_count,0,1\nb,x,vm_count,0,1\nc,x,vm_count,0,1\n",
        "customers",
    );
    check(
        "a,w,vm_count,0,1\na,x,vm_count,0,1\na,y,vm_count,0,1\na,z,vm_count,0,1\n",
        "series",
    );
    let mut many = String::new();
    for i in 0..6 {
        writeln!(many, "a,x,vm_count,{i},1").expect("a String");
    }
    check(&many, "samples");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut bytes = HEADER.as_bytes().to_vec();
    bytes.extend_from_slice(b"acme,\xff\xfe,vm_count,0,1\n");
    let error = read_with(&bytes, &TraceOptions::default()).expect_err("no UTF-8");
    assert!(error.to_string().contains("is not UTF-8 text"), "{error}");
}

#[test]
fn progress_ends_at_the_whole_file() {
    let text = format!("{HEADER}acme,a,vm_count,0,1\n");
    let mut last = None;
    read_trace_from(
        text.as_bytes(),
        "t.csv",
        Some(text.len() as u64),
        &TraceOptions::default(),
        &mut |progress| last = Some(progress),
    )
    .expect("a trace");
    let last = last.expect("called");
    assert_eq!(Some(last.bytes_read), last.bytes_total);
    assert_eq!(last.rows, 1);
}

#[test]
fn events_of_both_forms_are_read() {
    let text = "dataset,customer_or_series,start,end,kind,name,known_in_advance,source\n\
        d,*,2023-12-25T00:00:00Z,2023-12-26T00:00:00Z,holiday,Christmas Day,yes,x\n\
        d,acme,2023-12-01T00:00:00Z,2023-12-02T00:00:00Z,anomaly_window,Outage,no,x\n\
        d,acme/a/requests,2023-11-01T00:00:00Z,2023-11-02T00:00:00Z,product_event,Launch,yes,x\n";
    let events = read_events_from(text.as_bytes(), "e.csv").expect("events");
    assert_eq!(events.len(), 3);
    let of_acme = events.of(&customer("acme"));
    let names: Vec<&str> = of_acme.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["Launch", "Outage", "Christmas Day"]);
    assert_eq!(of_acme[0].kind, EventKind::Release);
    assert_eq!(of_acme[0].series, Some(series("a", "requests")));
    assert_eq!(of_acme[1].kind, EventKind::Incident);
    assert_eq!(of_acme[1].known_from, of_acme[1].end);
    assert!(of_acme[2].known_from < of_acme[2].start);
    assert_eq!(events.of(&customer("globex")).len(), 1);

    let text = "customer,start,end,kind,name,known_from\nacme,100,200,campaign,Sale,50\n";
    let events = read_events_from(text.as_bytes(), "e.csv").expect("events");
    assert_eq!(events.of(&customer("acme"))[0].known_from, DomainTime(50));
}

#[test]
fn broken_events_are_refused() {
    let check = |row: &str, expected: &str| {
        let text = format!("customer,start,end,kind,name,known_in_advance\n{row}\n");
        let error = read_events_from(text.as_bytes(), "e.csv")
            .expect_err("refused")
            .to_string();
        assert!(error.contains(expected), "{error}\nlacks {expected}");
    };
    check(
        "acme,200,100,campaign,Sale,yes",
        "line 2, column `end`: `100` is not after the start",
    );
    check("acme,100,200,party,Sale,yes", "`party` is an unknown kind");
    check(
        "acme,100,200,campaign,Sale,maybe",
        "`maybe` is neither yes nor no",
    );
    check(
        "acme/a,100,200,campaign,Sale,yes",
        "names neither a customer nor a series",
    );
    check(
        "acme,100,200,campaign,a,b,yes",
        "the row has 7 fields, the header has 6",
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        start in "(customer,vm_type,metric,timestamp,value\n)?",
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        rows in "([a-c],(x|y),(vm_count|heat),[0-9]{1,6},[0-9.eE+-]{0,6}\n){0,9}",
    ) {
        let mut bytes = start.into_bytes();
        bytes.extend_from_slice(rows.as_bytes());
        let clean = read_with(&bytes, &TraceOptions::default());
        if let Ok(trace) = clean {
            for customer in trace.customers.values() {
                for series in customer.series.values() {
                    // Ascending, on the grid, at most one per interval.
                    assert!(series.samples.windows(2).all(|pair| pair[0].0 < pair[1].0));
                    assert!(series.samples.iter().all(|(at, _)| at.floor_to(series.interval) == *at));
                }
            }
        }
        bytes.extend_from_slice(&body);
        let _ignored = read_with(&bytes, &TraceOptions::default()).is_ok();
    }
}
