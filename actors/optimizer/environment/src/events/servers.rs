//! Servers of one station, first come first served: the moments at which they become free.

/// Most servers that are kept as a sorted row; more go to a heap.
pub const ROW_MAX: usize = 64;

/// Moments at which equal servers become free.
pub trait Servers {
    /// Moment at which the first becomes free.
    fn first(&self) -> f64;
    /// The server that is free first is busy until `until`, which is not before that moment.
    fn occupy(&mut self, until: f64);
    /// Moves the zero of time forward by `by`.
    fn shift(&mut self, by: f64);
}

/// One server.
#[derive(Clone, Debug)]
pub struct One(pub f64);

impl Servers for One {
    #[inline]
    fn first(&self) -> f64 {
        self.0
    }

    #[inline]
    fn occupy(&mut self, until: f64) {
        self.0 = until;
    }

    fn shift(&mut self, by: f64) {
        self.0 -= by;
    }
}

/// A sorted row of moments; places without a server hold infinity.
#[derive(Clone, Debug)]
pub struct Row<const N: usize> {
    moments: [f64; N],
}

impl<const N: usize> Row<N> {
    /// Makes a row of at most `N` servers.
    ///
    /// # Panics
    /// When there are more.
    pub fn new(free: &[f64]) -> Self {
        assert!(free.len() <= N, "a row has room for its servers");
        let mut moments = [f64::INFINITY; N];
        moments[..free.len()].copy_from_slice(free);
        moments.sort_unstable_by(f64::total_cmp);
        Self { moments }
    }
}

impl<const N: usize> Servers for Row<N> {
    #[inline]
    fn first(&self) -> f64 {
        self.moments[0]
    }

    /// Each place takes the middle of its moment, the next one and the new one: the row stays sorted, and
    /// the places do not wait for each other.
    #[inline]
    fn occupy(&mut self, until: f64) {
        let moments = &mut self.moments;
        for place in 0..N - 1 {
            let (own, next) = (moments[place], moments[place + 1]);
            let later = if own > until { own } else { until };
            moments[place] = if next < later { next } else { later };
        }
        let last = moments[N - 1];
        moments[N - 1] = if last > until { last } else { until };
    }

    fn shift(&mut self, by: f64) {
        for moment in &mut self.moments {
            *moment -= by;
        }
    }
}

/// A heap with four children per node, the earliest on top.
#[derive(Clone, Debug)]
pub struct Heap {
    moments: Vec<f64>,
}

impl Heap {
    /// Makes a heap of at least one server.
    pub fn new(free: &[f64]) -> Self {
        let mut moments = free.to_vec();
        // A sorted list is a heap.
        moments.sort_unstable_by(f64::total_cmp);
        Self { moments }
    }
}

impl Servers for Heap {
    #[inline]
    fn first(&self) -> f64 {
        self.moments[0]
    }

    #[inline]
    fn occupy(&mut self, until: f64) {
        let count = self.moments.len();
        let mut hole = 0;
        loop {
            let child = 4 * hole + 1;
            if child >= count {
                break;
            }
            let mut least = child;
            for other in child + 1..(child + 4).min(count) {
                if self.moments[other] < self.moments[least] {
                    least = other;
                }
            }
            if self.moments[least] >= until {
                break;
            }
            self.moments[hole] = self.moments[least];
            hole = least;
        }
        self.moments[hole] = until;
    }

    fn shift(&mut self, by: f64) {
        for moment in &mut self.moments {
            *moment -= by;
        }
    }
}
