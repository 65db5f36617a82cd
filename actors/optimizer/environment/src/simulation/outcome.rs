//! What runs found, with intervals over them.

use super::engine::Engine;
use super::layout::Layout;
use super::measure::{StepTally, Tally};
use super::pipe::Pipe;
use super::tier::Tier;
use crate::events::control::Controls;
use crate::events::estimate::{Estimate, estimates};
use crate::events::tally::{Figure, Source, Tally as Sums};
use serde::Serialize;
use twinscale_protocol::{RequestClassName, TierName};

/// A measured figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Its value; NaN where nothing was counted.
    pub value: f64,
    /// Half of the interval that holds it with 99 %.
    pub half_width_99: f64,
}

/// What the requests of a class met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassOutcome {
    /// The class.
    pub class: RequestClassName,
    /// Requests that came, over all runs.
    pub requests: u64,
    /// Share of them that was served.
    pub availability: Measured,
    /// Mean response time of those served, in seconds.
    pub mean_response_s: Measured,
    /// Response time that half of those served met, in seconds.
    pub p50_response_s: Measured,
    /// Response time that 95 % of those served met, in seconds.
    pub p95_response_s: Measured,
    /// Response time that 99 % of those served met, in seconds.
    pub p99_response_s: Measured,
    /// Share of requests that were late by the promise for 50 % of them, or not served; `None` without one.
    pub missed_p50: Option<Measured>,
    /// The same by the promise for 95 %.
    pub missed_p95: Option<Measured>,
    /// The same by the promise for 99 %.
    pub missed_p99: Option<Measured>,
    /// By step of the load.
    pub steps: Vec<StepOutcome>,
}

/// What the requests of a class met that came in one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepOutcome {
    /// Requests that came, over all runs.
    pub requests: u64,
    /// Share that was not served.
    pub failed: f64,
    /// Share that was late by the promise for 99 %, or not served.
    pub missed_p99: f64,
    /// Mean response time of those served, in seconds.
    pub mean_response_s: f64,
}

/// What a tier did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TierOutcome {
    /// The tier.
    pub tier: TierName,
    /// Share of its cores' time that was used.
    pub utilisation: Measured,
    /// Share of its volumes' time that was used at their steady rate, the larger of operations and bytes; 0
    /// without limits.
    pub storage_utilisation: f64,
    /// Share of its VMs' network time that was used at the steady rate; 0 without limits.
    pub network_utilisation: f64,
    /// Requests that found no room or no VM, over all runs.
    pub refused: u64,
}

/// What a link carried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkOutcome {
    /// Its name.
    pub link: String,
    /// Share of its time that was used, in the busier direction; 0 without a limit.
    pub utilisation: f64,
}

/// What happened to a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallOutcome {
    /// Who calls.
    pub from: TierName,
    /// Who is called.
    pub to: TierName,
    /// Tries that were given up on, over all runs.
    pub timed_out: u64,
}

/// What a simulation of a stack found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// By class, in the order of their names.
    pub classes: Vec<ClassOutcome>,
    /// By tier, in the order of their names.
    pub tiers: Vec<TierOutcome>,
    /// By link, in the order of their names.
    pub links: Vec<LinkOutcome>,
    /// By call, in the order of the model.
    pub calls: Vec<CallOutcome>,
    /// Independent runs.
    pub replications: u32,
    /// Events of all runs.
    pub events: u64,
    /// Whether more requests were in flight than a run can hold, so that some were turned away.
    pub overloaded: bool,
}

/// One run, as far as the outcome needs it.
#[derive(Debug)]
pub(super) struct Run {
    tally: Tally,
    /// By tier: core seconds used and there.
    usage: Vec<(f64, f64)>,
    /// By tier: seconds of operations, bytes and networks, over all VMs.
    pipes_s: Vec<[f64; 3]>,
    /// By tier: VMs, on average while it was measured.
    vms: Vec<f64>,
    /// By link: seconds of the busier direction.
    links_s: Vec<f64>,
}

impl Run {
    pub(super) fn of(engine: Engine<'_>) -> Self {
        let used = |pipe: &Option<Pipe>| pipe.as_ref().map_or(0.0, Pipe::used_s);
        let wires = engine.wires.iter();
        let usage: Vec<(f64, f64)> = engine.tiers.iter().map(Tier::usage).collect();
        let measured_s = engine.tally.measured_s.max(f64::MIN_POSITIVE);
        let tiers = engine.tiers.iter();
        let vms = tiers.clone().map(|tier| tier.there_s() / measured_s);
        Self {
            pipes_s: tiers.clone().map(Tier::pipes_used_s).collect(),
            vms: vms.collect(),
            links_s: wires
                .map(|wire| used(&wire.there).max(used(&wire.back)))
                .collect(),
            usage,
            tally: engine.tally,
        }
    }
}

/// Ratios of a class in the sums: served of came, time of served, and three of late or failed.
const CLASS_RATIOS: usize = 5;

