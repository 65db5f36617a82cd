//! Readers of what comes from outside: envelopes, CSV, TOML, YAML.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::trace::{TraceLimits, TraceOptions, read_events_from, read_trace_from};
use twinscale_cluster_config::{PolicyFile, StackFile};
use twinscale_environment::cases::{self, CaseOptions};
use twinscale_environment::draw::stack_text;
use twinscale_environment::events::Progress;
use twinscale_environment::events::replicate::REPLICATIONS;
use twinscale_environment::import::{import_compose, import_kubernetes};
use twinscale_environment::model::read_model;
use twinscale_protocol::CustomerId;
use twinscale_protocol::envelope::{self, EnvelopeKind};
use twinscale_protocol::twin::IngestRequest;

/// An envelope that opens is one that this program would write.
pub fn envelope(bytes: &[u8]) {
    let Ok(kind) = envelope::peek_kind(bytes) else {
        assert!(envelope::open::<Vec<u8>>(EnvelopeKind(1), bytes).is_err());
        return;
    };
    if let Ok(value) = envelope::open::<Vec<u8>>(kind, bytes) {
        let sealed = envelope::seal(kind, &value).expect("it was read, so it fits");
        let again: Vec<u8> = envelope::open(kind, &sealed).expect("it was just sealed");
        assert_eq!(again, value);
    }
    if let Ok(request) = envelope::open::<IngestRequest>(kind, bytes) {
        let sealed = envelope::seal(kind, &request).expect("it was read, so it fits");
        let again: IngestRequest = envelope::open(kind, &sealed).expect("it was just sealed");
        assert_eq!(again, request);
    }
}

/// A trace that is read is in order and within its limits; the same bytes are tried as events.
pub fn trace_csv(bytes: &[u8]) {
    let options = TraceOptions {
        limits: TraceLimits {
            line_bytes: 512,
            customers: 8,
            series: 16,
            samples: 500,
        },
        ..TraceOptions::default()
    };
    if let Ok(trace) = read_trace_from(bytes, "fuzz.csv", None, &options, &mut |_| {}) {
        assert!(trace.customers.len() <= 8);
        assert!(trace.sample_count() <= 500);
        for customer in trace.customers.values() {
            let samples = customer.samples_by_time();
            assert!(samples.is_sorted_by_key(|sample| sample.at));
        }
    }
    drop(read_events_from(bytes, "fuzz.csv"));
}

/// Settings are checked types or a list of what is wrong.
pub fn config_toml(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = PolicyFile::parse(text, "policies.toml") {
        assert!(!error.to_string().is_empty());
    }
    if let Err(error) = StackFile::parse(text, "stacks.toml") {
        assert!(!error.to_string().is_empty());
    }
}

/// Customers that one file of cases may simulate before it is stopped.
const CUSTOMERS_MAX: u64 = 20_000;

/// Cases are run or refused one by one, and no figure is without a value. Long ones are stopped.
pub fn queueing_cases(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let options = CaseOptions {
        customers: u64::from(REPLICATIONS),
        seed: 1,
        threads: 1,
        stop: None,
    };
    let customers = AtomicU64::new(0);
    let proceed = |part: Progress| {
        let before = customers.fetch_add(part.customers, Ordering::Relaxed);
        before + part.customers <= CUSTOMERS_MAX
    };
    match cases::run(text, &options, &proceed) {
        Ok(found) => {
            for case in &found.cases {
                assert!(case.error.as_ref().is_none_or(|error| !error.is_empty()));
                let figures = case.analytic.values().chain(case.des.values());
                assert!(figures.into_iter().all(|figure| !figure.is_null()));
                assert_eq!(case.error.is_none(), case.des_customers > 0);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A stack model that is read can be written, read back and drawn; what an import writes reads back.
pub fn stack_model(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match read_model(text, "model.toml") {
        Ok(checked) => {
            let again =
                read_model(&checked.model.to_toml(), "model.toml").expect("it was just read");
            assert_eq!(again, checked);
            stack_text(&checked.model).expect("a checked model is drawn");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let customer = CustomerId::new("fuzz").expect("an id");
    for import in [import_compose, import_kubernetes] {
        match import(text, "source.yaml", &customer) {
            Ok(imported) => {
                let read = read_model(&imported.toml, "model.toml").expect("it was just written");
                assert_eq!(read.model, imported.checked.model);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
