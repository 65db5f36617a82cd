//! Random streams that do not overlap.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The generator of every stream: its output for a seed is fixed by its authors.
pub type Generator = Xoshiro256PlusPlus;

/// Streams of one replication, 2^128 numbers apart; replications are 2^192 apart.
#[derive(Clone, Debug)]
pub struct Streams {
    base: Generator,
}

impl Streams {
    /// Makes the streams of one replication.
    pub fn new(seed: u64, replication: u32) -> Self {
        let mut base = Generator::seed_from_u64(seed);
        for _ in 0..replication {
            base.long_jump();
        }
        Self { base }
    }

    fn nth(&self, purpose: u32) -> Generator {
        let mut generator = self.base.clone();
        for _ in 0..purpose {
            generator.jump();
        }
        generator
    }

    /// When customers arrive.
    pub fn arrivals(&self) -> Generator {
        self.nth(0)
    }

    /// Where customers go.
    pub fn routing(&self) -> Generator {
        self.nth(1)
    }

    /// How long customers think.
    pub fn thinking(&self) -> Generator {
        self.nth(2)
    }

    /// In which state a replication begins.
    pub fn beginning(&self) -> Generator {
        self.nth(3)
    }

    /// What is served at each of `count` stations, in their order.
    pub fn services(&self, count: usize) -> Vec<Generator> {
        self.every_other(8, count)
    }

    /// Arrivals of each of `count` classes or sources, in their order.
    pub fn arrivals_of(&self, count: usize) -> Vec<Generator> {
        self.every_other(9, count)
    }

    fn every_other(&self, first: u32, count: usize) -> Vec<Generator> {
        let mut next = self.nth(first);
        (0..count)
            .map(|_| {
                let generator = next.clone();
                next.jump();
                next.jump();
                generator
            })
            .collect()
    }
}
