//! Forecasts and decisions as CSV.

use std::io::{self, Write};
use twinscale_protocol::{
    CustomerId, DomainTime, PlanNumber, Quantiles, SeriesKey, TierName, VmCount, VmTypeId,
};

/// One step of one forecast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForecastRow<'a> {
    /// Whose.
    pub customer: &'a CustomerId,
    /// Which series.
    pub series: &'a SeriesKey,
    /// When it was made: the end of the last interval that was seen.
    pub issued_at: DomainTime,
    /// Start of the forecast interval.
    pub step_at: DomainTime,
    /// Its quantiles.
    pub quantiles: &'a Quantiles,
}

/// What was wanted and what ran at one decision, of one VM type of one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow<'a> {
    /// Whose.
    pub customer: &'a CustomerId,
    /// Which tier.
    pub tier: &'a TierName,
    /// Which VM type.
    pub vm_type: &'a VmTypeId,
    /// When it was decided.
    pub decided_at: DomainTime,
    /// Start of the demand interval that it must serve.
    pub step_at: DomainTime,
    /// VMs wanted.
    pub desired: VmCount,
    /// VMs that ran, starting ones included.
    pub observed: VmCount,
    /// The plan it follows; `None` = there was none.
    pub plan: Option<PlanNumber>,
}

/// Writes the header of `forecasts.csv`.
///
/// # Errors
/// What the writer says.
pub fn write_forecasts_header(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "customer,vm_type,metric,issued_at,step_at")?;
    for level in twinscale_protocol::QUANTILE_LEVELS {
        write!(out, ",q{level}")?;
    }
    writeln!(out)
}

/// Writes rows of `forecasts.csv`: times are epoch seconds, values are in the metric's unit.
///
/// # Errors
/// What the writer says.
pub fn write_forecasts<'a>(
    out: &mut dyn Write,
    rows: impl IntoIterator<Item = ForecastRow<'a>>,
) -> io::Result<()> {
    for row in rows {
        // Ids hold no comma, quote or line break, so nothing needs quoting.
        write!(
            out,
            "{},{},{},{},{}",
            row.customer, row.series.vm_type, row.series.metric, row.issued_at, row.step_at
        )?;
        for value in row.quantiles {
            write!(out, ",{value}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Writes the header of `decisions.csv`.
///
/// # Errors
/// What the writer says.
pub fn write_decisions_header(out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "customer,tier,vm_type,decided_at,step_at,desired,observed,plan"
    )
}

/// Writes rows of `decisions.csv`: times are epoch seconds, counts are VMs.
///
/// # Errors
/// What the writer says.
pub fn write_decisions<'a>(
    out: &mut dyn Write,
    rows: impl IntoIterator<Item = DecisionRow<'a>>,
) -> io::Result<()> {
    for row in rows {
        write!(
            out,
            "{},{},{},{},{},{},{},",
            row.customer,
            row.tier,
            row.vm_type,
            row.decided_at,
            row.step_at,
            row.desired.0,
            row.observed.0
        )?;
        match row.plan {
            Some(plan) => writeln!(out, "{plan}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}
