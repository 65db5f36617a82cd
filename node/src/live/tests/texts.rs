//! Snapshots as text and JSON, and what is remembered of past steps.

use super::example::{daemon, read_only, replay};
use crate::live::memory::{Memory, StepMemory};
use crate::live::plain;
use crate::service::api::{RangeView, StepsReply};

#[test]
fn a_table_has_a_row_for_each_twin_and_actor() {
    let text = plain::table(&daemon());
    for word in [
        "node-1 0.1.0 at http://127.0.0.1:7878: ready, up 2 d 7 h",
        "acme                      fresh       655      557..655..786     700  14+1",
        "delta                     no plan       -",
        "echo                      apart",
        "$12,346",
        "forecaster: restarting, mailbox 12/1024, 2 restarts, 0 threads abandoned",
        "1 of 3 threads abandoned",
        "weights 6778b525 since 01-13 10:00, OUT OF STEP: node-2; shadow 01234567 75 %, loss x0.96 (0.93 to 0.99), \
         9/12 series, 180/200 forecasts, 20/24 h\n",
    ] {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
    assert!(text.is_ascii(), "{text}");
}

#[test]
fn a_line_says_what_matters() {
    let line = plain::line(&read_only());
    assert!(
        line.starts_with("2024-01-15T12:00:00Z node-1 not ready (read-only), 6 twins (1 stale), "),
        "{line}"
    );
    assert!(!line.contains('\n'), "{line}");
    assert!(line.contains(", weights 6778b525 since "), "{line}");
    assert!(!plain::line(&replay()).contains("weights"));
}

#[test]
fn the_json_document_names_its_schema() {
    let text = plain::json(&daemon()).expect("JSON");
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found["schema"], "twinscale.live");
    assert_eq!(found["version"], 1);
    assert_eq!(found["head"]["log_entries"], 1_234_567);
    assert_eq!(found["weights"]["trial"]["challenger"], "0123456789abcdef");
    assert_eq!(found["twins"][0]["tiers"][0]["forecast"]["q50"], 655.0);
    assert_eq!(
        found["chosen"]["tiers"][0]["ahead"]
            .as_array()
            .map(Vec::len),
        Some(24)
    );
}

fn forgotten(customer: &str) -> StepsReply {
    let mut reply = daemon().chosen.expect("a chosen twin");
    customer.clone_into(&mut reply.customer);
    for step in &mut reply.tiers[0].past {
        (step.forecast, step.supply) = (None, None);
    }
    reply
}

#[test]
fn past_forecasts_come_from_memory_within_its_bounds() {
    let mut memory = Memory::of_twins(2);
    let known = StepMemory {
        forecast: Some(RangeView {
            q10: 1.0,
            q50: 2.0,
            q90: 3.0,
        }),
        supply: Some(4.0),
    };
    let at = forgotten("a").tiers[0].past[5].at;
    for customer in ["a", "b", "c"] {
        memory.note(customer, "web", at, known);
        memory.note(customer, "gone", at, known);
    }
    let mut reply = forgotten("c");
    memory.complete(&mut reply);
    let past = &reply.tiers[0].past;
    assert_eq!(
        (past[5].forecast, past[5].supply),
        (known.forecast, Some(4.0))
    );
    assert_eq!((past[4].forecast, past[6].supply), (None, None));
    let mut reply = forgotten("a");
    memory.complete(&mut reply);
    assert_eq!(reply, forgotten("a"), "the third twin took its place");
    for step in 0..2_000 {
        memory.note("c", "web", at + step * 3_600, known);
    }
    let mut reply = forgotten("c");
    memory.complete(&mut reply);
    assert_eq!(
        reply.tiers[0].past[5].supply, None,
        "old steps are forgotten"
    );
}
