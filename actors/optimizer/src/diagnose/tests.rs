use super::*;

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

fn problem() -> Problem {
    Problem::from_json(TWO_TIERS).expect("a problem")
}

#[track_caller]
fn check(change: impl FnOnce(&mut Problem), rule: Rule, parts: &[&str]) {
    let mut problem = problem();
    change(&mut problem);
    let found = impossible(&problem).expect("cannot be kept");
    assert_eq!(found.rule, rule, "{}", found.binding);
    for part in parts {
        assert!(
            found.binding.contains(part),
            "{part:?} is not in {:?}",
            found.binding
        );
    }
}

#[test]
fn what_can_be_planned_is_not_called_impossible() {
    assert_eq!(impossible(&problem()), None);
}

#[test]
fn each_limit_that_cannot_be_kept_is_named_with_its_shortfall() {
    check(
        |p| p.vcpu_quota = 0.5,
        Rule::VcpuQuota,
        &["at step", "short", "limit is 0.5"],
    );
    check(
        |p| p.step_spend_max = 0.01,
        Rule::StepSpend,
        &["at step", "$", "short"],
    );
    check(|p| p.budget = 0.02, Rule::Budget, &["budget", "short"]);
    check(
        |p| p.risk_budget = 0.001,
        Rule::Risk,
        &["highest level", "short"],
    );
    check(
        |p| {
            p.tiers[0]
                .options
                .iter_mut()
                .for_each(|option| option.capacity[1] = 0.0);
        },
        Rule::LevelMin,
        &["no VM type gives", "more"],
    );
    check(
        |p| p.tiers[0].vms_max = 0,
        Rule::VmsMax,
        &["most VMs of", "more"],
    );
    check(
        |p| p.volumes[0].blocks_max = 0,
        Rule::VolumeBlocks,
        &["GiB", "short"],
    );
    check(
        |p| {
            p.link
                .iter_mut()
                .for_each(|link| link.options = vec![(1.0, 0.0)]);
        },
        Rule::LinkOption,
        &["Mbps", "short"],
    );
}
