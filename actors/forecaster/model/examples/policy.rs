//! Trains policies that choose a price of a miss, by folds of customers, and compares them with fixed
//! settings on the customers kept back.
//!
//! `cargo run --release -p twinscale-forecast-model --example policy -- train --decisions FILE... --traces DIR --weights DIR`
//! `... -- compare --decisions FILE... --traces DIR --weights DIR [--write FILE] [--json]`
//!
//! Also `--split NAME`, `--suite NAME`, `--seed N`, `--rounds N`, `--folds N`, `--pieces N`. DIR of the
//! traces holds `manifest.json` and `SPLIT/SUITE.csv.gz`; decisions are files of `twinscale bench
//! elasticity`, packed or not.

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use twinscale_forecast_model::policy::{
    CrossOptions, PolicyCard, PolicyNetwork, PolicyProgress, cross_train, kept_back_by,
};
use twinscale_policy::bootstrap::{Draws, Interval};
use twinscale_policy::compare::{Candidate, Comparison, SuiteComparison, compare};
use twinscale_policy::evaluate::{Field, OffPolicyOptions, OffPolicyRow, decisions, off_policy};
use twinscale_policy::guard::{Guard, Ladder};
use twinscale_policy::policies::{FollowBest, Guarded, StochasticPolicy};
use twinscale_policy::read::{MANIFEST_BYTES_MAX, Suites, read_decisions};
use twinscale_policy::trace::Trace;
use twinscale_policy::write::write_decisions;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rounds between two lines of progress.
const TOLD_EVERY: u32 = 50;

struct Options {
    command: String,
    decisions: Vec<PathBuf>,
    traces: PathBuf,
    split: String,
    suites: Vec<String>,
    weights: PathBuf,
    write: Option<PathBuf>,
    is_json: bool,
    cross: CrossOptions,
}

fn main() -> Outcome<()> {
    let options = options()?;
    let (ladder, traces) = read(&options)?;
    match options.command.as_str() {
        "train" => train(&options, &ladder, &traces),
        "compare" => compared(&options, &ladder, &traces),
        other => Err(format!("`{other}` is no command: give train or compare").into()),
    }
}

fn options() -> Outcome<Options> {
    let mut words = std::env::args().skip(1);
    let mut options = Options {
        command: words.next().ok_or("give a command: train or compare")?,
        decisions: Vec::new(),
        traces: PathBuf::new(),
        split: "dev".to_owned(),
        suites: Vec::new(),
        weights: PathBuf::from("policy-weights"),
        write: None,
        is_json: false,
        cross: CrossOptions::default(),
    };
    while let Some(word) = words.next() {
        if word == "--json" {
            options.is_json = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("`{word}` needs a value"))?;
        match word.as_str() {
            "--decisions" => options.decisions.push(value.into()),
            "--traces" => options.traces = value.into(),
            "--split" => options.split = value,
            "--suite" => options.suites.push(value),
            "--weights" => options.weights = value.into(),
            "--write" => options.write = Some(value.into()),
            "--seed" => options.cross.train.seed = value.parse()?,
            "--rounds" => options.cross.train.rounds = value.parse()?,
            "--folds" => options.cross.folds = value.parse()?,
            "--pieces" => options.cross.pieces_each = value.parse()?,
            _ => return Err(format!("`{word}` is no option").into()),
        }
    }
    Ok(options)
}

fn open(path: &Path) -> Outcome<Box<dyn Read>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = BufReader::new(file);
    if path.extension().is_some_and(|ending| ending == "gz") {
        return Ok(Box::new(MultiGzDecoder::new(file)));
    }
    Ok(Box::new(file))
}

fn read(options: &Options) -> Outcome<(Ladder, Vec<Trace>)> {
    let mut manifest = String::new();
    open(&options.traces.join("manifest.json"))?
        .take(MANIFEST_BYTES_MAX as u64 + 1)
        .read_to_string(&mut manifest)?;
    let suites = Suites::read(&manifest)?;
    let mut demands = Vec::new();
    for suite in suites.names() {
        if !options.suites.is_empty() && !options.suites.iter().any(|name| name == suite) {
            continue;
        }
        let path = format!("{}/{suite}.csv.gz", options.split);
        let rows = open(&options.traces.join(path))?;
        demands.extend(suites.demands(suite, &options.split, rows)?);
    }
    let files = options.decisions.iter().map(|path| open(path));
    Ok(read_decisions(
        demands,
        &mut files.collect::<Outcome<Vec<_>>>()?,
    )?)
}

fn train(options: &Options, ladder: &Ladder, traces: &[Trace]) -> Outcome<()> {
    let mut err = io::stderr().lock();
    let mut tell = |fold: usize, one: &PolicyProgress| {
        if one.round.is_multiple_of(TOLD_EVERY) || one.round == one.rounds {
            // Progress that nobody reads is no failure.
            let _told = writeln!(
                err,
                "fold {fold}, round {} of {}: mean return {:.4}, entropy {:.3}",
                one.round, one.rounds, one.mean_return, one.entropy
            );
        }
    };
    let crossed = cross_train(traces, ladder, &options.cross, &mut tell)?;
    fs::create_dir_all(&options.weights)?;
    let mut out = io::stdout().lock();
    for (policy, card) in &crossed.policies {
        let name = format!("policy-{}", card.fold);
        let path = options.weights.join(&name);
        fs::write(path.with_extension("safetensors"), policy.policy.write()?)?;
        let text = serde_json::to_string_pretty(card)?;
        fs::write(path.with_extension("json"), text + "\n")?;
        for score in &card.scores {
            let saved = score.saved.iter();
            let saved: Vec<String> = saved.map(|share| format!("{:.1}", 100.0 * share)).collect();
            writeln!(
                out,
                "{name} {}: {}, {} traces kept back, % saved at each price: {}",
                card.weights_id,
                score.suite,
                score.traces,
                saved.join(" ")
            )?;
        }
    }
    Ok(())
}

