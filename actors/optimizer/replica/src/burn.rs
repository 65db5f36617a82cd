//! Burns a stated time of one core, by the clock of the thread.
//!
//! The thread's own CPU clock decides when a demand is done, so neither a busy machine nor a limit of the container
//! shortens or stretches it. How much work a CPU second is differs between machines: [`core_speed`] tells it, in
//! rounds of the same kernel, so that reports of two machines can be compared.

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

/// Rounds between two looks at the clock: about 2 µs on a core of 2020, ten times what a look takes.
const ROUNDS: u32 = 1_000;

/// CPU time that the calling thread has used, in seconds.
pub fn thread_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Keeps the core busy until the calling thread has used so much CPU time; returns what it used.
///
/// Cost: the demand, and up to 2 µs beyond it.
pub fn burn(cpu_s: f64) -> f64 {
    let start = thread_cpu_s();
    if cpu_s <= 0.0 {
        return 0.0;
    }
    let mut state = start.to_bits();
    loop {
        state = rounds(state);
        let used = thread_cpu_s() - start;
        if used >= cpu_s {
            return used;
        }
    }
}

/// Measures how many rounds of the kernel this core does in a CPU second: the median of five measurements.
///
/// Cost: five times `cpu_s` of one core.
pub fn core_speed(cpu_s: f64) -> f64 {
    let mut found = [0.0; 5];
    for speed in &mut found {
        let start = thread_cpu_s();
        let (mut done, mut state) = (0_u64, 1_u64);
        let used = loop {
            state = rounds(state);
            done += u64::from(ROUNDS);
            let used = thread_cpu_s() - start;
            if used >= cpu_s {
                break used;
            }
        };
        *speed = done as f64 / used;
    }
    found.sort_by(f64::total_cmp);
    found[2]
}

/// A chain of dependent integer operations, which no compiler shortens and no cache miss delays.
fn rounds(mut state: u64) -> u64 {
    for _ in 0..ROUNDS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state)
}

#[cfg(test)]
mod tests {
    use super::{burn, core_speed, thread_cpu_s};

    #[test]
    fn a_demand_is_used_up_and_hardly_more() {
        for demand in [0.0, 0.0005, 0.01] {
            let before = thread_cpu_s();
            let used = burn(demand);
            let all = thread_cpu_s() - before;
            assert!(used >= demand, "{used} of {demand}");
            // A tick may be charged to the thread in between: 4 ms on a kernel of 250 Hz.
            assert!(all < demand + 0.005, "{all} for {demand}");
        }
    }

    #[test]
    fn the_speed_of_a_core_is_plausible() {
        let speed = core_speed(0.01);
        assert!((1e7..1e11).contains(&speed), "{speed} rounds/s");
    }
}
