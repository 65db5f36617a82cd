use super::*;
use proptest::prelude::*;
use twinscale_protocol::{DomainTime, FixedValue, MicroDollars, Seconds, VmTypeId};

fn option(name: &str, price: i64, capacity: i64) -> CaseOption {
    CaseOption {
        vm_type: VmTypeId::new(name).expect("a VM type"),
        price_per_hour: MicroDollars(price),
        capacity: FixedValue(capacity * 1_000_000),
    }
}

/// One VM per unit of demand, hourly, 300 s start-up, at one dollar an hour.
fn case(demand: &[i64]) -> TierCase {
    let values = demand
        .iter()
        .map(|units| Some(FixedValue(units * 1_000_000)));
    TierCase {
        start: DomainTime(1_000_000),
        interval: Seconds(3_600),
        demand: values.collect(),
        history: vec![Some(FixedValue(2_000_000))],
        options: vec![option("a", 1_000_000, 1)],
        start_up: Seconds(300),
        minimum_bill: Seconds(60),
        floor: 0,
        ceiling: 1_000,
    }
}

struct Golden {
    interval: u32,
    start_up: u32,
    load_milli: &'static [i64],
    counts: &'static [u32],
    foresight: &'static [u32],
    billed: u64,
}

/// Samples before the window of each [`Golden`].
const HISTORY: usize = 8;

/// Made by an independent implementation of the same rules in Python: an hour's sample with a start-up of
/// one hour and of none, and a minute's with five minutes.
const GOLDEN: &[Golden] = &[
    Golden {
        interval: 3600,
        start_up: 3600,
        load_milli: &[
            7196, 7356, 11030, 13627, 16100, 32371, 13143, 12548, 15595, 16880, 12845, 8286, 7606,
            12016, 7562, 2016, 4725, 1550, 2305, 2506, 2217, 5607, 23048, 4929, 8413, 10688, 6465,
            10853, 10341, 13055, 11164, 14417, 14257, 13297, 10954, 11482, 8770, 6890, 9100, 22779,
            8695, 6645, 0, 4374, 1121, 3848, 4371, 591,
        ],
        counts: &[
            13, 16, 16, 13, 9, 8, 13, 13, 3, 5, 2, 3, 3, 3, 6, 24, 5, 9, 11, 7, 11, 11, 14, 14, 14,
            14, 14, 11, 11, 9, 7, 10, 23, 9, 7, 1, 5, 5, 4, 4,
        ],
        foresight: &[
            17, 17, 13, 9, 13, 13, 8, 5, 5, 3, 3, 3, 6, 24, 24, 9, 11, 11, 11, 11, 14, 14, 15, 15,
            15, 14, 12, 12, 9, 10, 23, 23, 9, 7, 5, 5, 4, 5, 5, 1,
        ],
        billed: 1_368_000,
    },
    Golden {
        interval: 3600,
        start_up: 0,
        load_milli: &[
            8475, 9760, 13753, 10023, 15205, 29652, 13641, 12422, 17170, 14480, 17703, 12505,
            11663, 10307, 5741, 5756, 7952, 3275, 4146, 3556, 5193, 3541, 22847, 6801, 7723, 6875,
            12177, 8509, 9845, 10559, 16241, 13559, 12158, 11426, 14259, 10000, 8363, 11320, 5902,
            24549, 6047, 4031, 4128, 6774, 2437, 940, 140, 4604,
        ],
        counts: &[
            13, 18, 15, 18, 13, 12, 11, 6, 6, 8, 4, 4, 4, 6, 4, 23, 7, 8, 7, 13, 9, 9, 11, 17, 14,
            13, 12, 15, 10, 9, 12, 6, 24, 7, 5, 5, 7, 3, 1, 1,
        ],
        foresight: &[
            18, 15, 18, 13, 12, 11, 6, 6, 8, 4, 5, 4, 6, 4, 23, 7, 8, 7, 13, 9, 10, 11, 17, 14, 13,
            12, 15, 10, 9, 12, 6, 25, 7, 5, 5, 7, 3, 1, 1, 5,
        ],
        billed: 1_404_000,
    },
    Golden {
        interval: 60,
        start_up: 300,
        load_milli: &[
            8207, 10932, 10544, 11604, 11921, 30955, 14747, 13458, 14136, 17479, 13310, 7515,
            13662, 9198, 4988, 7954, 4953, 2783, 2296, 1369, 3930, 6767, 22459, 7202, 11711, 6088,
            10741, 10741, 10164, 11136, 14031, 15347, 13146, 14104, 14937, 13041, 13180, 10977,
            9692, 29385, 7464, 5324, 5847, 1694, 2840, 5559, 5692, 8549,
        ],
        counts: &[
            14, 14, 18, 18, 18, 18, 18, 18, 18, 18, 18, 10, 8, 8, 7, 23, 23, 23, 23, 23, 23, 23,
            23, 23, 23, 23, 16, 16, 16, 16, 16, 16, 30, 30, 30, 30, 30, 30, 8, 6,
        ],
        foresight: &[
            18, 18, 14, 14, 14, 10, 8, 8, 7, 23, 23, 23, 23, 23, 23, 12, 12, 15, 16, 16, 16, 16,
            16, 16, 15, 15, 30, 30, 30, 30, 30, 30, 8, 6, 9, 9, 9, 9, 9, 9,
        ],
        billed: 45960,
    },
];

