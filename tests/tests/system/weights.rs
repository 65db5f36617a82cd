//! Weights set to zero change what comes of every path: so each of them asks the real forecaster.

use std::fmt::Write as _;

use tokio::runtime::Builder;
use twinscale::assembly::{ForecastWeights, start_forecaster};
use twinscale::trace::{Events, TraceOptions, read_trace_from};
use twinscale::workload::{ReplayCustomer, ReplayWindow, from_trace};
use twinscale_chaos::{ReplayCase, ReplayOutcome, short_samples};
use twinscale_cluster_config::{PolicyFile, StackFile};
use twinscale_forecaster::actor::ForecasterRequest;
use twinscale_protocol::forecaster::{
    ForecastReply, ForecastRequest, ForecastSource, SeriesWindow,
};
use twinscale_protocol::{DomainTime, FixedValue, Seconds, SeriesKey};
use twinscale_supervision::DomainClock;

const HOUR: i64 = 3_600;

/// 2024-01-01T00:00:00Z.
const BEGIN: i64 = 1_704_067_200;

/// Long enough that the network forecasts, not the fallback.
const HISTORY_HOURS: i64 = 28 * 24;

fn shipped() -> ForecastWeights {
    ForecastWeights::load(None).expect("the shipped weights load")
}

/// Demand with a day's and a week's rhythm.
fn demand(hour: i64) -> i64 {
    20 + (hour % 24 - 12).abs() + if hour / 24 % 7 < 5 { 10 } else { 0 }
}

/// What came of a replay with the shipped weights, and with zeroed ones.
fn both(customers: &[ReplayCustomer]) -> [ReplayOutcome; 2] {
    [shipped(), shipped().zeroed()].map(|weights| {
        let case = ReplayCase {
            weights,
            ..ReplayCase::undisturbed(1).expect("the weights load")
        };
        case.run(customers).expect("it replays")
    })
}

/// How many of a replay's steps ran another number of VMs.
fn changed(customers: usize, [one, other]: &[ReplayOutcome; 2]) -> Vec<usize> {
    let mut changed = vec![0; customers];
    for (one, other) in one.decisions.iter().zip(&other.decisions) {
        assert_eq!((one.customer, one.step), (other.customer, other.step));
        let is_other = one.allocation.as_ref().map(|plan| &plan.vms)
            != other.allocation.as_ref().map(|plan| &plan.vms);
        changed[one.customer] += usize::from(is_other);
    }
    changed
}

#[test]
fn every_customer_of_the_demo_decides_otherwise_without_weights() {
    let customers = short_samples(3, 30).expect("the samples load");
    let outcomes = both(&customers);
    let [real, zeroed] = &outcomes;
    let changed = changed(customers.len(), &outcomes);
    assert!(changed.iter().all(|steps| *steps > 10), "{changed:?}");
    for (real, zeroed) in real
        .replayed
        .customers
        .iter()
        .zip(&zeroed.replayed.customers)
    {
        // Both forecast by the network: what changed are the weights, not the source.
        assert_eq!(real.counters.fallback_forecasts, 0);
        assert_eq!(zeroed.counters.fallback_forecasts, 0);
        assert!(real.bill != zeroed.bill, "the bills are the same");
    }
}

#[test]
fn a_backtest_decides_otherwise_without_weights() {
    let mut text = "customer,vm_type,metric,timestamp,value\n".to_owned();
    for hour in 0..HISTORY_HOURS + 24 {
        let (at, value) = (BEGIN + hour * HOUR, demand(hour));
        writeln!(text, "acme,web,vm_count,{at},{value}").expect("text grows");
    }
    let options = TraceOptions::default();
    let trace = read_trace_from(text.as_bytes(), "trace.csv", None, &options, &mut |_| {})
        .expect("the trace is good");
    let window = ReplayWindow {
        start: DomainTime(BEGIN + HISTORY_HOURS * HOUR),
        end: DomainTime(BEGIN + (HISTORY_HOURS + 12) * HOUR),
    };
    let customers = from_trace(
        trace,
        &PolicyFile::default(),
        &StackFile::default(),
        &Events::default(),
        Some(window),
    )
    .expect("it can be replayed");
    let outcomes = both(&customers);
    assert!(changed(1, &outcomes)[0] > 10);
    assert_ne!(outcomes[0].json, outcomes[1].json);
}

#[test]
fn the_bench_gets_other_quantiles_without_weights() {
    let key: SeriesKey = SeriesKey {
        vm_type: "web".parse().expect("a VM type"),
        metric: "vm_count".parse().expect("a metric"),
    };
    let values = (0..HISTORY_HOURS)
        .map(|hour| Some(FixedValue(demand(hour) * 1_000_000)))
        .collect();
    let request = ForecastRequest {
        customer: "acme".parse().expect("a customer"),
        issued_at: DomainTime(BEGIN + HISTORY_HOURS * HOUR),
        interval: Seconds(3_600),
        horizon_steps: 24,
        series: vec![SeriesWindow {
            key,
            first_at: DomainTime(BEGIN),
            values,
            lead_steps: 1,
            calibration: Vec::new(),
        }],
        events: Vec::new(),
    };
    let real = forecast(&shipped(), &request);
    let zeroed = forecast(&shipped().zeroed(), &request);
    for reply in [&real, &zeroed] {
        assert_eq!(reply.forecasts.len(), 1);
        assert_eq!(reply.forecasts[0].quantiles.len(), 24);
        assert!(matches!(
            reply.forecasts[0].source,
            ForecastSource::Network { .. }
        ));
    }
    assert!(real.forecasts[0].quantiles != zeroed.forecasts[0].quantiles);
}

/// Asks as `twinscale bench forecast` does.
fn forecast(weights: &ForecastWeights, request: &ForecastRequest) -> ForecastReply {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock = DomainClock::starting_at(DomainTime(0));
        let forecaster = start_forecaster(weights, &clock)
            .await
            .expect("the forecaster starts");
        let limit = std::time::Duration::from_mins(1);
        let asked = forecaster.address().ask(limit, |reply_to| {
            ForecasterRequest::Forecast(Box::new(request.clone()), reply_to)
        });
        let reply = asked.await.expect("an answer").expect("a forecast");
        forecaster.stop().await;
        reply
    })
}
