//! Until when a series may be trained on.

use crate::bench::protocol::DatasetProtocol;
use std::collections::BTreeMap;

/// Further cuts, by dataset and scope (a customer or a series).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraCuts {
    by_scope: BTreeMap<(String, String), i64>,
}

/// Why a table of cuts cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cuts, line {line}: `{text}` is not `dataset,customer_or_series,cut_epoch_s`")]
pub struct CutsError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is there.
    pub text: String,
}

impl ExtraCuts {
    /// Reads lines of `dataset,customer_or_series,cut_epoch_s`; the first line is a heading.
    ///
    /// # Errors
    /// [`CutsError`] with the line.
    pub fn parse(text: &str) -> Result<Self, CutsError> {
        let mut by_scope: BTreeMap<(String, String), i64> = BTreeMap::new();
        for (index, line) in text.lines().enumerate().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let cut = fields.get(2).and_then(|cut| cut.trim().parse().ok());
            let (Some(cut), [dataset, scope, _]) = (cut, fields.as_slice()) else {
                return Err(CutsError {
                    line: index + 1,
                    text: line.chars().take(120).collect(),
                });
            };
            let key = ((*dataset).to_owned(), (*scope).to_owned());
            let earliest = by_scope.entry(key).or_insert(cut);
            *earliest = cut.min(*earliest);
        }
        Ok(Self { by_scope })
    }

    /// The earliest cut that concerns a series.
    pub fn earliest(&self, dataset: &str, series_id: &str) -> Option<i64> {
        let customer = series_id.split('/').next().unwrap_or_default();
        [series_id, customer, "*"]
            .into_iter()
            .filter_map(|scope| {
                let key = (dataset.to_owned(), scope.to_owned());
                self.by_scope.get(&key).copied()
            })
            .min()
    }
}

/// The cut of a series (epoch seconds): its first origin under the protocol, or earlier where an extra cut
/// says so. Samples before the cut may be trained on.
pub fn cut_of(
    rules: &DatasetProtocol,
    start_s: i64,
    samples: usize,
    extra_s: Option<i64>,
) -> Option<i64> {
    let first = rules.origins(samples).into_iter().min()?;
    let origin_s = start_s + i64::from(rules.interval_s) * i64::try_from(first).ok()?;
    Some(extra_s.map_or(origin_s, |extra_s| extra_s.min(origin_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_moment_wins() {
        let cuts = ExtraCuts::parse("dataset,scope,cut\na,c/v/m,500\na,c,300\na,c/v/m,700\n")
            .expect("parses");
        assert_eq!(cuts.earliest("a", "c/v/m"), Some(300));
        assert_eq!(cuts.earliest("a", "d/v/m"), None);
        let rules = DatasetProtocol {
            interval_s: 10,
            horizon: 2,
            n_origins: 2,
            stride: 3,
            series: BTreeMap::new(),
        };
        // Origins at 4 and 7 of 10 samples.
        assert_eq!(cut_of(&rules, 1000, 10, None), Some(1040));
        assert_eq!(cut_of(&rules, 1000, 10, Some(1020)), Some(1020));
        assert_eq!(cut_of(&rules, 1000, 10, Some(2000)), Some(1040));
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = ExtraCuts::parse("heading\na,b\n").expect_err("too short");
        assert_eq!(error.line, 2);
    }
}