impl Golden {
    fn case(&self) -> TierCase {
        let load: Vec<Option<FixedValue>> = self
            .load_milli
            .iter()
            .map(|milli| Some(FixedValue(milli * 1_000)))
            .collect();
        let (history, demand) = load.split_at(HISTORY);
        TierCase {
            interval: Seconds(self.interval),
            start_up: Seconds(self.start_up),
            demand: demand.to_vec(),
            history: history.to_vec(),
            floor: 1,
            ..case(&[])
        }
    }
}

#[test]
fn the_reactive_rival_agrees_with_an_independent_implementation() {
    for golden in GOLDEN {
        let case = golden.case();
        let counts = reactive_counts(&case, &ReactiveSettings::default());
        assert_eq!(counts, golden.counts, "interval {}", golden.interval);
        let outcome = evaluate(&case, &reactive(&case, &ReactiveSettings::default()));
        assert_eq!(outcome.billed_vm_seconds, golden.billed);
    }
}

#[test]
fn perfect_foresight_never_costs_more_than_the_pointwise_least_plan() {
    for golden in GOLDEN {
        let case = golden.case();
        let lives = perfect_foresight(&case);
        let outcome = evaluate(&case, &lives);
        assert_eq!(outcome.unserved_unit_seconds, 0);
        // The least plan of whole intervals that is never short, billed alike.
        let steps = lifetimes_of_counts(&case, 0, golden.foresight[0], golden.foresight);
        assert!(outcome.cost <= evaluate(&case, &steps).cost);
    }
}

#[test]
fn billing_and_service_are_exact_to_the_second() {
    // 2 VMs are there; the second hour wants 4 and the third 1.
    let case = case(&[2, 4, 1]);
    let lives = lifetimes_of_counts(&case, 0, 2, &[2, 4, 1]);
    let outcome = evaluate(&case, &lives);
    assert_eq!(outcome.billed_vm_seconds, 3_600 * 7);
    assert_eq!(outcome.cost, MicroDollars(7_000_000));
    assert_eq!(outcome.starts, 2);
    // The two new ones serve 300 s into the second hour.
    assert_eq!(outcome.unserved_unit_seconds, 2 * 300 * 1_000_000);
    assert_eq!(outcome.under_seconds, 300);
    assert_eq!(outcome.observed_seconds, 10_800);
    assert_eq!(outcome.demand_unit_seconds, 7 * 3_600 * 1_000_000);
    let mean = (4 * 3_300 + 2 * 300) * 1_000_000 / 3_600;
    let serving: Vec<i64> = outcome.serving.iter().map(|value| value.0).collect();
    assert_eq!(serving, [2_000_000, mean, 1_000_000]);
}

#[test]
fn a_short_life_pays_the_minimum_and_a_missing_interval_nothing() {
    let mut case = case(&[1, 1]);
    let life = VmLife {
        option: 0,
        requested: DomainTime(1_000_100),
        serving: None,
        ended: Some(DomainTime(1_000_110)),
        count: 1,
    };
    let outcome = evaluate(&case, std::slice::from_ref(&life));
    assert_eq!(outcome.billed_vm_seconds, 60);
    assert_eq!(outcome.unserved_unit_seconds, outcome.demand_unit_seconds);
    assert!((outcome.unserved_share() - 1.0).abs() < 1e-12);
    case.demand[0] = None;
    let outcome = evaluate(&case, &[life]);
    assert_eq!(outcome.billed_vm_seconds, 0);
    assert_eq!(outcome.observed_seconds, 3_600);
    assert_eq!(outcome.starts, 1);
    // Outside of the window nothing counts.
    let outside = VmLife {
        option: 0,
        requested: DomainTime(0),
        serving: Some(DomainTime(300)),
        ended: Some(DomainTime(600)),
        count: 1,
    };
    assert_eq!(evaluate(&case, &[outside]).billed_vm_seconds, 0);
}

#[test]
fn perfect_foresight_starts_early_and_covers_everything() {
    let case = case(&[2, 5, 1, 5]);
    let outcome = evaluate(&case, &perfect_foresight(&case));
    assert_eq!(outcome.unserved_unit_seconds, 0);
    assert_eq!(outcome.under_seconds, 0);
    // Every VM-hour of demand, and 300 s ahead for 3 + 4 starts.
    assert_eq!(outcome.billed_vm_seconds, 13 * 3_600 + 7 * 300);
}

#[test]
fn perfect_foresight_keeps_a_vm_over_a_gap_shorter_than_a_start() {
    let mut case = case(&[2, 1, 2]);
    case.start_up = Seconds(3_600);
    let outcome = evaluate(&case, &perfect_foresight(&case));
    assert_eq!(outcome.billed_vm_seconds, 6 * 3_600);
    case.start_up = Seconds(3_000);
    let outcome = evaluate(&case, &perfect_foresight(&case));
    assert_eq!(outcome.billed_vm_seconds, 5 * 3_600 + 3_000);
}

