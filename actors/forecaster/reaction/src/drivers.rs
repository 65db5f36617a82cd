//! What a step's demand may answer to: drivers off their normal, remembered over several lengths of time.
//!
//! Invariants: a step's features hold latency and throttling of earlier steps alone; price and events of the
//! step itself, which no demand makes. All are 0 where nothing is off its normal, and bounded.

use serde::{Deserialize, Serialize};
use twinscale_protocol::EventKind;

/// Ways in which demand answers.
pub const COMPONENTS: usize = 13;
/// Numbers that each of them sees.
pub const INPUTS: usize = 3;
/// What one step's demand may answer to. Shape `[component][input]`.
pub type Features = [[f64; INPUTS]; COMPONENTS];
/// Features of a step in which all is normal.
pub const NORMAL: Features = [[0.0; INPUTS]; COMPONENTS];

/// Latency counts up to this: the logarithm of sixteen times the objective.
pub const LATENCY_MAX: f64 = 2.772_588_722_239_781;
/// Price counts up to this either way: the logarithm of four.
pub const PRICE_MAX: f64 = 1.386_294_361_119_890_6;

/// Memories of latency and throttling at once, in seconds; the first is the last step alone.
const NOW_S: [f64; 2] = [900.0, 3_600.0];
/// Memories of latency and throttling for long.
const LATER_S: [f64; INPUTS] = [21_600.0, 86_400.0, 604_800.0];
/// Memories of a price; the first is the price of the step.
const PRICE_S: [f64; 2] = [86_400.0, 604_800.0];
/// How far before and after an event it counts.
const AROUND_S: f64 = 86_400.0;
/// How long a reading stands in for those that are missing behind it.
const STANDS_IN_S: f64 = 3_600.0;

/// A way in which demand answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// To latency above the objective, within the hour: who waits gives up, or asks again.
    LatencyNow,
    /// To latency above the objective, over days: who was kept waiting stays away.
    LatencyLater,
    /// To refused or unserved requests, within the hour: they come again, or do not.
    ThrottleNow,
    /// To refused or unserved requests, over days.
    ThrottleLater,
    /// To a price that is not the usual one.
    Price,
    /// To an event, before, while and after it lasts.
    Event(EventKind),
}

/// What theory asks of a component's sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// More of the driver is never more demand.
    Falling,
    /// Either.
    Free,
}

/// Kinds of events in the order of their components.
pub const KINDS: [EventKind; 8] = [
    EventKind::Holiday,
    EventKind::Campaign,
    EventKind::Release,
    EventKind::Earnings,
    EventKind::Season,
    EventKind::PriceChange,
    EventKind::Other,
    EventKind::Incident,
];

impl Component {
    /// All of them, in the order of [`Features`].
    pub const ALL: [Self; COMPONENTS] = [
        Self::LatencyNow,
        Self::LatencyLater,
        Self::ThrottleNow,
        Self::ThrottleLater,
        Self::Price,
        Self::Event(KINDS[0]),
        Self::Event(KINDS[1]),
        Self::Event(KINDS[2]),
        Self::Event(KINDS[3]),
        Self::Event(KINDS[4]),
        Self::Event(KINDS[5]),
        Self::Event(KINDS[6]),
        Self::Event(KINDS[7]),
    ];

    /// What theory asks of its sign: nobody comes for a higher price, or because service was bad for days. At
    /// once both may go either way: tries come again.
    pub fn sign(self) -> Sign {
        match self {
            Self::LatencyLater | Self::ThrottleLater | Self::Price => Sign::Falling,
            Self::LatencyNow | Self::ThrottleNow | Self::Event(_) => Sign::Free,
        }
    }

    /// Its place in [`Features`].
    pub fn place(self) -> usize {
        Self::ALL
            .iter()
            .position(|one| *one == self)
            .unwrap_or_default()
    }
}

/// What one step met.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Met {
    /// Response time over its objective; 1 and below is normal.
    pub latency: f64,
    /// Share of requests refused, given up on or unserved, 0 to 1.
    pub throttled: f64,
}

