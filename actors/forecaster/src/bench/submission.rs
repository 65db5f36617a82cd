//! The submission file of the forecast protocol.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use twinscale_protocol::Quantiles;

/// The submission could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct SubmissionError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

enum Target {
    Plain(BufWriter<File>),
    Compressed(GzEncoder<BufWriter<File>>),
}

/// A submission being written.
pub(crate) struct Submission {
    path: PathBuf,
    target: Target,
}

impl Submission {
    /// Opens the file and writes the heading.
    pub(crate) fn create(path: &Path) -> Result<Self, SubmissionError> {
        let file = File::create(path).map_err(|source| SubmissionError {
            path: path.to_owned(),
            source,
        })?;
        let file = BufWriter::new(file);
        let compressed = path.extension().is_some_and(|extension| extension == "gz");
        let target = if compressed {
            Target::Compressed(GzEncoder::new(file, Compression::fast()))
        } else {
            Target::Plain(file)
        };
        let mut submission = Self {
            path: path.to_owned(),
            target,
        };
        submission
            .line("dataset,series,origin,h,q0.05,q0.1,q0.25,q0.5,q0.75,q0.9,q0.95,q0.99\n")?;
        Ok(submission)
    }

    /// Writes one forecast.
    pub(crate) fn write(
        &mut self,
        dataset: &str,
        series: &str,
        origin_s: i64,
        steps: &[Quantiles],
    ) -> Result<(), SubmissionError> {
        for (ahead, quantiles) in (1_usize..).zip(steps) {
            let values: Vec<String> = quantiles
                .iter()
                .map(|value| value.units().to_string())
                .collect();
            let values = values.join(",");
            self.line(&format!("{dataset},{series},{origin_s},{ahead},{values}\n"))?;
        }
        Ok(())
    }

    /// Closes the file.
    pub(crate) fn finish(self) -> Result<(), SubmissionError> {
        let Self { path, target } = self;
        let closed = match target {
            Target::Plain(mut file) => file.flush(),
            Target::Compressed(encoder) => encoder.finish().and_then(|mut file| file.flush()),
        };
        closed.map_err(|source| SubmissionError { path, source })
    }

    fn line(&mut self, line: &str) -> Result<(), SubmissionError> {
        let written = match &mut self.target {
            Target::Plain(file) => file.write_all(line.as_bytes()),
            Target::Compressed(encoder) => encoder.write_all(line.as_bytes()),
        };
        written.map_err(|source| SubmissionError {
            path: self.path.clone(),
            source,
        })
    }
}
