//! What lets only so much through in a time: links, network cards of VMs, volumes.

/// How long a burst lasts that begins with full credit, in seconds: half an hour, as cloud providers give.
const BURST_S: f64 = 1800.0;

/// First come, first served, at a rate; faster while there is credit from times of little use.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    /// Work per second that always passes.
    rate: f64,
    /// Work per second that passes while there is credit; at least `rate`.
    burst: f64,
    /// Work that may still pass beyond the rate.
    credit: f64,
    /// When all that was accepted has passed, in seconds.
    free_at: f64,
    /// Time spent passing work since the measuring began, in seconds at the steady rate.
    used_s: f64,
}

impl Pipe {
    /// Makes a pipe with full credit.
    pub(super) fn new(rate: f64, burst: Option<f64>) -> Self {
        let burst = burst.map_or(rate, |burst| burst.max(rate));
        Self {
            rate,
            burst,
            credit: (burst - rate) * BURST_S,
            free_at: 0.0,
            used_s: 0.0,
        }
    }

    /// Accepts work and says when it has passed.
    pub(super) fn pass(&mut self, now: f64, work: f64) -> f64 {
        let spare = self.burst - self.rate;
        let idle = (now - self.free_at).max(0.0);
        self.credit = (self.credit + idle * self.rate).min(spare * BURST_S);
        let start = self.free_at.max(now);
        let beyond = work * spare / self.burst;
        let takes = if beyond <= self.credit {
            self.credit -= beyond;
            work / self.burst
        } else {
            let fast = self.credit / spare.max(f64::MIN_POSITIVE);
            self.credit = 0.0;
            fast + (work - fast * self.burst).max(0.0) / self.rate
        };
        self.free_at = start + takes;
        self.used_s += work / self.rate;
        self.free_at
    }

    /// Forgets what passed before the measuring begins.
    pub(super) fn begin_measuring(&mut self) {
        self.used_s = 0.0;
    }

    /// Work passed since the measuring began, in seconds of the steady rate.
    pub(super) fn used_s(&self) -> f64 {
        self.used_s
    }
}

#[cfg(test)]
mod tests {
    use super::Pipe;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9, "{left}, not {right}");
    }

    #[test]
    fn work_passes_in_turn_at_the_rate() {
        let mut pipe = Pipe::new(10.0, None);
        close(pipe.pass(0.0, 5.0), 0.5);
        close(pipe.pass(0.1, 5.0), 1.0);
        close(pipe.pass(3.0, 20.0), 5.0);
        close(pipe.used_s(), 3.0);
    }

    #[test]
    fn a_burst_ends_with_its_credit_and_comes_back_with_rest() {
        // Credit for 1,800 s at 10 beyond the rate.
        let mut pipe = Pipe::new(10.0, Some(20.0));
        close(pipe.pass(0.0, 36_000.0), 1800.0);
        close(pipe.pass(1800.0, 100.0), 1810.0);
        // 100 s of rest give 1,000 beyond the rate: 100 s at 20.
        close(pipe.pass(1910.0, 2000.0), 2010.0);
        close(pipe.pass(2010.0, 10.0), 2011.0);
    }
}
