//! `twinscale policy`: trains a policy that chooses by which price of a miss to act, and compares it.

mod table;

use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use clap::{Args, Subcommand};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use twinscale_forecast_model::policy::{
    CrossOptions, PolicyCard, PolicyNetwork, PolicyProgress, cross_train, kept_back_by,
};
use twinscale_policy::bootstrap::Draws;
use twinscale_policy::compare::{Candidate, compare};
use twinscale_policy::evaluate::{Field, OffPolicyOptions, decisions, off_policy};
use twinscale_policy::guard::{Guard, Ladder};
use twinscale_policy::policies::{FollowBest, Guarded, StochasticPolicy};
use twinscale_policy::read::{MANIFEST_BYTES_MAX, Suites, read_decisions};
use twinscale_policy::trace::Trace;
use twinscale_policy::write::write_decisions;

/// Format of the JSON output.
const FORMAT: &str = "twinscale-policy-comparison/1";

/// Trains a policy that chooses by which price of a miss to act, and compares it with fixed settings.
///
/// Nothing acts by it in a node: on the traces that it was tried on it does not pay. See docs/policy.md.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Train one policy for each fold of the customers, on all others.
    Train(TrainArguments),
    /// Compare trained policies, each on the customers kept back from it, with fixed settings.
    Compare(CompareArguments),
}

/// Which decisions, on which traces.
#[derive(Debug, Args)]
struct FieldArguments {
    /// Decisions of `twinscale bench elasticity`, plain or .gz. May be given again.
    #[arg(long, value_name = "FILE", required = true)]
    decisions: Vec<PathBuf>,
    /// Directory with manifest.json and a folder per split.
    #[arg(long, value_name = "DIR")]
    traces: PathBuf,
    /// The split: the folder's name.
    #[arg(long, default_value = "dev")]
    split: String,
    /// Only these suites; all when left out. May be given again.
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Folder of the policies: policy-0.safetensors with its card, and so on.
    #[arg(long, value_name = "DIR")]
    weights: PathBuf,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct TrainArguments {
    #[command(flatten)]
    field: FieldArguments,
    /// Rounds of training of each policy.
    #[arg(long)]
    rounds: Option<u32>,
    /// Parts that the customers are divided into.
    #[arg(long)]
    folds: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    #[command(flatten)]
    field: FieldArguments,
    /// Write what the learned policies decide, in the format of the benchmark.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Print all figures as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &PolicyCommand, quiet: bool) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Train(arguments) => train(arguments, quiet),
        PolicyCommand::Compare(arguments) => compared(arguments),
    }
}

fn open(path: &Path) -> Result<Box<dyn Read>, ExpectedError> {
    let file = File::open(path).map_err(|source| ExpectedError::file("read", path, source))?;
    let file = BufReader::new(file);
    if path.extension().is_some_and(|ending| ending == "gz") {
        return Ok(Box::new(MultiGzDecoder::new(file)));
    }
    Ok(Box::new(file))
}

fn read(arguments: &FieldArguments) -> anyhow::Result<(Ladder, Vec<Trace>)> {
    let path = arguments.traces.join("manifest.json");
    let mut manifest = String::new();
    open(&path)?
        .take(MANIFEST_BYTES_MAX as u64 + 1)
        .read_to_string(&mut manifest)
        .map_err(|source| ExpectedError::file("read", &path, source))?;
    let suites = Suites::read(&manifest)
        .map_err(|error| ExpectedError::input(path.display().to_string(), error))?;
    let mut demands = Vec::new();
    for suite in suites.names() {
        if !arguments.suite.is_empty() && !arguments.suite.iter().any(|name| name == suite) {
            continue;
        }
        let path = arguments
            .traces
            .join(format!("{}/{suite}.csv.gz", arguments.split));
        let rows = open(&path)?;
        let read = suites.demands(suite, &arguments.split, rows);
        demands
            .extend(read.map_err(|error| ExpectedError::input(path.display().to_string(), error))?);
    }
    let files = arguments.decisions.iter().map(|path| open(path));
    let mut files = files.collect::<Result<Vec<_>, _>>()?;
    Ok(read_decisions(demands, &mut files)
        .map_err(|error| ExpectedError::input("the decisions cannot be used", error))?)
}

