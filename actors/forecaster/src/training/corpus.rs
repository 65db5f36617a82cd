//! The series that a network learns from.

use crate::network::HORIZON_STEPS_MAX;
use crate::series::{EventSpan, Series, SeriesError};
use crate::training::sampler::BatchKind;
use crate::training::synthetic;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Share of a series' span that validates, at its end.
const VALIDATION_SHARE: f64 = 0.12;
/// Shortest series that teaches anything, in days.
const DAYS_MIN: usize = 3;
/// Coarser grids that five-minute series are averaged to.
const COARSER: [usize; 3] = [3, 6, 12];
/// Synthetic series per kind of grid.
const SYNTHETIC: usize = 120;

/// A series with the span that it may be read in.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSeries {
    /// Dataset.
    pub dataset: String,
    /// `customer/vm_type/metric`.
    pub id: String,
    /// Time of the first sample, epoch seconds.
    pub start_s: i64,
    /// Length of a step.
    pub interval_s: u32,
    /// Values before the cut; `None` = missing.
    pub values: Vec<Option<f64>>,
    /// Announced events.
    pub events: Vec<EventSpan>,
    /// No sample at or after this time is in `values`.
    pub cut_s: i64,
}

/// One member of the corpus.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) group: String,
    pub(crate) series: Series,
    /// First position that only validation may have as a target.
    pub(crate) validation_from: usize,
}

/// Everything that is learnt from.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Members on grids of half an hour or coarser.
    pub(crate) coarse: Vec<Member>,
    /// Members on finer grids.
    pub(crate) fine: Vec<Member>,
    pub(crate) synthetic_coarse: Vec<Member>,
    pub(crate) synthetic_fine: Vec<Member>,
    cuts: BTreeMap<String, BTreeMap<String, i64>>,
}

/// Why there is no corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A series cannot be used.
    #[error("series `{id}` of `{dataset}` cannot be trained on")]
    Series {
        /// Dataset.
        dataset: String,
        /// Series.
        id: String,
        /// Why.
        #[source]
        source: SeriesError,
    },
    /// Nothing is left before the cuts.
    #[error("no series has {DAYS_MIN} days of samples before its cut: give more history")]
    Empty,
}

impl Corpus {
    /// Prepares sources, adds averages on coarser grids and synthetic series.
    ///
    /// # Errors
    /// [`CorpusError`] when a source is unusable or too little is left.
    pub fn build(sources: &[SourceSeries], rng: &mut ChaCha8Rng) -> Result<Self, CorpusError> {
        let mut corpus = Self {
            coarse: Vec::new(),
            fine: Vec::new(),
            synthetic_coarse: Vec::new(),
            synthetic_fine: Vec::new(),
            cuts: BTreeMap::new(),
        };
        for source in sources {
            corpus.add_source(source)?;
        }
        if corpus.coarse.is_empty() && corpus.fine.is_empty() {
            return Err(CorpusError::Empty);
        }
        for _ in 0..SYNTHETIC {
            let hourly = synthetic::draw(rng, 3600, 56);
            let five_minutes = synthetic::draw(rng, 300, 16);
            corpus.synthetic_coarse.extend(hourly.map(member));
            corpus.synthetic_fine.extend(five_minutes.map(member));
        }
        Ok(corpus)
    }

    /// The cuts by dataset and series, for the card.
    pub fn cuts(&self) -> &BTreeMap<String, BTreeMap<String, i64>> {
        &self.cuts
    }

    /// Tells whether there are real series on such grids.
    pub fn has(&self, kind: BatchKind) -> bool {
        match kind {
            BatchKind::Coarse | BatchKind::CoarseLong => !self.coarse.is_empty(),
            BatchKind::Fine | BatchKind::FineLong => !self.fine.is_empty(),
        }
    }

    fn add_source(&mut self, source: &SourceSeries) -> Result<(), CorpusError> {
        let unusable = |error: SeriesError| CorpusError::Series {
            dataset: source.dataset.clone(),
            id: source.id.clone(),
            source: error,
        };
        let before = before_cut(source);
        if before.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut used = self
            .add(source, &source.dataset, source.interval_s, before)
            .map_err(unusable)?;
        if source.interval_s == 300 {
            for factor in COARSER {
                let group = format!("{}*{factor}", source.dataset);
                let interval_s = 300 * u32::try_from(factor).unwrap_or(1);
                let averages = average(before, factor);
                used |= self
                    .add(source, &group, interval_s, &averages)
                    .map_err(unusable)?;
            }
        }
        if used {
            let cuts = self.cuts.entry(source.dataset.clone()).or_default();
            cuts.insert(source.id.clone(), source.cut_s);
        }
        Ok(())
    }

    fn add(
        &mut self,
        source: &SourceSeries,
        group: &str,
        interval_s: u32,
        values: &[Option<f64>],
    ) -> Result<bool, SeriesError> {
        if values.iter().all(Option::is_none) {
            return Ok(false);
        }
        let series = Series::new(source.start_s, interval_s, values)?;
        if series.len() < DAYS_MIN * series.steps_per_day() {
            return Ok(false);
        }
        let mut member = member(series.with_events(&source.events, HORIZON_STEPS_MAX));
        group.clone_into(&mut member.group);
        if interval_s >= 1800 {
            self.coarse.push(member);
        } else {
            self.fine.push(member);
        }
        Ok(true)
    }
}

fn before_cut(source: &SourceSeries) -> &[Option<f64>] {
    let span_s = source.cut_s.saturating_sub(source.start_s);
    let interval_s = i64::from(source.interval_s.max(1));
    // Whole intervals that begin before the cut.
    let kept = usize::try_from((span_s + interval_s - 1).div_euclid(interval_s)).unwrap_or(0);
    let kept = kept.min(source.values.len());
    source.values.get(..kept).unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is a length"
)]
fn member(series: Series) -> Member {
    let validation_from = (series.len() as f64 * (1.0 - VALIDATION_SHARE)) as usize;
    Member {
        group: "synthetic".to_owned(),
        series,
        validation_from,
    }
}

fn average(values: &[Option<f64>], factor: usize) -> Vec<Option<f64>> {
    values
        .chunks_exact(factor)
        .map(|chunk| {
            let seen: Vec<f64> = chunk.iter().copied().flatten().collect();
            let enough = 2 * seen.len() >= factor;
            enough.then(|| seen.iter().sum::<f64>() / seen.len() as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn nothing_at_or_after_the_cut_is_read() {
        let source = SourceSeries {
            dataset: "set".to_owned(),
            id: "c/v/m".to_owned(),
            start_s: 0,
            interval_s: 300,
            // Past the cut stands a value that would be refused if it were read.
            values: (0..2000)
                .map(|at| Some(if at < 1500 { 1.0 } else { -1.0 }))
                .collect(),
            events: Vec::new(),
            cut_s: 1500 * 300,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let corpus = Corpus::build(std::slice::from_ref(&source), &mut rng).expect("a corpus");
        assert_eq!(corpus.fine.len(), 2);
        assert_eq!(corpus.fine[0].series.len(), 1500);
        assert_eq!(corpus.cuts()["set"]["c/v/m"], 450_000);
        let later = SourceSeries {
            cut_s: 1500 * 300 + 1,
            ..source
        };
        assert!(Corpus::build(&[later], &mut rng).is_err());
    }
}
