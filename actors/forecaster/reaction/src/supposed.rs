//! What if drivers were otherwise: paths of features ahead.

use crate::drivers::{Features, Memory, Met, Span};

/// Something that is only supposed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Supposed {
    /// What.
    pub what: What,
    /// First second.
    pub start_s: i64,
    /// First second after it.
    pub end_s: i64,
}

/// Which driver is supposed to be otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// Response time over its objective.
    Latency(f64),
    /// Share of requests refused or unserved.
    Throttled(f64),
    /// Price over the one of today.
    Price(f64),
    /// An event.
    Event(Span),
}

/// Features of the steps ahead: as they are expected, and as they would be.
///
/// Expected is that service is as promised from now on, that the price stays, and the events that are known.
/// What is remembered of before fades on both sides.
pub fn paths(
    memory: &Memory,
    price: f64,
    (from_s, interval_s, steps): (i64, u32, usize),
    events: &[Span],
    supposed: &[Supposed],
) -> (Vec<Features>, Vec<Features>) {
    let more = supposed.iter().filter_map(|one| match one.what {
        What::Event(span) => Some(span),
        What::Latency(_) | What::Throttled(_) | What::Price(_) => None,
    });
    let with: Vec<Span> = events.iter().copied().chain(more).collect();
    let (mut before, mut after) = (memory.clone(), memory.clone());
    let (mut today, mut then) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
    let normal = Met {
        latency: 1.0,
        throttled: 0.0,
    };
    for step in 0..steps {
        let ahead = i64::try_from(step).unwrap_or(i64::MAX);
        let from = from_s.saturating_add(ahead.saturating_mul(i64::from(interval_s)));
        let mut met = normal;
        let mut factor = 1.0;
        for one in supposed {
            let covered = covered(one, from, interval_s);
            match one.what {
                What::Latency(latency) => met.latency += covered * (latency - 1.0),
                What::Throttled(share) => met.throttled += covered * share,
                What::Price(price) => factor *= 1.0 + covered * (price - 1.0),
                What::Event(_) => {}
            }
        }
        today.push(before.features(price, from, events));
        then.push(after.features(price * factor, from, &with));
        before.meet(Some(normal));
        after.meet(Some(met));
    }
    (today, then)
}

/// Share of a step that lies in what is supposed.
fn covered(one: &Supposed, from_s: i64, interval_s: u32) -> f64 {
    let to_s = from_s.saturating_add(i64::from(interval_s));
    let shared = to_s.min(one.end_s).saturating_sub(from_s.max(one.start_s));
    (shared.max(0) as f64) / f64::from(interval_s.max(1))
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "exact zeros and exact shares are what is promised"
)]
mod tests {
    use super::*;
    use crate::drivers::NORMAL;

    #[test]
    fn only_what_is_supposed_moves_and_only_from_the_step_after_on() {
        let memory = Memory::new(3_600);
        let ahead = (36_000, 3_600, 8);
        let (today, then) = paths(&memory, 1.0, ahead, &[], &[]);
        assert_eq!(today, vec![NORMAL; 8]);
        assert_eq!(then, today);
        let slow = Supposed {
            what: What::Latency(2.0),
            start_s: 39_600,
            end_s: 43_200,
        };
        let (_, then) = paths(&memory, 1.0, ahead, &[], &[slow]);
        assert_eq!(then[..2], [NORMAL; 2]);
        assert!((then[2][0][0] - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(then[3][0][0], 0.0);
        assert!(then[3][1][0] > 0.0);
        let dear = Supposed {
            what: What::Price(1.1),
            start_s: 37_800,
            end_s: i64::MAX,
        };
        let (_, then) = paths(&memory, 1.0, ahead, &[], &[dear]);
        assert!((then[0][4][0] - 1.05_f64.ln()).abs() < 1e-12);
        assert!((then[1][4][0] - 1.1_f64.ln()).abs() < 1e-12);
    }
}
