use super::*;
use proptest::prelude::*;

fn member(spend: f64, risk: f64, response_s: Option<f64>) -> Member {
    Member {
        plan: Plan {
            counts: Vec::new(),
            blocks: Vec::new(),
            iops_blocks: Vec::new(),
            link_option: Vec::new(),
        },
        spend,
        risk,
        response: response_s.map(|mean_s| Response {
            mean_s,
            median_s: mean_s,
            covered_s: mean_s,
        }),
        worth: 0.0,
        levels: Vec::new(),
    }
}

fn dominates(left: &Member, right: &Member) -> bool {
    let pairs = [
        (left.spend, right.spend),
        (left.risk, right.risk),
        (left.response_s(), right.response_s()),
    ];
    pairs.iter().all(|(left, right)| left <= right)
        && pairs.iter().any(|(left, right)| left < right)
}

proptest! {
    #[test]
    fn none_that_stays_is_dominated_and_all_others_were_or_were_crowded_out(
        values in prop::collection::vec((0_u32..40, 0_u32..40, 0_u32..40), 1..300),
        queues in any::<bool>(),
    ) {
        let of = |(spend, risk, response): &(u32, u32, u32)| {
            let response = queues.then(|| f64::from(*response));
            member(f64::from(*spend), f64::from(*risk), response)
        };
        let members: Vec<Member> = values.iter().map(of).collect();
        let front = select(members.clone());
        for left in &front {
            prop_assert!(front.iter().all(|right| !dominates(left, right)));
        }
        let most = if queues { FRONT_MAX } else { FLAT_MAX };
        prop_assert!(front.len() <= most, "{}", front.len());
        if front.len() < FLAT_MAX {
            for member in &members {
                let covers = |kept: &Member| kept.risk <= member.risk && kept.covers(member);
                prop_assert!(front.iter().any(covers));
            }
        }
        // What decides between spend and risk alone is never crowded out by quicker plans.
        let all: Vec<Member> = values.iter().map(|(spend, risk, _)| of(&(*spend, *risk, 0))).collect();
        for member in select(all) {
            let covers = |kept: &&Member| kept.risk <= member.risk && kept.spend <= member.spend;
            prop_assert!(flat(&front).iter().any(covers));
        }
        prop_assert_eq!(select(front.clone()), front);
    }
}

#[test]
fn a_crowded_front_keeps_its_ends() {
    let members = (0..1_000_u32).map(|place| {
        let place = f64::from(place);
        member(1e6 - place * place, place, None)
    });
    let front = select(members.collect());
    assert_eq!(front.len(), FLAT_MAX);
    assert!(front[0].risk.abs() < 1e-12 && (front[FLAT_MAX - 1].risk - 999.0).abs() < 1e-12);
}
