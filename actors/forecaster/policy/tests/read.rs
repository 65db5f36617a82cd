//! Files of traces and decisions: read, written, read again, and refused with line and rule.

use proptest::prelude::*;
use twinscale_policy::read::{Suites, read_decisions};
use twinscale_policy::write::write_decisions;

#[test]
fn what_is_written_is_read_again() {
    let manifest = r#"{"suites":{"hourly":{"dt":3600,"startup_s":3600,"decision_s":3600,"min_bill_s":60},
        "minute":{"dt":60,"startup_s":300,"decision_s":60,"min_bill_s":60}},
        "series":[{"suite":"hourly","split":"dev","series":"shop@w2","dataset":"a","start":0,"n":6,"score_start":7200,"score_end":21600},
        {"suite":"hourly","split":"dev","series":"web","dataset":"b","start":0,"n":6,"score_start":7200,"score_end":21600},
        {"suite":"minute","split":"dev","series":"web60","dataset":"b","start":0,"n":6,"score_start":120,"score_end":360}]}"#;
    let suites = Suites::read(manifest).expect("a manifest");
    let loads = "series,timestamp,load\nshop@w2,0,1.5\nshop@w2,3600,2.0\nshop@w2,7200,2.1\nshop@w2,14400,5\n\
                 shop@w2,18000,4\nweb,0,3\nweb,7200,1\nweb,10800,1\nweb,14400,2\nweb,18000,0\n";
    let demands = suites
        .demands("hourly", "dev", loads.as_bytes())
        .expect("good rows");
    assert_eq!(demands[0].vms, [3, 3, 5, 4]);
    assert_eq!(demands[0].is_observed, [true, false, true, true]);
    assert_eq!(
        (demands[0].initial, demands[0].customer.as_str()),
        (2, "shop")
    );
    assert!((demands[0].mean_vms - 2.0).abs() < 1e-12);
    // In two suites: the dataset is the customer.
    assert_eq!(demands[1].customer, "b");
    assert_eq!(demands[1].initial, 3);
    let rows = "suite,series,knob,timestamp,desired\nhourly,shop@w2,1,7200,2\nhourly,shop@w2,4,7200,3\n\
                hourly,shop@w2,1,14400,5\nhourly,web,4,10800,2\nhourly,web,1,7200,1\n";
    let read = |rows: &'static str| {
        let mut files: Vec<Box<dyn std::io::Read>> = vec![Box::new(rows.as_bytes())];
        read_decisions(demands.clone(), &mut files)
    };
    let (ladder, traces) = read(rows).expect("good rows");
    assert_eq!(ladder.prices(), [1.0, 4.0]);
    assert_eq!(traces[0].desired(0), [2, 2, 5, 5]);
    // Before its first row what serves at the start is in force.
    assert_eq!(traces[1].desired(1), [3, 2, 2, 2]);
    let desired: Vec<Vec<Vec<u32>>> = traces
        .iter()
        .map(|trace| (0..2).map(|setting| trace.desired(setting)).collect())
        .collect();
    let mut bytes = Vec::new();
    write_decisions(&mut bytes, &traces, &ladder, &desired).expect("memory takes it");
    let mut files: Vec<Box<dyn std::io::Read>> = vec![Box::new(std::io::Cursor::new(bytes))];
    let again = read_decisions(demands.clone(), &mut files).expect("own rows");
    assert_eq!(again, (ladder, traces));

    let refused = read("suite,series,knob,timestamp,desired\nhourly,web,1,7201,1\n");
    let text = refused.expect_err("off the grid").to_string();
    assert!(text.contains("line 2: time 7201"), "{text}");
    let refused =
        read("suite,series,knob,timestamp,desired\nhourly,web,1,7200,1\nhourly,shop@w2,2,7200,1\n");
    let text = refused.expect_err("a price is missing").to_string();
    assert!(text.contains("has no decision in this trace"), "{text}");
}

proptest! {
    /// Bytes that are no rows, or rows of nonsense, are refused and never end in a panic.
    #[test]
    fn any_bytes_are_read_or_refused(
        rows in "(hourly|web|-?[0-9]{1,19}|1e309|,|\\n|\"|NaN){0,40}",
        start in any::<i64>(),
        score_start in any::<i64>(),
        n in 0_usize..20,
    ) {
        let manifest = format!(
            r#"{{"suites":{{"hourly":{{"dt":3600,"startup_s":3600,"decision_s":3600,"min_bill_s":60}}}},
            "series":[{{"suite":"hourly","split":"dev","series":"web","start":{start},"n":{n},"score_start":{score_start}}}]}}"#
        );
        let suites = Suites::read(&manifest).expect("a manifest");
        let loads = format!("series,timestamp,load\n{rows}");
        if let Ok(demands) = suites.demands("hourly", "dev", loads.as_bytes()) {
            prop_assert!(demands.iter().all(|demand| demand.check().is_ok()));
        }
        let good = "series,timestamp,load\nweb,0,1\nweb,3600,2\nweb,7200,2\nweb,10800,2\n";
        let manifest = manifest
            .replace(&format!("\"start\":{start}"), "\"start\":0")
            .replace(&format!("\"score_start\":{score_start}"), "\"score_start\":3600")
            .replace(&format!("\"n\":{n}"), "\"n\":4");
        let suites = Suites::read(&manifest).expect("a manifest");
        let demands = suites.demands("hourly", "dev", good.as_bytes()).expect("good rows");
        let decisions = format!("suite,series,knob,timestamp,desired\n{rows}");
        let mut files: Vec<Box<dyn std::io::Read>> = vec![Box::new(std::io::Cursor::new(decisions))];
        if let Ok((ladder, traces)) = read_decisions(demands, &mut files) {
            prop_assert_eq!(traces[0].counts(0).len(), ladder.len());
        }
    }
}
