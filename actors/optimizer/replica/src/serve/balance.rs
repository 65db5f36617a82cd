//! How a caller spreads its requests: the model's balancers, by what the caller itself sees.

use crate::config::Peer;
use rand::Rng;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use twinscale_environment::model::Balancer;

/// VMs of a tier in the eyes of one caller.
///
/// A balancer that looks at load sees the caller's own requests in flight: with one caller that is all there are.
/// The shortest line is taken to be where the fewest are in flight.
#[derive(Debug)]
pub struct Spread {
    balancer: Balancer,
    cores: Vec<f64>,
    in_flight: Vec<AtomicU32>,
    any: Vec<usize>,
    primaries: Vec<usize>,
    turn: AtomicUsize,
}

/// A request in flight; its end is counted when this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    pub(crate) peer: usize,
    count: &'a AtomicU32,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Spread {
    /// Spreads over some VMs.
    pub fn new(balancer: Balancer, peers: &[Peer]) -> Self {
        let places = 0..peers.len();
        Self {
            balancer,
            cores: peers.iter().map(|peer| peer.cores.max(1e-6)).collect(),
            in_flight: places.clone().map(|_| AtomicU32::new(0)).collect(),
            any: places.clone().collect(),
            primaries: places.filter(|place| peers[*place].is_primary).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Chooses a VM; `None` where none may take the request.
    pub(crate) fn choose(&self, writes: bool, rng: &mut impl Rng) -> Option<InFlight<'_>> {
        let among = if writes { &self.primaries } else { &self.any };
        let count = among.len();
        let peer = match (count, self.balancer) {
            (0, _) => return None,
            (1, _) => among[0],
            (_, Balancer::Random) => among[rng.random_range(0..count)],
            (_, Balancer::RoundRobin) => among[self.turn.fetch_add(1, Ordering::Relaxed) % count],
            (_, Balancer::TwoChoices) => {
                let first = rng.random_range(0..count);
                let other = rng.random_range(0..count - 1);
                let second = if other >= first { other + 1 } else { other };
                let (first, second) = (among[first], among[second]);
                if self.load(second) < self.load(first) {
                    second
                } else {
                    first
                }
            }
            (_, Balancer::LeastConnections | Balancer::JoinShortestQueue) => {
                let least = among
                    .iter()
                    .min_by(|left, right| self.load(**left).total_cmp(&self.load(**right)));
                *least?
            }
        };
        self.in_flight[peer].fetch_add(1, Ordering::Relaxed);
        Some(InFlight {
            peer,
            count: &self.in_flight[peer],
        })
    }

    fn load(&self, peer: usize) -> f64 {
        f64::from(self.in_flight[peer].load(Ordering::Relaxed)) / self.cores[peer]
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;
    use crate::config::Peer;
    use twinscale_environment::model::Balancer;
    use twinscale_environment::simulation::{Purpose, stream};

    fn spread(balancer: Balancer, primaries: usize) -> Spread {
        let peers: Vec<Peer> = (0..3)
            .map(|place| Peer {
                address: String::new(),
                cores: 1.0,
                is_primary: place < primaries,
            })
            .collect();
        Spread::new(balancer, &peers)
    }

    fn held(balancer: Balancer) -> Vec<u32> {
        let spread = spread(balancer, 3);
        let mut rng = stream(1, Purpose::Balance);
        let mut counts = vec![0; 3];
        let mut kept = Vec::new();
        for _ in 0..300 {
            let chosen = spread.choose(false, &mut rng).expect("there are three");
            counts[chosen.peer] += 1;
            kept.push(chosen);
        }
        counts
    }

    #[test]
    fn each_balancer_spreads_as_it_says() {
        assert_eq!(held(Balancer::RoundRobin), [100, 100, 100]);
        assert_eq!(held(Balancer::LeastConnections), [100, 100, 100]);
        assert_eq!(held(Balancer::JoinShortestQueue), [100, 100, 100]);
        let two = held(Balancer::TwoChoices);
        assert!(
            two.iter().all(|count| (95..=105).contains(count)),
            "{two:?}"
        );
        let random = held(Balancer::Random);
        assert!(
            random.iter().all(|count| (60..=140).contains(count)),
            "{random:?}"
        );
    }

    #[test]
    fn writes_go_to_primaries_and_an_end_is_counted() {
        let spread = spread(Balancer::LeastConnections, 1);
        let mut rng = stream(1, Purpose::Balance);
        for _ in 0..5 {
            let chosen = spread.choose(true, &mut rng).expect("there is one primary");
            assert_eq!(chosen.peer, 0);
        }
        assert!(spread.load(0) < 1e-9);
        assert!(
            self::spread(Balancer::Random, 0)
                .choose(true, &mut rng)
                .is_none()
        );
    }
}