impl Met {
    fn off_normal(self) -> (f64, f64) {
        let latency = self.latency.max(1.0).ln().min(LATENCY_MAX);
        (latency, self.throttled.clamp(0.0, 1.0))
    }
}

/// A span of time in which something known happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First second.
    pub start_s: i64,
    /// First second after it.
    pub end_s: i64,
    /// What kind it is.
    pub kind: EventKind,
}

/// What demand remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    step_s: f64,
    /// By lasting: the last step, [`NOW_S`], [`LATER_S`].
    latency: [f64; 2 * INPUTS],
    throttled: [f64; 2 * INPUTS],
    price: [f64; INPUTS],
    /// Readings of latency and throttling that stand in, and for how long they have.
    stood_in_s: f64,
}

impl Memory {
    /// A memory of nothing but normal steps, each of `step_s` seconds.
    pub fn new(step_s: u32) -> Self {
        Self {
            step_s: f64::from(step_s.max(1)),
            latency: [0.0; 2 * INPUTS],
            throttled: [0.0; 2 * INPUTS],
            price: [0.0; INPUTS],
            stood_in_s: 0.0,
        }
    }

    /// The same after a long time of such steps, at such a price over the usual one.
    #[must_use]
    pub fn settled(mut self, met: Met, price: f64) -> Self {
        let (latency, throttled) = met.off_normal();
        self.latency = [latency; 2 * INPUTS];
        self.throttled = [throttled; 2 * INPUTS];
        self.price = [price_off(price); INPUTS];
        self
    }

    /// The features of the next step, of which price (over the usual one) and events are known.
    ///
    /// The price is remembered; what the step meets is told to [`Memory::meet`] afterwards.
    pub fn features(&mut self, price: f64, from_s: i64, events: &[Span]) -> Features {
        let off = price_off(price);
        self.price[0] = off;
        for (kept, lasting) in self.price.iter_mut().skip(1).zip(PRICE_S) {
            follow(kept, off, self.step_s, lasting);
        }
        let mut features = NORMAL;
        features[0].copy_from_slice(&self.latency[..INPUTS]);
        features[1].copy_from_slice(&self.latency[INPUTS..]);
        features[2].copy_from_slice(&self.throttled[..INPUTS]);
        features[3].copy_from_slice(&self.throttled[INPUTS..]);
        features[4] = self.price;
        for event in events {
            let place = Component::Event(event.kind).place();
            let seen = around(event, from_s as f64, from_s as f64 + self.step_s);
            for (one, more) in features[place].iter_mut().zip(seen) {
                *one = f64::max(*one, more);
            }
        }
        features
    }

    /// Remembers what a step met; a missing reading stands in for an hour, and then nothing is known to be off.
    pub fn meet(&mut self, met: Option<Met>) {
        let (latency, throttled) = match met {
            Some(met) => {
                self.stood_in_s = 0.0;
                met.off_normal()
            }
            None if self.stood_in_s < STANDS_IN_S => {
                self.stood_in_s += self.step_s;
                (self.latency[0], self.throttled[0])
            }
            None => (0.0, 0.0),
        };
        for (memory, value) in [
            (&mut self.latency, latency),
            (&mut self.throttled, throttled),
        ] {
            memory[0] = value;
            let lasting = NOW_S.into_iter().chain(LATER_S);
            for (kept, lasting) in memory.iter_mut().skip(1).zip(lasting) {
                follow(kept, value, self.step_s, lasting);
            }
        }
    }
}

fn price_off(price: f64) -> f64 {
    let off = if price > 0.0 { price.ln() } else { 0.0 };
    off.clamp(-PRICE_MAX, PRICE_MAX)
}