#[test]
fn perfect_foresight_mixes_types_where_that_is_cheaper() {
    // The large type is cheaper per unit, the small one fills up.
    let mut case = case(&[10, 11, 10]);
    case.options = vec![
        option("large", 8_000_000, 10),
        option("small", 1_000_000, 1),
    ];
    let outcome = evaluate(&case, &perfect_foresight(&case));
    let starts = 300 * 1_000_000 / 3_600;
    assert_eq!(outcome.unserved_unit_seconds, 0);
    assert!(
        outcome.cost.0 <= 25_000_000 + starts + 1,
        "{}",
        outcome.cost
    );
    assert_eq!(case.cheapest().map(|(index, _)| index), Some(0));
}

#[test]
fn perfect_foresight_takes_larger_types_where_the_ceiling_binds() {
    let mut case = case(&[20, 20]);
    case.ceiling = 5;
    case.options.push(option("large", 9_000_000, 8));
    let outcome = evaluate(&case, &perfect_foresight(&case));
    assert_eq!(outcome.unserved_unit_seconds, 0);
}

#[test]
fn the_static_rival_knows_the_past_peak_only() {
    let mut case = case(&[1, 9, 1]);
    case.history = vec![Some(FixedValue(4_000_000)), None];
    let outcome = evaluate(&case, &static_peak(&case, 1.0));
    assert_eq!(outcome.billed_vm_seconds, 3 * 4 * 3_600);
    assert!((outcome.unserved_vm_hours() - 5.0).abs() < 1e-12);
    assert_eq!(outcome.under_seconds, 3_600);
    case.history.clear();
    let outcome = evaluate(&case, &static_peak(&case, 1.0));
    assert_eq!(outcome.billed_vm_seconds, 3 * 9 * 3_600);
}

#[test]
fn floor_and_ceiling_hold_for_every_rival() {
    let mut case = case(&[0, 50, 0, 50]);
    case.floor = 2;
    case.ceiling = 8;
    for lives in [
        reactive(&case, &ReactiveSettings::default()),
        static_peak(&case, 1.0),
        perfect_foresight(&case),
    ] {
        let outcome = evaluate(&case, &lives);
        for serving in &outcome.serving {
            assert!((2_000_000..=8_000_000).contains(&serving.0), "{serving}");
        }
    }
}

proptest! {
    #[test]
    fn the_reactive_rival_is_causal(demand in prop::collection::vec(0_i64..60, 2..40), cut in 1_usize..39) {
        let cut = cut.min(demand.len() - 1);
        let settings = ReactiveSettings::default();
        let whole = reactive_counts(&case(&demand), &settings);
        let mut other = demand.clone();
        for value in other.iter_mut().skip(cut) {
            *value = 77 - *value;
        }
        let changed = reactive_counts(&case(&other), &settings);
        // The decision for interval t sees intervals before t alone.
        prop_assert_eq!(&whole[..=cut], &changed[..=cut]);
    }

    #[test]
    fn perfect_foresight_is_never_short_and_never_dearer(
        demand in prop::collection::vec(0_i64..60, 1..40),
        start_up in 0_u32..8_000,
        two_types in any::<bool>(),
    ) {
        let mut case = case(&demand);
        case.start_up = Seconds(start_up);
        if two_types {
            case.options.push(option("b", 3_500_000, 4));
        }
        let best = evaluate(&case, &perfect_foresight(&case));
        prop_assert_eq!(best.unserved_unit_seconds, 0);
        let needed: Vec<u32> = demand.iter().map(|units| u32::try_from(*units).expect("small")).collect();
        // A plan of whole intervals that is never short: hold the largest need of the start-up ahead.
        let ahead = start_up.div_ceil(3_600) as usize;
        let held: Vec<u32> = (0..needed.len())
            .map(|step| needed.iter().skip(step).take(ahead + 1).copied().max().unwrap_or(0))
            .collect();
        let plan = evaluate(&case, &lifetimes_of_counts(&case, 0, held[0].max(2), &held));
        prop_assert!(best.cost <= plan.cost, "{} above {}", best.cost, plan.cost);
    }

    #[test]
    fn service_and_shortfall_add_up(demand in prop::collection::vec(prop::option::of(0_i64..60), 1..30)) {
        let mut case = case(&[]);
        case.demand = demand.iter().map(|value| value.map(|units| FixedValue(units * 1_000_000))).collect();
        let outcome = evaluate(&case, &reactive(&case, &ReactiveSettings::default()));
        prop_assert!(outcome.unserved_unit_seconds <= outcome.demand_unit_seconds);
        prop_assert!(outcome.under_seconds <= outcome.observed_seconds);
        let known = demand.iter().flatten().count() as u64;
        prop_assert_eq!(outcome.observed_seconds, known * 3_600);
        let none = evaluate(&case, &[]);
        prop_assert_eq!(none.unserved_unit_seconds, none.demand_unit_seconds);
        prop_assert_eq!(none.cost, MicroDollars(0));
    }
}
