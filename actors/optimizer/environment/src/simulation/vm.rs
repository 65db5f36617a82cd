//! One VM: cores that are shared by those in work, workers, and a line before them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A time or key that is never NaN, in the order of its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ordered(pub(super) f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Whether requests may come to a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It starts up, or has been lost.
    Away,
    /// It serves.
    Serving,
    /// It finishes what it has.
    Draining,
}

/// What one VM is able to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Strength {
    /// Virtual CPUs that its workers can use.
    pub(super) cores: f64,
    /// Work per second of a core, relative to the reference core.
    pub(super) speed: f64,
    /// Requests in work at once.
    pub(super) workers: u32,
}

/// Connections of one VM to the tier that a call goes to.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    /// In use.
    pub(super) used: u32,
    /// Tries that wait for one: call and attempt.
    pub(super) waiting: VecDeque<(u32, u64)>,
}

/// A VM.
#[derive(Clone, Debug)]
pub(super) struct Vm {
    pub(super) strength: Strength,
    pub(super) phase: Phase,
    /// Whether it takes writes.
    pub(super) primary: bool,
    /// When it may serve, in seconds; infinite when it never will again.
    pub(super) opens_at: f64,
    /// Until when it is slow after its start, in seconds.
    pub(super) warm_at: f64,
    /// Workers that have a request.
    pub(super) working: u32,
    pub(super) line: VecDeque<u32>,
    /// Number of the newest completion that was foretold; an older one does not happen.
    pub(super) foretold: u32,
    /// One per call that starts at the tier.
    pub(super) pools: Vec<Pool>,
    /// Work that each of those that compute has been given since the start, in reference core seconds.
    shared: f64,
    /// What `shared` will be when each of them is done.
    computing: BinaryHeap<Reverse<(Ordered, u32)>>,
    updated_at: f64,
    /// Core seconds since the measuring began.
    busy_s: f64,
    /// Seconds in which it was there, since the measuring began.
    there_s: f64,
}

impl Vm {
    pub(super) fn new(strength: Strength, pools: usize, now: f64) -> Self {
        Self {
            strength,
            phase: Phase::Serving,
            primary: true,
            opens_at: now,
            warm_at: now,
            working: 0,
            line: VecDeque::new(),
            foretold: 0,
            pools: vec![Pool::default(); pools],
            shared: 0.0,
            computing: BinaryHeap::new(),
            updated_at: now,
            busy_s: 0.0,
            there_s: 0.0,
        }
    }

    /// Work per second that each of those that compute gets.
    fn pace(&self) -> f64 {
        let share = self.strength.cores / self.computing.len().max(1) as f64;
        self.strength.speed * share.min(1.0)
    }

    /// Accounts for the time since the last change.
    pub(super) fn advance(&mut self, now: f64) {
        let passed = now - self.updated_at;
        self.updated_at = now;
        self.shared += passed * self.pace();
        self.busy_s += passed * (self.computing.len() as f64).min(self.strength.cores);
        if self.phase != Phase::Away {
            self.there_s += passed;
        }
    }

    /// Begins to compute for a visit; work in reference core seconds.
    pub(super) fn compute(&mut self, now: f64, visit: u32, work: f64) {
        self.advance(now);
        self.computing
            .push(Reverse((Ordered(self.shared + work), visit)));
    }

    /// Takes the visit whose computing ends now.
    pub(super) fn computed(&mut self, now: f64) -> Option<u32> {
        self.advance(now);
        self.computing.pop().map(|Reverse((_, visit))| visit)
    }

    /// When the next computing ends, if nothing changes before.
    pub(super) fn next_at(&self) -> Option<f64> {
        let Reverse((end, _)) = self.computing.peek()?;
        Some(self.updated_at + (end.0 - self.shared).max(0.0) / self.pace())
    }

    /// Requests in work and waiting.
    pub(super) fn held(&self) -> u32 {
        self.working + u32::try_from(self.line.len()).unwrap_or(u32::MAX)
    }

    /// Forgets what was before the measuring begins.
    pub(super) fn begin_measuring(&mut self, now: f64) {
        self.advance(now);
        self.busy_s = 0.0;
        self.there_s = 0.0;
    }

    /// Core seconds used, and core seconds that were there, since the measuring began.
    pub(super) fn usage(&self) -> (f64, f64) {
        (self.busy_s, self.there_s * self.strength.cores)
    }

    /// Seconds in which it was there, since the measuring began.
    pub(super) fn there_s(&self) -> f64 {
        self.there_s
    }
}

#[cfg(test)]
mod tests {
    use super::{Strength, Vm};

    fn vm(cores: f64, speed: f64) -> Vm {
        let strength = Strength {
            cores,
            speed,
            workers: 8,
        };
        Vm::new(strength, 0, 0.0)
    }

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9, "{left}, not {right}");
    }

    #[test]
    fn those_beyond_the_cores_share_them() {
        let mut vm = vm(1.0, 2.0);
        vm.compute(0.0, 7, 2.0);
        close(vm.next_at().expect("one computes"), 1.0);
        vm.compute(0.5, 8, 2.0);
        // One unit is left of the first, at half of the speed.
        close(vm.next_at().expect("two compute"), 1.5);
        assert_eq!(vm.computed(1.5), Some(7));
        close(vm.next_at().expect("one computes"), 2.0);
        assert_eq!(vm.computed(2.0), Some(8));
        assert_eq!(vm.next_at(), None);
        let (busy, there) = vm.usage();
        close(busy, 2.0);
        close(there, 2.0);
    }

    #[test]
    fn a_fraction_of_a_core_is_slower_and_full_when_used() {
        let mut vm = vm(0.25, 1.0);
        vm.compute(0.0, 1, 1.0);
        close(vm.next_at().expect("one computes"), 4.0);
        vm.computed(4.0);
        let (busy, there) = vm.usage();
        close(busy / there, 1.0);
    }
}