fn train(arguments: &TrainArguments, quiet: bool) -> anyhow::Result<()> {
    let field = &arguments.field;
    let (ladder, traces) = read(field)?;
    let mut options = CrossOptions::default();
    options.train.seed = field.seed;
    options.train.rounds = arguments.rounds.unwrap_or(options.train.rounds);
    options.folds = arguments.folds.unwrap_or(options.folds);
    let rounds = u64::from(options.train.rounds);
    let progress = Progress::start("training", rounds * options.folds as u64, quiet);
    let mut tell = |fold: usize, one: &PolicyProgress| {
        progress.at(rounds * fold as u64 + u64::from(one.round));
        progress.note(format!(
            "fold {} of {}: mean return {:.4}",
            fold + 1,
            options.folds,
            one.mean_return
        ));
    };
    let crossed = cross_train(&traces, &ladder, &options, &mut tell)
        .map_err(|error| ExpectedError::input("training ended without policies", error))?;
    drop(progress);
    let folder = &field.weights;
    fs::create_dir_all(folder).map_err(|source| ExpectedError::file("make", folder, source))?;
    for (policy, card) in &crossed.policies {
        let name = format!("policy-{}", card.fold);
        let weights = policy.policy.write()?;
        write(&folder.join(format!("{name}.safetensors")), &weights)?;
        let text = serde_json::to_string_pretty(card)? + "\n";
        write(&folder.join(format!("{name}.json")), text.as_bytes())?;
        for score in &card.scores {
            let saved = score.saved.iter();
            let saved: Vec<String> = saved.map(|share| format!("{:.1}", 100.0 * share)).collect();
            console::print(&format!(
                "{name} {}: {}, {} traces kept back, % saved at each price: {}\n",
                card.weights_id,
                score.suite,
                score.traces,
                saved.join(" ")
            ))?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ExpectedError> {
    fs::write(path, bytes).map_err(|source| ExpectedError::file("write", path, source))
}

/// The policies of a folder, and which of them each trace was kept back from.
fn read_policies(
    folder: &Path,
    ladder: &Ladder,
    traces: &[Trace],
) -> anyhow::Result<(Vec<usize>, Guard, Vec<Guarded<PolicyNetwork>>)> {
    let (mut policies, mut cards) = (Vec::new(), Vec::new());
    let mut count = 1;
    while policies.len() < count {
        let path = folder.join(format!("policy-{}.safetensors", policies.len()));
        let bytes = fs::read(&path).map_err(|source| ExpectedError::file("read", &path, source))?;
        let path = path.with_extension("json");
        let text = fs::read_to_string(&path)
            .map_err(|source| ExpectedError::file("read", &path, source))?;
        let unusable = || format!("{} cannot be used", path.display());
        let card: PolicyCard =
            serde_json::from_str(&text).map_err(|error| ExpectedError::input(unusable(), error))?;
        count = card.folds;
        let policy = card.open(&bytes, ladder);
        policies.push(policy.map_err(|error| ExpectedError::input(unusable(), error))?);
        cards.push(card);
    }
    let guard = cards.first().map(|card| card.guard).unwrap_or_default();
    let folds = kept_back_by(&cards, traces)
        .map_err(|error| ExpectedError::input("the policies do not fit the traces", error))?;
    Ok((folds, guard, policies))
}

fn compared(arguments: &CompareArguments) -> anyhow::Result<()> {
    let (ladder, traces) = read(&arguments.field)?;
    let (folds, guard, policies) = read_policies(&arguments.field.weights, &ladder, &traces)?;
    let field = Field {
        traces: &traces,
        ladder: &ladder,
        guard: &guard,
        folds: &folds,
    };
    let learned: Vec<&dyn StochasticPolicy> = policies
        .iter()
        .map(|policy| policy as &dyn StochasticPolicy)
        .collect();
    let rule = FollowBest::default();
    let by_network = decisions(&field, &learned)?;
    let by_rule = decisions(&field, &[&rule])?;
    let (moved, rule_moved) = (by_network.moved, by_rule.moved);
    if let Some(path) = &arguments.write {
        let failed = |source| ExpectedError::file("write", path, source);
        let file = BufWriter::new(File::create(path).map_err(failed)?);
        let mut packed = GzEncoder::new(file, Compression::default());
        write_decisions(&mut packed, &traces, &ladder, &by_network.desired)?;
        let mut file = packed.finish().map_err(failed)?;
        file.flush().map_err(failed)?;
    }
    let candidates = [("learned", by_network), ("rule", by_rule)].map(|(name, by)| Candidate {
        name: name.to_owned(),
        desired: by.desired,
    });
    let comparison = compare(&traces, &ladder, &guard, &candidates, &Draws::default())?;
    let logged = OffPolicyOptions::with_seed(&ladder, arguments.field.seed);
    let judged = off_policy(&field, &learned, &logged)?;
    let judged_rule = off_policy(&field, &[&rule], &logged)?;
    if arguments.json {
        return super::standing::print_json(&serde_json::json!({
            "format": FORMAT,
            "comparison": comparison,
            "off_policy": { "learned": judged, "rule": judged_rule },
            "moved": { "learned": moved, "rule": rule_moved },
        }));
    }
    let mut text = format!(
        "Steps away from the operator's setting: learned {:.1} %, rule {:.1} %\n",
        100.0 * moved,
        100.0 * rule_moved
    );
    table::print(&mut text, &comparison)?;
    table::print_judged(&mut text, "learned", &judged)?;
    table::print_judged(&mut text, "rule", &judged_rule)?;
    console::print(&text)?;
    Ok(())
}