fn read_policies(
    options: &Options,
    ladder: &Ladder,
    traces: &[Trace],
) -> Outcome<(Vec<usize>, Guard, Vec<Guarded<PolicyNetwork>>)> {
    let (mut policies, mut cards) = (Vec::new(), Vec::new());
    let mut count = 1;
    while policies.len() < count {
        let path = options.weights.join(format!("policy-{}", policies.len()));
        let told = |error: io::Error| format!("{}: {error}; train first", path.display());
        let bytes = fs::read(path.with_extension("safetensors")).map_err(told)?;
        let text = fs::read_to_string(path.with_extension("json")).map_err(told)?;
        let card: PolicyCard = serde_json::from_str(&text)?;
        count = card.folds;
        policies.push(card.open(&bytes, ladder)?);
        cards.push(card);
    }
    let guard = cards.first().map(|card| card.guard).unwrap_or_default();
    Ok((kept_back_by(&cards, traces)?, guard, policies))
}

fn compared(options: &Options, ladder: &Ladder, traces: &[Trace]) -> Outcome<()> {
    let (folds, guard, policies) = read_policies(options, ladder, traces)?;
    let field = Field {
        traces,
        ladder,
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
    if let Some(path) = &options.write {
        let file = BufWriter::new(File::create(path)?);
        let mut packed = GzEncoder::new(file, Compression::default());
        write_decisions(&mut packed, traces, ladder, &by_network.desired)?;
        packed.finish()?.flush()?;
    }
    let candidates = [("learned", by_network), ("rule", by_rule)].map(|(name, by)| Candidate {
        name: name.to_owned(),
        desired: by.desired,
    });
    let comparison = compare(traces, ladder, &guard, &candidates, &Draws::default())?;
    let logged = OffPolicyOptions::with_seed(ladder, options.cross.train.seed);
    let judged = off_policy(&field, &learned, &logged)?;
    let judged_rule = off_policy(&field, &[&rule], &logged)?;
    let mut out = io::stdout().lock();
    if options.is_json {
        let all = serde_json::json!({
            "comparison": comparison,
            "off_policy": { "learned": judged, "rule": judged_rule },
            "moved": { "learned": moved, "rule": rule_moved },
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    writeln!(
        out,
        "Steps away from the operator's setting: learned {:.1} %, rule {:.1} %",
        100.0 * moved,
        100.0 * rule_moved
    )?;
    print(&mut out, &comparison)?;
    print_judged(&mut out, "learned", &judged)?;
    print_judged(&mut out, "rule", &judged_rule)?;
    Ok(())
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

fn ratio(value: Option<Interval>) -> String {
    value.map_or("-".to_owned(), |one| {
        format!("{:.3} ({:.3}..{:.3})", one.point, one.low, one.high)
    })
}

fn percent(value: Option<Interval>) -> String {
    value.map_or("-".to_owned(), |one| {
        let [point, low, high] = [one.point, one.low, one.high].map(|share| 100.0 * share);
        format!("{point:.2} ({low:.2}..{high:.2})")
    })
}

fn print(out: &mut impl Write, comparison: &Comparison) -> io::Result<()> {
    for suite in &comparison.suites {
        writeln!(
            out,
            "\n### {}: {} traces of {} customers",
            suite.suite, suite.traces, suite.customers
        )?;
        print_levels(out, suite)?;
        print_money(out, suite)?;
    }
    Ok(())
}

fn print_levels(out: &mut impl Write, suite: &SuiteComparison) -> io::Result<()> {
    writeln!(
        out,
        "| level | fixed | policy | cost | cost over fixed, 90 % |\n|---|---|---|---|---|"
    )?;
    for row in &suite.levels {
        for cell in &row.candidates {
            writeln!(
                out,
                "| {:?} {} % | {} | {} | {} | {} |",
                row.measure,
                row.level,
                number(row.fixed),
                cell.name,
                number(cell.cost),
                ratio(cell.ratio)
            )?;
        }
    }
    Ok(())
}

fn print_money(out: &mut impl Write, suite: &SuiteComparison) -> io::Result<()> {
    writeln!(
        out,
        "\n| price | own setting | best fixed (its price) | hindsight per trace | policy | money | saved of own, % | saved of best fixed, % |\n|---|---|---|---|---|---|---|---|"
    )?;
    for row in &suite.money {
        for cell in &row.candidates {
            writeln!(
                out,
                "| {} | {:.3} | {:.3} ({}) | {:.3} | {} | {:.3} | {} | {} |",
                row.price,
                row.own,
                row.best_fixed,
                row.best_fixed_price,
                row.hindsight,
                cell.name,
                cell.money,
                percent(cell.saved),
                percent(cell.saved_of_best_fixed)
            )?;
        }
    }
    Ok(())
}

fn print_judged(out: &mut impl Write, name: &str, rows: &[OffPolicyRow]) -> io::Result<()> {
    writeln!(
        out,
        "\n### Off policy: `{name}` from decisions logged around the operator's setting\n| suite | price | replay, % saved | doubly robust | importance weights | self-normalised | effective steps | gate |\n|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        let price = row
            .price
            .map_or("all".to_owned(), |price| price.to_string());
        let gate = row.verdict.map_or(String::new(), |one| format!("{one:?}"));
        writeln!(
            out,
            "| {} | {price} | {} | {} | {} | {} | {:.2} % | {gate} |",
            row.suite,
            percent(row.replayed),
            percent(row.doubly_robust),
            percent(row.weighted),
            percent(row.self_normalised),
            100.0 * row.effective
        )?;
    }
    Ok(())
}
