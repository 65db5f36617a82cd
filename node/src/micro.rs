//! Small measurements, each beside the limit that it compares with, made in one run.
//!
//! Figures are of the build profile and the machine they ran on; compare within one run only.

mod evaluations;
mod machine;

pub use machine::Machine;

use crate::assembly::{ForecastWeights, NodeOptions, WatchLimits};
use crate::observe::Instruments;
use crate::progress::Progress;
use crate::replay::{ReplayOptions, replay};
use crate::summary::FirstSteps;
use crate::workload::from_samples;
use serde::Serialize;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use twinscale_forecast_model::Network;
use twinscale_forecast_model::shipped::{SHIPPED_WEIGHTS, load_shipped};
use twinscale_forecast_model::throughput::{Throughput, measure as measure_forecasts};
use twinscale_forecaster::network::NetworkError;
use twinscale_log::bench::{BenchOptions, measure as measure_log};
use twinscale_log::{MonotonicClock, SystemMonotonicClock};
use twinscale_optimizer::bench::plans_per_second;
use twinscale_optimizer::plan;
use twinscale_protocol::optimizer::{PlanRequest, PlanRules, PlanTrigger, TierProblem, VmOption};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MicroDollars, MilliCores, PartsPerMillion, PlanNumber,
    Quantiles, Seconds, TierName, VmCount, VmTypeId,
};
use twinscale_provisioner::SimCloudConfig;

/// Steps of the replay whose memory is read.
const REPLAY_STEPS: usize = 48;

/// Customers of that replay.
const REPLAY_CUSTOMERS: usize = 12;

/// Parts of a run, for its progress.
const PARTS: u64 = 5;

/// Evaluations of a searched plan, as the sample policies ask for.
const EVALUATIONS: u32 = 20_000;

/// Spread of the synthetic demand's quantiles around its median.
const SPREAD: [f64; 8] = [0.8, 0.85, 0.93, 1.0, 1.07, 1.17, 1.25, 1.45];

/// One figure beside its limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is compared with.
    pub limit_name: &'static str,
    /// The limit, in the same unit.
    pub limit: f64,
}

impl Figure {
    /// The figure as a multiple of what it is compared with.
    pub fn ratio(&self) -> f64 {
        self.value / self.limit
    }
}

/// Measures everything; `seconds` is the time of each measurement of the log.
///
/// # Errors
/// When a part cannot run, such as a full disk.
pub fn measure_all(
    runtime: &tokio::runtime::Runtime,
    seconds: u32,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    progress.of(0, PARTS);
    let mut figures = vec![memory(runtime, &folder.path().join("node"))?];
    progress.at(1);
    let clock: Arc<dyn MonotonicClock> = Arc::new(SystemMonotonicClock::start());
    figures.extend(forecasts(&*clock)?);
    progress.at(2);
    figures.extend(plans()?);
    progress.at(3);
    figures.push(evaluations::evaluations(&*clock)?);
    progress.at(4);
    figures.extend(log(&folder.path().join("log"), seconds, &clock)?);
    Ok(figures)
}

/// Renders figures as a table.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let head = format!(
        "{:37} {:>11} {:9} {:>11} {:>7}  compared with\n",
        "", "figure", "unit", "beside", "ratio"
    );
    let rows = figures.iter().map(|figure| {
        let Figure {
            name,
            value,
            unit,
            limit_name,
            limit,
        } = figure;
        let ratio = figure.ratio();
        format!("{name:37} {value:>11.1} {unit:9} {limit:>11.1} {ratio:>7.2}  {limit_name}\n")
    });
    std::iter::once(head).chain(rows).collect()
}

fn memory(runtime: &tokio::runtime::Runtime, folder: &Path) -> anyhow::Result<Figure> {
    let weights = ForecastWeights::load(None)?;
    let before = peak_resident_mib()?;
    let mut customers = from_samples(REPLAY_CUSTOMERS, 1)?;
    for one in &mut customers {
        one.steps.truncate(REPLAY_STEPS);
    }
    let options = ReplayOptions {
        node: NodeOptions {
            directory: folder.to_owned(),
            seed: 1,
            optimizer_threads: NonZeroUsize::MIN,
            weights,
            cloud: SimCloudConfig::with_seed(1),
            watch: WatchLimits::patient(),
            instruments: Instruments::default(),
        },
        kill_forecaster_at: None,
    };
    let quiet = Progress::start("", 1, true);
    runtime.block_on(replay(
        &customers,
        options,
        &mut FirstSteps::default(),
        &quiet,
    ))?;
    Ok(Figure {
        name: "memory, 12 twins replayed",
        value: peak_resident_mib()?,
        unit: "MiB",
        limit_name: "the same process with LibTorch loaded, before the replay",
        limit: before,
    })
}

/// Peak resident set of this process.
fn peak_resident_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<f64>().ok());
    kib.map(|kib| kib / 1_024.0)
        .ok_or_else(|| anyhow::anyhow!("/proc/self/status has no VmHWM"))
}

/// Measures the forecaster and the network alone, beside the machine's peak; takes about a second.
///
/// # Errors
/// When the network cannot be made, or refuses.
pub fn network_speed(clock: &dyn MonotonicClock) -> anyhow::Result<Throughput> {
    let (checked, _card) = load_shipped()?;
    drop(checked);
    let make = || match Network::all_of(SHIPPED_WEIGHTS) {
        Ok(networks) => Ok(networks),
        // They were just loaded from the same bytes.
        Err(error) => Err(NetworkError::Failed {
            step: "loading",
            cause: error.to_string(),
        }
        .into()),
    };
    Ok(measure_forecasts(make, 20, &mut || clock.elapsed())?)
}

