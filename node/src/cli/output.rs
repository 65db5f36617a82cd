//! What demo and backtest have in common: arguments, notes and pictures.

use super::stops::Stops;
use crate::assembly::{ForecastWeights, NodeOptions, WatchLimits};
use crate::error::ExpectedError;
use crate::live::replay::WatchedReplay;
use crate::live::session::{LiveView, has_terminal};
use crate::live::state::QuitMeaning;
use crate::observe::Instruments;
use crate::progress::Progress;
use crate::replay::{
    ClusterOptions, ReplayOptions, Replayed, StepSink, Unwatched, replay, replay_on_cluster,
};
use crate::report::{ReportInput, Theme, picture_svg, report_pages};
use crate::summary::{ReportFrame, price_point};
use crate::workload::ReplayCustomer;
use clap::Args;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use twinscale_protocol::policy::Sla;
use twinscale_protocol::{FixedValue, PartsPerMillion, Seconds};
use twinscale_provisioner::SimCloudConfig;

/// Most prices of one run.
const PRICES_MAX: usize = 8;

/// The range that a replay by price alone may plan for: the levels at which penalties are known.
const LEVELS_BY_PRICE: [PartsPerMillion; 2] = [PartsPerMillion(500_000), PartsPerMillion(990_000)];

fn parse_price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if (0.01..=1e6).contains(&price) => Ok(price),
        _ => Err(format!(
            "`{text}` is no price: write a multiple between 0.01 and 1000000"
        )),
    }
}

/// Arguments of every replay.
#[derive(Debug, Args)]
pub(super) struct SharedArguments {
    /// Root of all randomness: the same seed gives the same report, byte for byte.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Worker threads; they change how long it takes, not what comes out.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) threads: u16,
    /// Show a progress line rather than the live view on a terminal.
    #[arg(long)]
    pub(super) no_view: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Prices of unserved demand, as multiples of what serving it costs, at which Twinscale is replayed as
    /// well, by price alone: the points of its frontier. Each takes as long as the replay itself.
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1..=PRICES_MAX, value_parser = parse_price)]
    pub(super) prices: Vec<f64>,
    /// Other forecast weights than the shipped ones; their card is the .json file beside them.
    #[arg(long, value_name = "FILE")]
    pub(super) weights: Option<PathBuf>,
}

impl SharedArguments {
    fn has_view(&self, quiet: bool) -> bool {
        !self.no_view && !self.json && !quiet && has_terminal()
    }

    pub(super) fn optimizer_threads(&self) -> NonZeroUsize {
        NonZeroUsize::new(usize::from(self.threads)).unwrap_or(NonZeroUsize::MIN)
    }
}

/// A replay that a command asks for.
pub(super) struct ReplayRun<'a> {
    pub(super) title: &'static str,
    /// What the progress line calls it.
    pub(super) label: String,
    pub(super) customers: &'a [ReplayCustomer],
    pub(super) weights: ForecastWeights,
    pub(super) shared: &'a SharedArguments,
    /// Whether a live view may show it.
    pub(super) has_view: bool,
    /// The step at which the forecaster is killed, if it is.
    pub(super) killed_at: Option<usize>,
    /// The nodes on which it runs; one alone without.
    pub(super) cluster: Option<ClusterOptions>,
}

/// Replays on an embedded node in a temporary folder; returns what came of it with the report's frame.
pub(super) fn run_replay(
    run: ReplayRun<'_>,
    sink: &mut dyn StepSink,
    quiet: bool,
) -> anyhow::Result<(Replayed, ReportFrame<'static>)> {
    let seed = run.shared.seed;
    let folder = tempfile::tempdir()
        .map_err(|source| ExpectedError::file("create", &std::env::temp_dir(), source))?;
    let cloud = SimCloudConfig::with_seed(seed);
    let rival_start_up = cloud.start_up.shape.median;
    let options = ReplayOptions {
        node: NodeOptions {
            directory: folder.path().to_owned(),
            seed,
            optimizer_threads: run.shared.optimizer_threads(),
            weights: run.weights.clone(),
            cloud,
            watch: WatchLimits::patient(),
            instruments: Instruments::default(),
        },
        kill_forecaster_at: run.killed_at,
    };
    let runtime = super::runtime(usize::from(run.shared.threads))?;
    let outcome = if let Some(cluster) = run.cluster {
        let progress = Progress::start(&run.label, 1, quiet);
        let replayed = replay_on_cluster(run.customers, options, cluster, sink, &progress);
        runtime.block_on(replayed)?
    } else if run.has_view && run.shared.has_view(quiet) {
        runtime.block_on(viewed(&run, options, sink))?
    } else {
        let progress = Progress::start(&run.label, 1, quiet);
        runtime.block_on(replay(run.customers, options, sink, &progress))?
    };
    let frame = ReportFrame {
        title: run.title,
        seed,
        rival_start_up,
        killed_at: run.killed_at,
        notes: notes(rival_start_up),
    };
    Ok((outcome, frame))
}