impl Outcome {
    pub(super) fn of(layout: &Layout, runs: &[Run]) -> Self {
        let classes = layout.classes.len();
        let counted: Vec<Sums> = runs.iter().map(|run| sums(layout, run)).collect();
        let counted: Vec<&Sums> = counted.iter().collect();
        let controls = Controls::none(counted.len());
        let mut figures: Vec<Figure> = (0..classes * CLASS_RATIOS + layout.tiers.len())
            .map(|index| Figure::ratio("", index))
            .collect();
        let tiers_from = classes * CLASS_RATIOS;
        let quantiles_from = figures.len();
        for class in 0..classes {
            figures.extend([0.5, 0.95, 0.99].map(|level| Figure {
                key: String::new(),
                place: None,
                source: Source::Quantile {
                    histogram: class,
                    level,
                },
            }));
        }
        let found: Vec<Measured> = estimates(&figures, &counted, &controls)
            .iter()
            .map(measured)
            .collect();
        let class_outcome = |place: usize| {
            let ratios = &found[place * CLASS_RATIOS..(place + 1) * CLASS_RATIOS];
            let quantiles = &found[quantiles_from + place * 3..quantiles_from + place * 3 + 3];
            class(layout, runs, place, ratios, quantiles)
        };
        Self {
            classes: (0..classes).map(class_outcome).collect(),
            tiers: (0..layout.tiers.len())
                .map(|place| tier(layout, runs, place, found[tiers_from + place]))
                .collect(),
            links: links(layout, runs),
            calls: calls(layout, runs),
            replications: u32::try_from(runs.len()).unwrap_or(u32::MAX),
            events: runs.iter().map(|run| run.tally.events).sum(),
            overloaded: runs.iter().any(|run| run.tally.overloaded),
        }
    }

    /// Says whether the mean and the 99th percentile of every class that was served are known well enough.
    pub fn is_within(&self, relative_half_width: f64) -> bool {
        let narrow =
            |measured: &Measured| measured.half_width_99 <= relative_half_width * measured.value;
        self.classes
            .iter()
            .filter(|class| class.mean_response_s.value.is_finite())
            .all(|class| narrow(&class.mean_response_s) && narrow(&class.p99_response_s))
    }
}

fn measured(estimate: &Estimate) -> Measured {
    Measured {
        value: estimate.value,
        half_width_99: estimate.half_width_each,
    }
}

fn sums(layout: &Layout, run: &Run) -> Sums {
    let classes = &run.tally.classes;
    let mut sums = Sums::new(classes.len() * CLASS_RATIOS + layout.tiers.len(), &[]);
    sums.histograms = classes
        .iter()
        .map(|class| class.responses.clone())
        .collect();
    for (place, class) in classes.iter().enumerate() {
        let (came, served) = (class.came as f64, class.served as f64);
        let ratios = &mut sums.ratios[place * CLASS_RATIOS..];
        ratios[0].add(served, came);
        ratios[1].add(class.sum_s, served);
        for (ratio, late) in ratios[2..CLASS_RATIOS].iter_mut().zip(class.late) {
            ratio.add(late as f64 + came - served, came);
        }
    }
    let from = classes.len() * CLASS_RATIOS;
    for (ratio, (used, there)) in sums.ratios[from..].iter_mut().zip(&run.usage) {
        ratio.add(*used, *there);
    }
    sums
}

fn class(
    layout: &Layout,
    runs: &[Run],
    place: usize,
    ratios: &[Measured],
    quantiles: &[Measured],
) -> ClassOutcome {
    let stated = &layout.classes[place];
    let promised = &stated.promised;
    let tallies = || runs.iter().map(|run| &run.tally.classes[place]);
    let steps = tallies().map(|class| class.steps.len()).max().unwrap_or(0);
    let step = |step: usize| {
        let mut all = StepTally::default();
        for tally in tallies().filter_map(|class| class.steps.get(step)) {
            all.came += tally.came;
            all.served += tally.served;
            all.late += tally.late;
            all.sum_s += tally.sum_s;
        }
        all
    };
    ClassOutcome {
        class: stated.name.clone(),
        requests: tallies().map(|class| class.came).sum(),
        availability: ratios[0],
        mean_response_s: ratios[1],
        p50_response_s: quantiles[0],
        p95_response_s: quantiles[1],
        p99_response_s: quantiles[2],
        missed_p50: promised.p50_s.map(|_| ratios[2]),
        missed_p95: promised.p95_s.map(|_| ratios[3]),
        missed_p99: promised.p99_s.map(|_| ratios[4]),
        steps: (0..steps).map(|index| of_step(&step(index))).collect(),
    }
}

fn of_step(all: &StepTally) -> StepOutcome {
    let came = all.came.max(1) as f64;
    let failed = all.came - all.served;
    StepOutcome {
        requests: all.came,
        failed: failed as f64 / came,
        missed_p99: (all.late + failed) as f64 / came,
        mean_response_s: all.sum_s / all.served.max(1) as f64,
    }
}

fn tier(layout: &Layout, runs: &[Run], place: usize, utilisation: Measured) -> TierOutcome {
    let there: f64 = runs
        .iter()
        .map(|run| run.vms[place] * run.tally.measured_s)
        .sum();
    let used = |pipe: usize| runs.iter().map(|run| run.pipes_s[place][pipe]).sum::<f64>();
    let share = |pipe: usize| if there > 0.0 { used(pipe) / there } else { 0.0 };
    TierOutcome {
        tier: layout.tiers[place].name.clone(),
        utilisation,
        storage_utilisation: share(0).max(share(1)),
        network_utilisation: share(2),
        refused: runs.iter().map(|run| run.tally.refused[place]).sum(),
    }
}

fn links(layout: &Layout, runs: &[Run]) -> Vec<LinkOutcome> {
    let measured: f64 = runs.iter().map(|run| run.tally.measured_s).sum();
    let links = layout.links.iter().enumerate();
    links
        .map(|(place, link)| LinkOutcome {
            link: link.name.clone(),
            utilisation: runs.iter().map(|run| run.links_s[place]).sum::<f64>()
                / measured.max(f64::MIN_POSITIVE),
        })
        .collect()
}

fn calls(layout: &Layout, runs: &[Run]) -> Vec<CallOutcome> {
    let calls = layout.calls.iter().enumerate();
    calls
        .map(|(place, call)| CallOutcome {
            from: layout.tiers[call.from].name.clone(),
            to: layout.tiers[call.to].name.clone(),
            timed_out: runs.iter().map(|run| run.tally.timed_out[place]).sum(),
        })
        .collect()
}
