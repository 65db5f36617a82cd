//! Writes forecasts and decisions of a replay as CSV while it runs.

use crate::error::ExpectedError;
use crate::replay::{StepRecord, StepSink};
use crate::report::{
    DecisionRow, ForecastRow, write_decisions, write_decisions_header, write_forecasts,
    write_forecasts_header,
};
use crate::summary::FirstSteps;
use crate::workload::ReplayCustomer;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use twinscale_protocol::VmCount;
use twinscale_protocol::optimizer::PlanVms;

const FORECASTS: &str = "forecasts.csv";
const DECISIONS: &str = "decisions.csv";

/// A sink that writes both files and passes each step on.
#[derive(Debug)]
pub struct CsvSink {
    folder: PathBuf,
    forecasts: BufWriter<File>,
    decisions: BufWriter<File>,
    next: FirstSteps,
}

impl CsvSink {
    /// Creates both files in a folder.
    ///
    /// # Errors
    /// When one cannot be created or written.
    pub fn create(folder: &Path, next: FirstSteps) -> Result<Self, ExpectedError> {
        let mut sink = Self {
            forecasts: create(&folder.join(FORECASTS))?,
            decisions: create(&folder.join(DECISIONS))?,
            folder: folder.to_owned(),
            next,
        };
        let headers = write_forecasts_header(&mut sink.forecasts)
            .and_then(|()| write_decisions_header(&mut sink.decisions));
        headers.map_err(|source| ExpectedError::file("write", folder, source))?;
        Ok(sink)
    }

    /// Writes what is buffered and returns the inner sink.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> Result<FirstSteps, ExpectedError> {
        let flushed = self.forecasts.flush().and_then(|()| self.decisions.flush());
        flushed.map_err(|source| ExpectedError::file("write", &self.folder, source))?;
        Ok(self.next)
    }

    fn write(&mut self, customer: &ReplayCustomer, record: &StepRecord) -> std::io::Result<()> {
        if let Some(forecasts) = &record.forecast {
            for forecast in &forecasts.forecasts {
                let mut step_at = forecast.first_step_at;
                let rows = forecast.quantiles.iter().map(|quantiles| {
                    let row = ForecastRow {
                        customer: &customer.customer,
                        series: &forecast.key,
                        issued_at: forecasts.issued_at,
                        step_at,
                        quantiles,
                    };
                    step_at = step_at.plus(forecast.interval);
                    row
                });
                write_forecasts(&mut self.forecasts, rows)?;
            }
        }
        let Some(plan) = &record.plan else {
            return Ok(());
        };
        let passed =
            record.at.seconds_since(plan.first_step_at) / i64::from(plan.interval.0.max(1));
        let last = usize::from(plan.steps).saturating_sub(1);
        let step = usize::try_from(passed).unwrap_or(0).min(last);
        let rows = plan.allocation.vms.iter().map(|vms| DecisionRow {
            customer: &customer.customer,
            tier: &vms.tier,
            vm_type: &vms.vm_type,
            decided_at: record.at,
            step_at: record.at,
            desired: vms.counts.get(step).copied().unwrap_or_default(),
            observed: observed(record, vms),
            plan: Some(plan.number),
        });
        write_decisions(&mut self.decisions, rows)
    }
}

impl StepSink for CsvSink {
    fn step(
        &mut self,
        index: usize,
        customer: &ReplayCustomer,
        step: usize,
        record: &StepRecord,
    ) -> anyhow::Result<()> {
        self.write(customer, record)
            .map_err(|source| ExpectedError::file("write", &self.folder, source))?;
        self.next.step(index, customer, step, record)
    }
}

fn observed(record: &StepRecord, vms: &PlanVms) -> VmCount {
    let same = record.observed.vms.iter();
    let count = same
        .filter(|vm| vm.tier == vms.tier && vm.vm_type == vms.vm_type)
        .count();
    VmCount(u32::try_from(count).unwrap_or(u32::MAX))
}

fn create(path: &Path) -> Result<BufWriter<File>, ExpectedError> {
    File::create(path)
        .map(BufWriter::new)
        .map_err(|source| ExpectedError::file("create", path, source))
}