/// Replays under a live view, until the replay or its reader ends it.
async fn viewed(
    run: &ReplayRun<'_>,
    options: ReplayOptions,
    sink: &mut dyn StepSink,
) -> anyhow::Result<Replayed> {
    let view = LiveView::open(QuitMeaning::View)?;
    let mut sink = WatchedReplay::new(sink, run.customers, run.title, Box::new(view.feed()));
    // Quiet until the view is closed.
    let progress = Progress::start(&run.label, 1, true);
    let mut stops = Stops::listen(&view)?;
    tokio::select! {
        biased;
        stopped = stops.next(&progress) => Err(stopped.into()),
        outcome = replay(run.customers, options, &mut sink, &progress) => outcome,
    }
}

/// Replays customers once more for each price that was asked for, and adds the points to the report.
///
/// The policies are put back afterwards.
pub(super) fn replay_prices(
    customers: &mut [ReplayCustomer],
    weights: &ForecastWeights,
    shared: &SharedArguments,
    input: &mut ReportInput,
    quiet: bool,
) -> anyhow::Result<()> {
    let policies: Vec<Sla> = customers.iter().map(|one| one.policy.sla).collect();
    for price in &shared.prices {
        for one in &mut *customers {
            let ratio = FixedValue::from_measured(*price)?;
            one.policy.sla = by_price_alone(&one.policy.sla, ratio);
        }
        let run = ReplayRun {
            title: "price",
            label: format!("at price {price}"),
            customers,
            weights: weights.clone(),
            shared,
            has_view: false,
            killed_at: None,
            cluster: None,
        };
        let (outcome, _frame) = run_replay(run, &mut Unwatched, quiet)?;
        input
            .frontier
            .extend(price_point(customers, &outcome, input, *price));
    }
    for (one, sla) in customers.iter_mut().zip(policies) {
        one.policy.sla = sla;
    }
    Ok(())
}

/// A service level that nothing but the price of unserved demand decides.
fn by_price_alone(sla: &Sla, unserved_price_ratio: FixedValue) -> Sla {
    let [level_min, level_max] = LEVELS_BY_PRICE;
    Sla {
        level_min,
        level_max,
        risk_budget: PartsPerMillion::ONE,
        unserved_price_ratio,
        ..*sla
    }
}

/// Writes the pages of a report into its folder.
pub(super) fn write_pages(folder: &Path, input: &ReportInput) -> Result<(), ExpectedError> {
    for page in report_pages(input) {
        let path = folder.join(&page.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|source| ExpectedError::file("create", parent, source))?;
        }
        write(&path, &page.text)?;
    }
    Ok(())
}

/// Writes a text file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), ExpectedError> {
    std::fs::write(path, text).map_err(|source| ExpectedError::file("write", path, source))
}

/// What a reader of any report must know.
fn notes(rival_start_up: Seconds) -> Vec<String> {
    vec![
        format!(
            "VMs of the simulated cloud take a random time to start (median {rival_start_up}); those of \
             the rivals always take the median."
        ),
        "A decision sees the samples of completed intervals only; the rivals see no more."
            .to_owned(),
        "The first day of each replay warms the allocation up and is not scored.".to_owned(),
    ]
}

/// Writes a picture of the first customer with events, or the first one.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_picture(path: &Path, input: &ReportInput) -> Result<(), ExpectedError> {
    let with_events = input.customers.iter().find(|one| !one.events.is_empty());
    let Some(chosen) = with_events.or(input.customers.first()) else {
        return Ok(());
    };
    let themes = [
        (Theme::Light, path.to_owned()),
        (Theme::Dark, dark_path(path)),
    ];
    for (theme, path) in themes {
        if let Some(svg) = picture_svg(input, &chosen.customer, theme) {
            std::fs::write(&path, svg)
                .map_err(|source| ExpectedError::file("write", &path, source))?;
        }
    }
    Ok(())
}

/// `picture.svg` -> `picture-dark.svg`.
fn dark_path(path: &Path) -> PathBuf {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!("{stem}-dark.svg"))
}
