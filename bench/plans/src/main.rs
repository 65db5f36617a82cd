//! The planner beside what a user would pick instead, in the same run, each with the same time on one
//! thread: `HiGHS` alone with the whole problem as one program, and the crate `genetic_algorithm` on the
//! counts of VMs, with the seed by rule in its first population and the planner's own scorer.
//!
//! `CARGO_TARGET_DIR=target cargo run --manifest-path bench/plans/Cargo.toml -- SECONDS PROBLEM...`; a table, then
//! JSON.

use genetic_algorithm::strategy::evolve::prelude::*;
use serde_json::json;
use std::error::Error;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use twinscale_optimizer::bench::solver_alone;
use twinscale_optimizer::evaluate::evaluate;
use twinscale_optimizer::pace::Deadline;
use twinscale_optimizer::plan::Plan;
use twinscale_optimizer::score::Scorer;
use twinscale_optimizer::search::{SearchSettings, search};
use twinscale_optimizer::{PlanLimit, PlanOptions, Problem, plan_file};

/// Price in $ of a broken constraint, against all else.
const BROKEN: f64 = 1e6;
/// Dollars that one point of the rival's whole-number fitness stands for.
const PRECISION: f64 = 1e-6;
/// Chromosomes of the rival.
const POPULATION: usize = 100;

/// Scores a chromosome: the counts of VMs, tier by tier, type by type, step by step.
#[derive(Clone, Debug)]
struct Cost {
    scorer: Scorer<'static>,
    plan: Plan,
    clock: Arc<Deadline>,
    abort: Arc<AtomicBool>,
    time: Duration,
}

impl Fitness for Cost {
    type Genotype = MultiRangeGenotype<i32>;

    fn calculate_for_chromosome(
        &mut self,
        chromosome: &FitnessChromosome<Self>,
        _genotype: &FitnessGenotype<Self>,
    ) -> Option<FitnessValue> {
        if self.clock.elapsed() >= self.time {
            self.abort.store(true, Ordering::Relaxed);
        }
        write(&chromosome.genes, &mut self.plan);
        let score = self.scorer.score(&self.plan);
        fitness_score(score.cost + BROKEN * f64::from(score.broken), PRECISION)
    }
}

fn write(genes: &[i32], plan: &mut Plan) {
    let counts = plan.counts.iter_mut().flatten().flatten();
    for (count, gene) in counts.zip(genes) {
        *count = u32::try_from(*gene).unwrap_or(0);
    }
}

/// Most VMs of each type that have a use.
fn ranges(problem: &Problem) -> Vec<RangeInclusive<i32>> {
    let mut ranges = Vec::new();
    for tier in &problem.tiers {
        for option in &tier.options {
            let mut most = f64::from(option.initial.max(tier.vms_min));
            for required in tier.requirement.chunks(tier.resources) {
                let needs = required.iter().zip(&option.capacity);
                let needs = needs.filter(|(_, units)| **units > 0.0);
                most = needs.fold(most, |most, (need, units)| most.max((need / units).ceil()));
            }
            #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
            let most = most.min(1e6) as i32;
            ranges.extend(std::iter::repeat_n(0..=most, problem.steps));
        }
    }
    ranges
}

/// The rival's plan from the seed by rule.
fn rival(problem: &'static Problem, seed: &Plan, time: Duration) -> Result<Plan, Box<dyn Error>> {
    let genes = seed.counts.iter().flatten().flatten();
    let genes: Vec<i32> = genes
        .map(|count| i32::try_from(*count).unwrap_or(0))
        .collect();
    let genotype = MultiRangeGenotype::<i32>::builder()
        .with_mutation_types(vec![MutationType::Step(1); genes.len()])
        .with_allele_ranges(ranges(problem))
        .with_seed_genes_list(vec![genes])
        .build()
        .map_err(|error| format!("{error:?}"))?;
    let abort = Arc::new(AtomicBool::new(false));
    let evolve = Evolve::builder()
        .with_genotype(genotype)
        .with_target_population_size(POPULATION)
        .with_max_generations(usize::MAX)
        .with_abort_flag(Arc::clone(&abort))
        .with_fitness_ordering(FitnessOrdering::Minimize)
        .with_fitness(Cost {
            scorer: Scorer::new(problem),
            plan: seed.clone(),
            clock: Arc::new(Deadline::starting_now(time)),
            abort,
            time,
        })
        .with_select(SelectTournament::new(0.5, 0.02, 4))
        .with_crossover(CrossoverMultiPoint::new(0.7, 0.8, 2, false))
        .with_mutate(MutateMultiGene::new(4, 0.8))
        .with_rng_seed_from_u64(1)
        .call()
        .map_err(|error| format!("{error:?}"))?;
    let mut plan = seed.clone();
    if let Some((genes, _)) = evolve.best_genes_and_fitness_score() {
        write(&genes, &mut plan);
    }
    Ok(plan)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().ok_or("give the seconds for each")?;
    let time = Duration::from_secs_f64(seconds.parse()?);
    let mut rows = Vec::new();
    println!(
        "{:30} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}",
        "problem", "rule", "planner", "bound", "HiGHS", "its bound", "GA crate"
    );
    for path in arguments {
        let text = std::fs::read_to_string(&path)?;
        let problem: &'static Problem = Box::leak(Box::new(Problem::from_json(&text)?));
        let options = PlanOptions {
            limit: PlanLimit::Deadline(time),
            threads: 1,
            seed: 1,
        };
        let planned = plan_file(&text, &options)?;
        let alone = solver_alone(problem, time);
        let settings = SearchSettings {
            seed: 1,
            evaluations: 0,
            threads: 1,
        };
        let rule = search(problem, &settings, None, &mut |_, _| true).plan;
        let evolved = rival(problem, &rule, time)?;
        let cost = |plan: &Plan| {
            let judged = evaluate(problem, plan);
            judged.feasible().then_some(judged.cost)
        };
        let (ours, bound) = (planned.outcome.evaluation.cost, planned.solved.bound.cost);
        let solver = alone.plan.as_ref().and_then(&cost);
        let (rule, evolved) = (cost(&rule), cost(&evolved));
        let shown = |cost: Option<f64>| cost.map_or("none".to_owned(), |cost| format!("{cost:.4}"));
        println!(
            "{:30} {:>11} {ours:11.4} {bound:11.4} {:>11} {:11.4} {:>11}",
            problem.id,
            shown(rule),
            shown(solver),
            alone.bound,
            shown(evolved),
        );
        rows.push(json!({
            "id": problem.id,
            "seconds": time.as_secs_f64(),
            "rule": rule,
            "planner": ours,
            "planner_bound": bound,
            "highs": solver,
            "highs_bound": alone.bound.is_finite().then_some(alone.bound),
            "genetic_algorithm": evolved,
        }));
    }
    println!("{}", json!(rows));
    Ok(())
}