/// Moves an exponentially weighted mean on by a step.
pub(crate) fn follow(kept: &mut f64, value: f64, step_s: f64, lasting_s: f64) {
    let share = 1.0 - (-step_s / lasting_s).exp();
    *kept += share * (value - *kept);
    // Below this nothing is left: so that normal is exactly normal again.
    if kept.abs() < 1e-9 && value == 0.0 {
        *kept = 0.0;
    }
}

/// How much of a step lies in an event, in the day before and in the fading after.
fn around(event: &Span, from_s: f64, to_s: f64) -> [f64; INPUTS] {
    let length = (to_s - from_s).max(1.0);
    let (start, end) = (event.start_s as f64, event.end_s as f64);
    let shared = |low: f64, high: f64| (to_s.min(high) - from_s.max(low)).max(0.0) / length;
    let middle = f64::midpoint(from_s, to_s);
    let after = if middle >= end {
        (-(middle - end) / AROUND_S).exp()
    } else {
        0.0
    };
    let after = if after < 0.02 { 0.0 } else { after };
    [shared(start, end), shared(start - AROUND_S, start), after]
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "exact zeros and exact shares are what is promised"
)]
mod tests {
    use super::*;

    const BAD: Met = Met {
        latency: 4.0,
        throttled: 0.5,
    };

    #[test]
    fn a_step_does_not_see_what_it_meets_itself() {
        let mut memory = Memory::new(300);
        assert_eq!(memory.features(1.0, 0, &[]), NORMAL);
        memory.meet(Some(BAD));
        let next = memory.features(1.0, 300, &[]);
        assert!((next[0][0] - 4.0_f64.ln()).abs() < 1e-12, "{next:?}");
        assert!((next[2][0] - 0.5).abs() < 1e-12, "{next:?}");
        assert!(next[1][2] > 0.0 && next[1][2] < next[1][0], "{next:?}");
        assert_eq!(next[4], [0.0; INPUTS]);
    }

    #[test]
    fn normal_comes_back_exactly_and_a_missing_reading_stands_in_for_an_hour() {
        let mut memory = Memory::new(3_600);
        memory.meet(Some(BAD));
        memory.meet(None);
        assert!(memory.features(1.0, 0, &[])[0][0] > 0.0);
        memory.meet(None);
        assert!(memory.features(1.0, 0, &[])[0][0].abs() < 1e-12);
        for _ in 0..24 * 7 * 40 {
            memory.meet(Some(Met::default()));
        }
        assert_eq!(memory.features(1.0, 0, &[]), NORMAL);
    }

    #[test]
    fn a_price_is_known_in_its_step_and_builds_up() {
        let mut memory = Memory::new(3_600);
        let first = memory.features(1.1, 0, &[])[4];
        assert!((first[0] - 1.1_f64.ln()).abs() < 1e-12);
        assert!(first[1] > 0.0 && first[1] < first[0]);
        let later = (0..240).fold(first, |_, _| memory.features(1.1, 0, &[])[4]);
        assert!((later[1] - later[0]).abs() < 1e-4, "{later:?}");
        assert_eq!(memory.features(-1.0, 0, &[])[4][0], 0.0);
    }

    #[test]
    fn events_count_before_while_and_after() {
        let mut memory = Memory::new(3_600);
        let event = Span {
            kind: EventKind::Campaign,
            start_s: 90_000,
            end_s: 93_600,
        };
        let place = Component::Event(EventKind::Campaign).place();
        let mut at = |from_s| memory.features(1.0, from_s, &[event])[place];
        assert_eq!(at(0), NORMAL[0]);
        assert_eq!(at(7_200), [0.0, 1.0, 0.0]);
        assert_eq!(at(90_000), [1.0, 0.0, 0.0]);
        assert!((at(91_800)[0] - 0.5).abs() < 1e-12);
        assert!(at(97_200)[2] > 0.9);
        assert_eq!(at(90_000 + 5 * 86_400), NORMAL[0]);
    }

    #[test]
    fn each_component_has_its_place() {
        for (place, component) in Component::ALL.into_iter().enumerate() {
            assert_eq!(component.place(), place);
        }
    }
}
