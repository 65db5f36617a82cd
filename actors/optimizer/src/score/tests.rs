use super::*;
use crate::evaluate::{Rule, evaluate};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

proptest! {
    #[test]
    fn a_score_agrees_with_the_judge(
        seed in any::<u64>(),
        delay in 0_usize..4,
        min_up in 1_usize..6,
        wild in 0_u32..6,
    ) {
        let mut problem = Problem::from_json(TWO_TIERS).expect("a problem");
        for tier in &mut problem.tiers {
            (tier.delay_steps, tier.min_up_steps) = (delay, min_up.max(delay));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut plan = Plan::unchanged(&problem);
        let mut shake = |series: &mut Vec<u32>| {
            for count in series.iter_mut() {
                *count = (*count + rng.random_range(0..=wild)).saturating_sub(wild / 2);
            }
        };
        plan.counts.iter_mut().flatten().for_each(&mut shake);
        if wild > 2 {
            plan.blocks.iter_mut().chain(&mut plan.iops_blocks).for_each(&mut shake);
            shake(&mut plan.link_option);
        }
        let judged = evaluate(&problem, &plan);
        let mut scorer = Scorer::new(&problem);
        // The second score must not remember the first.
        scorer.score(&Plan::unchanged(&problem));
        let score = scorer.score(&plan);
        prop_assert!((score.cost - judged.cost).abs() < 1e-9);
        prop_assert!((score.spend - judged.spend).abs() < 1e-9);
        prop_assert!((score.risk - judged.risk).abs() < 1e-12);
        prop_assert_eq!(score.broken == 0, judged.feasible(), "{:?}", judged.violations);
        let levels: Vec<usize> = judged
            .levels
            .iter()
            .map(|level| level.unwrap_or(problem.level_min))
            .collect();
        prop_assert_eq!(scorer.levels(), levels.as_slice());
        let responses = Responses::new(&problem).expect("has queues");
        if judged.violations.iter().all(|broken| broken.rule != Rule::MinUp) {
            prop_assert_eq!(scorer.response(&responses), responses.of(&plan, &levels));
        }
    }
}
