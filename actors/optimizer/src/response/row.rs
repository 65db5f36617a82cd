//! Mean response times of an M/M/c queue by its number of servers.

/// Offered load in servers beyond which a queue counts as a fluid: stable, and then without waiting.
const LOAD_MAX: f64 = 1e6;
/// Waiting, as a share of the service time, that counts as none.
const NEGLIGIBLE: f64 = 1e-9;
/// The recursion begins so many roots of the load below it: what it begins with is forgotten there by a
/// factor of exp(-50).
const ROOTS_BELOW: f64 = 10.0;

/// Mean response times at one load.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Least number of servers that is stable.
    pub(super) first: u32,
    /// Means in seconds from there on, until waiting is negligible.
    means: Vec<f64>,
    service_s: f64,
    /// What a mean is at most, and without stability.
    most_s: f64,
}

impl Row {
    /// Makes the row of an offered load in servers.
    ///
    /// Cost: O(root of the load) for loads up to a million.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "loads are not negative and clamped"
    )]
    pub(super) fn new(load: f64, service_s: f64, most_s: f64) -> Self {
        let mut row = Self {
            first: if load > 0.0 {
                (load.floor() + 1.0).min(f64::from(u32::MAX)) as u32
            } else {
                0
            },
            means: Vec::new(),
            service_s: service_s.min(most_s),
            most_s,
        };
        if load <= 0.0 || load > LOAD_MAX {
            return row;
        }
        let begin = (load - ROOTS_BELOW * load.sqrt()).floor().max(0.0);
        // Far below the load nearly all but what is served is blocked.
        let mut blocked = 1.0 - begin / load;
        let mut servers = begin;
        loop {
            servers += 1.0;
            blocked = load * blocked / (servers + load * blocked);
            if servers <= load {
                continue;
            }
            let busy = load / servers;
            let wait = blocked / (1.0 - busy * (1.0 - blocked)) / (servers - load);
            if wait <= NEGLIGIBLE {
                return row;
            }
            row.means.push((service_s * (1.0 + wait)).min(most_s));
        }
    }

    /// Mean response time in seconds with so many servers.
    #[inline]
    pub(super) fn mean(&self, servers: u32) -> f64 {
        match servers.checked_sub(self.first) {
            Some(place) => {
                let mean = self.means.get(place as usize);
                mean.copied().unwrap_or(self.service_s)
            }
            None => self.most_s,
        }
    }

    /// What one server more saves, in seconds; from an unstable queue to the first stable one in one go.
    pub(super) fn gain(&self, servers: u32) -> f64 {
        let next = servers.saturating_add(1).max(self.first);
        self.mean(servers) - self.mean(next)
    }

    /// The number of servers from which on nobody waits.
    pub(super) fn negligible_from(&self) -> u32 {
        let count = u32::try_from(self.means.len()).unwrap_or(u32::MAX);
        self.first.saturating_add(count)
    }

    /// Whether so many servers keep up.
    pub(super) fn stable(&self, servers: u32) -> bool {
        servers >= self.first
    }
}
