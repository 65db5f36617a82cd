//! The client's own list of what the node acknowledged: appended before it is counted.
//!
//! One line a sample: `customer,vm_type,metric,timestamp,millionths`; a line that was cut off by a crash of
//! this program is no promise of the node's and is left out.

use super::fleet::LoadSample;
use crate::error::ExpectedError;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use twinscale_protocol::{CustomerId, DomainTime, FixedValue, MetricName, SeriesKey, VmTypeId};

/// Most samples of a list that is read back: 3 GB of memory.
const SAMPLES_MAX: usize = 50_000_000;

/// A list that is written.
#[derive(Debug)]
pub struct AcknowledgedList {
    path: PathBuf,
    file: File,
}

/// What a list says about one series: value by time, the last one where a sample was corrected.
pub type AcknowledgedSeries = BTreeMap<DomainTime, FixedValue>;

impl AcknowledgedList {
    /// Opens a list to append to, making it when absent.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append_to(path: &Path) -> Result<Self, ExpectedError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| ExpectedError::file("write", path, source))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Appends samples with one write.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append<'a>(
        &mut self,
        samples: impl Iterator<Item = LoadSample<'a>>,
    ) -> Result<(), ExpectedError> {
        let mut lines = String::new();
        for sample in samples {
            let SeriesKey { vm_type, metric } = sample.series;
            let (customer, at, value) = (sample.customer, sample.at, sample.value.0);
            // Writing to a string cannot fail.
            let _written = writeln!(lines, "{customer},{vm_type},{metric},{at},{value}");
        }
        self.file
            .write_all(lines.as_bytes())
            .map_err(|source| ExpectedError::file("write", &self.path, source))
    }
}

/// Reads a list back.
///
/// # Errors
/// When the file cannot be read, or a line in it is none.
pub fn read_acknowledged(
    path: &Path,
) -> Result<BTreeMap<(CustomerId, SeriesKey), AcknowledgedSeries>, ExpectedError> {
    let failed = |source| ExpectedError::file("read", path, source);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut series: BTreeMap<_, AcknowledgedSeries> = BTreeMap::new();
    let mut line = String::new();
    let mut number = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line).map_err(failed)? == 0 || !line.ends_with('\n') {
            return Ok(series);
        }
        number += 1;
        let parsed = parse(line.trim_end()).filter(|_| number <= SAMPLES_MAX);
        let Some((key, at, value)) = parsed else {
            return Err(ExpectedError::input_hint(
                format!(
                    "{}: line {number} is no acknowledged sample: `{}`",
                    path.display(),
                    line.trim_end()
                ),
                format!(
                    "give a list written by `twinscale load`, of at most {SAMPLES_MAX} samples"
                ),
            ));
        };
        series.entry(key).or_default().insert(at, value);
    }
}

fn parse(line: &str) -> Option<((CustomerId, SeriesKey), DomainTime, FixedValue)> {
    let mut fields = line.split(',');
    let customer = CustomerId::new(fields.next()?).ok()?;
    let key = SeriesKey {
        vm_type: VmTypeId::new(fields.next()?).ok()?,
        metric: MetricName::new(fields.next()?).ok()?,
    };
    let at = fields.next()?.parse().ok()?;
    let value = fields.next()?.parse().ok()?;
    Some(((customer, key), DomainTime(at), FixedValue(value)))
}
