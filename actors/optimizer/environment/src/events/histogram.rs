//! Histograms of times with buckets that grow with the time.

/// Bits of the mantissa that choose the bucket: 1,024 buckets per doubling, 0.1 % wide at most.
const BUCKET_BITS: u32 = 10;
/// Doublings below and above the scale that are told apart: 6e-8 to 1.6e7 times the scale.
const DOUBLINGS: u32 = 24;
/// Low bits of a float that a bucket ignores.
const SHIFT: u32 = 52 - BUCKET_BITS;

/// Counts of times. The lowest bucket stands for zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Bucket number, as in the bits of a float, of the first count.
    first: u64,
    counts: Vec<u64>,
}

impl Histogram {
    /// Makes an empty histogram for times around `scale` seconds.
    pub fn new(scale: f64) -> Self {
        let middle = scale.clamp(1e-200, 1e200).to_bits() >> SHIFT;
        Self {
            first: middle - (u64::from(DOUBLINGS) << BUCKET_BITS),
            counts: vec![0; (2 * DOUBLINGS as usize) << BUCKET_BITS],
        }
    }

    /// Counts a time of at least zero.
    #[inline]
    pub fn record(&mut self, seconds: f64) {
        let bucket = (seconds.to_bits() >> SHIFT).saturating_sub(self.first);
        let last = self.counts.len() - 1;
        self.counts[(bucket as usize).min(last)] += 1;
    }

    /// Adds the counts of `other`.
    ///
    /// # Panics
    /// When `other` has another scale.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(
            self.first, other.first,
            "histograms of one figure share the scale"
        );
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// Times counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Forgets all counts.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// Share of the times up to `seconds`, interpolated inside its bucket; NaN without times.
    pub fn share_upto(&self, seconds: f64) -> f64 {
        let number = seconds.to_bits() >> SHIFT;
        let bucket = number.saturating_sub(self.first) as usize;
        let bucket = bucket.min(self.counts.len() - 1);
        let below: u64 = self.counts[..bucket].iter().sum();
        let low = f64::from_bits(number << SHIFT);
        let high = f64::from_bits((number + 1) << SHIFT);
        let inside = if bucket == 0 {
            1.0
        } else {
            ((seconds - low) / (high - low)).clamp(0.0, 1.0)
        };
        (below as f64 + inside * self.counts[bucket] as f64) / self.total() as f64
    }

    /// Time that a share `level` does not exceed, interpolated inside its bucket; NaN without times.
    pub fn quantile(&self, level: f64) -> f64 {
        let total = self.total();
        if total == 0 {
            return f64::NAN;
        }
        let rank = level * total as f64;
        let mut below = 0;
        for (bucket, count) in (self.first..).zip(&self.counts) {
            let upto = below + count;
            if *count > 0 && upto as f64 >= rank {
                if bucket == self.first {
                    return 0.0;
                }
                let low = f64::from_bits(bucket << SHIFT);
                let high = f64::from_bits((bucket + 1) << SHIFT);
                let share = ((rank - below as f64) / *count as f64).clamp(0.0, 1.0);
                return low + share * (high - low);
            }
            below = upto;
        }
        f64::INFINITY
    }
}