fn forecasts(clock: &dyn MonotonicClock) -> anyhow::Result<[Figure; 2]> {
    let measured = network_speed(clock)?;
    Ok([
        Figure {
            name: "twins forecast, request to reply",
            value: measured.forecasts_per_second,
            unit: "twins/s",
            limit_name: "the network alone, same rows",
            limit: measured.network_rows_per_second,
        },
        Figure {
            name: "network's arithmetic",
            value: measured.network_gflops,
            unit: "GFLOP/s",
            limit_name: "matrix product peak of one thread",
            limit: measured.peak_gflops,
        },
    ])
}

fn plans() -> anyhow::Result<[Figure; 3]> {
    let exact = plans_per_second(&[request(1, EVALUATIONS)?], 200)?;
    let searched = plans_per_second(&[request(3, EVALUATIONS)?], 20)?;
    let heuristic = plans_per_second(&[request(3, 0)?], 200)?;
    let one = NonZeroUsize::MIN;
    let found = plan(&request(3, EVALUATIONS)?, one)?.cost.total();
    let rival = plan(&request(3, 0)?, one)?.cost.total();
    Ok([
        Figure {
            name: "plans, one VM type, proven",
            value: exact,
            unit: "plans/s",
            limit_name: "heuristic alone, three VM types",
            limit: heuristic,
        },
        Figure {
            name: "plans, three VM types, searched",
            value: searched,
            unit: "plans/s",
            limit_name: "heuristic alone, three VM types",
            limit: heuristic,
        },
        Figure {
            name: "expected cost of the searched plan",
            value: found.dollars(),
            unit: "$/day",
            limit_name: "plan of the heuristic alone",
            limit: rival.dollars(),
        },
    ])
}

fn log(
    folder: &Path,
    seconds: u32,
    clock: &Arc<dyn MonotonicClock>,
) -> anyhow::Result<[Figure; 2]> {
    std::fs::create_dir_all(folder)?;
    let options = BenchOptions {
        duration: Duration::from_secs(u64::from(seconds)),
        ..BenchOptions::default()
    };
    let measured = measure_log(folder, options, clock)?;
    let limit_name = "raw write + fdatasync, in alternating slices";
    let limit = measured.raw_syncs_per_second;
    Ok([
        Figure {
            name: "log appends, 1 proposer",
            value: measured.appends_per_second_1,
            unit: "appends/s",
            limit_name,
            limit,
        },
        Figure {
            name: "log appends, 64 proposers",
            value: measured.appends_per_second_64,
            unit: "appends/s",
            limit_name,
            limit,
        },
    ])
}

/// Median demand at an hour of a working day.
fn median_of_day(hour: f64) -> f64 {
    40.0 + 30.0 * ((hour - 8.0) / 24.0 * std::f64::consts::TAU).sin()
}

/// A day of hourly steps with a working day's shape.
fn request(vm_types: u32, evaluations: u32) -> anyhow::Result<PlanRequest> {
    let demand = (0..24).map(|hour| {
        let median = median_of_day(f64::from(hour));
        SPREAD.map(|factor| FixedValue::from_model(median * factor))
    });
    let mut options = Vec::new();
    for size in 1..=vm_types {
        options.push(VmOption {
            vm_type: VmTypeId::new(format!("size{size}"))?,
            // Larger VMs cost a little less per unit, so that mixing pays.
            price_per_hour: MicroDollars(
                100_000 * i64::from(size) - 2_000 * i64::from(size * size),
            ),
            start_cost: MicroDollars(8_000 * i64::from(size)),
            capacity: FixedValue::from_model(f64::from(size)),
            vcpu: MilliCores(2_000 * u64::from(size)),
            initial: VmCount(if size == 1 { 40 } else { 0 }),
        });
    }
    let tier = TierProblem {
        name: TierName::new("web")?,
        demand: demand.collect::<Vec<Quantiles>>(),
        options,
        min_vms: VmCount(1),
        max_vms: VmCount(500),
        delay_steps: 0,
        min_up_steps: 1,
        start_max_per_step: VmCount(100),
        stop_max_per_step: VmCount(100),
        service: None,
        unserved_price_per_unit_hour: MicroDollars(2_000_000),
        peak: None,
    };
    Ok(PlanRequest {
        customer: CustomerId::new("bench")?,
        number: PlanNumber(1),
        parent: None,
        trigger: PlanTrigger::First,
        first_step_at: DomainTime(0),
        interval: Seconds(3_600),
        steps: 24,
        tiers: vec![tier],
        volumes: Vec::new(),
        link: None,
        rules: PlanRules {
            level_min: PartsPerMillion(900_000),
            level_max: PartsPerMillion(990_000),
            risk_budget: PartsPerMillion(100_000),
            budget: None,
            vcpu_quota: None,
        },
        last_plan: None,
        seed: 1,
        evaluations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_requests_can_be_planned() {
        for (vm_types, evaluations) in [(1, EVALUATIONS), (3, EVALUATIONS), (3, 0)] {
            let request = request(vm_types, evaluations).expect("valid names");
            let plan = plan(&request, NonZeroUsize::MIN).expect("feasible");
            assert!(plan.cost.total().0 > 0);
        }
    }

    #[test]
    fn a_figure_stands_beside_its_limit() {
        let figure = Figure {
            name: "a",
            value: 1.25,
            unit: "b/s",
            limit_name: "the disk",
            limit: 2.0,
        };
        let text = table(&[figure]);
        let row = text.lines().nth(1).expect("a row below the head");
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, ["a", "1.2", "b/s", "2.0", "0.62", "the", "disk"]);
        assert!(peak_resident_mib().expect("Linux") > 1.0);
    }
}
