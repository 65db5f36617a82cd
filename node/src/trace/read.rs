//! Reads `customer,vm_type,metric,timestamp,value`.

use super::error::{Field, TraceError};
use super::limited::Counted;
use super::row::{Rows, timestamp};
use super::series::{CustomerTrace, ReadCounts, SeriesTrace, Trace};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use twinscale_protocol::metric;
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, Seconds, SeriesKey, VmTypeId,
};

const NEEDED: &str = "customer,vm_type,metric,timestamp,value";

/// Rows between two calls of the progress function: some milliseconds of work.
const PROGRESS_ROWS: u64 = 16_384;

/// How to read a trace.
#[derive(Clone, Debug, Default)]
pub struct TraceOptions {
    /// VM types that a customer may have; a customer that is not named may have any.
    pub known_vm_types: BTreeMap<CustomerId, BTreeSet<VmTypeId>>,
    /// What to do when a series' clock goes back.
    pub disorder: Disorder,
    /// What to do with a metric that is not in the registry.
    pub unknown_metrics: UnknownMetrics,
    /// Bounds of what is read.
    pub limits: TraceLimits,
}

/// What to do when a row is older than one before it in the same series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disorder {
    /// Put it in its place when it is at most this much older, refuse it otherwise.
    AcceptUpTo(Seconds),
    /// Put it in its place, however old it is.
    Accept,
}

/// What to do with a metric that is not in the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownMetrics {
    /// Refuse the file: it may be a typo.
    #[default]
    Refuse,
    /// Leave its rows out and count them.
    Skip,
}

/// Bounds of what is read, so that a wrong file cannot take all memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLimits {
    /// Longest line in bytes.
    pub line_bytes: usize,
    /// Most customers.
    pub customers: usize,
    /// Most series of all customers.
    pub series: usize,
    /// Most samples.
    pub samples: usize,
}

/// How far reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file read so far (packed bytes for gzip).
    pub bytes_read: u64,
    /// Bytes of the file, if known.
    pub bytes_total: Option<u64>,
    /// Rows read so far.
    pub rows: u64,
}

impl Default for Disorder {
    /// A day: late batches are put in their place, a clock that was set back by more is refused.
    fn default() -> Self {
        Self::AcceptUpTo(Seconds(86_400))
    }
}

impl Default for TraceLimits {
    /// 4 KiB lines, 10,000 customers, 100,000 series, 50 million samples (16 bytes each).
    fn default() -> Self {
        Self {
            line_bytes: 4_096,
            customers: 10_000,
            series: 100_000,
            samples: 50_000_000,
        }
    }
}

/// Reads a trace file, packed with gzip or not.
///
/// # Errors
/// [`TraceError`] at the first row that cannot be used, with file, line, column, value and remedy.
pub fn read_trace(
    path: &Path,
    options: &TraceOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Trace, TraceError> {
    let file = path.display().to_string();
    let open = |source| TraceError::Open {
        file: path.display().to_string(),
        source,
    };
    let reader = File::open(path).map_err(open)?;
    let total = reader.metadata().ok().map(|metadata| metadata.len());
    read_trace_from(BufReader::new(reader), &file, total, options, progress)
}

/// Reads a trace from any reader; `file` names it in messages.
///
/// # Errors
/// As [`read_trace`].
pub fn read_trace_from(
    reader: impl Read,
    file: &str,
    bytes_total: Option<u64>,
    options: &TraceOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Trace, TraceError> {
    let (counted, bytes) = Counted::new(reader);
    let mut rows = Rows::new(file, counted, options.limits.line_bytes)?;
    let columns = Columns {
        customer: rows.needed("customer", NEEDED)?,
        vm_type: rows.needed("vm_type", NEEDED)?,
        metric: rows.needed("metric", NEEDED)?,
        timestamp: rows.needed("timestamp", NEEDED)?,
        value: rows.needed("value", NEEDED)?,
    };
    let mut gathered = Gathered::new(file, options);
    while rows.next()? {
        gathered.take(&rows, &columns)?;
        if gathered.counts.rows.is_multiple_of(PROGRESS_ROWS) {
            progress(Progress {
                bytes_read: bytes.get(),
                bytes_total,
                rows: gathered.counts.rows,
            });
        }
    }
    progress(Progress {
        bytes_read: bytes.get(),
        bytes_total,
        rows: gathered.counts.rows,
    });
    gathered.finish()
}

/// Where each column stands.
struct Columns {
    customer: usize,
    vm_type: usize,
    metric: usize,
    timestamp: usize,
    value: usize,
}

/// A series while it is being read.
struct Pending {
    customer: CustomerId,
    key: SeriesKey,
    samples: Vec<(DomainTime, FixedValue)>,
    latest: DomainTime,
}

/// Customer, VM type and metric as a file writes them.
type Names = (String, String, String);

struct Gathered<'a> {
    file: &'a str,
    options: &'a TraceOptions,
    /// Place of each series in `series`, by the three fields as the file writes them; `None` = left out.
    places: BTreeMap<Names, Option<usize>>,
    customers: BTreeSet<CustomerId>,
    series: Vec<Pending>,
    /// The series of the last row: most files write one series after the other.
    last: Option<(Names, Option<usize>)>,
    samples: usize,
    counts: ReadCounts,
}

impl<'a> Gathered<'a> {
    fn new(file: &'a str, options: &'a TraceOptions) -> Self {
        Self {
            file,
            options,
            places: BTreeMap::new(),
            customers: BTreeSet::new(),
            series: Vec::new(),
            last: None,
            samples: 0,
            counts: ReadCounts::default(),
        }
    }

    fn take(&mut self, rows: &Rows<'_>, columns: &Columns) -> Result<(), TraceError> {
        let Some(index) = self.series_of(rows, columns)? else {
            self.counts.rows += 1;
            self.counts.skipped += 1;
            return Ok(());
        };
        let at_field = rows.field(columns.timestamp, "timestamp")?;
        let at = timestamp(&at_field)?;
        let value = value(rows, columns)?;
        self.counts.rows += 1;
        self.samples += 1;
        if self.samples > self.options.limits.samples {
            return Err(self.too_many(rows, "samples", self.options.limits.samples));
        }
        let Some(pending) = self.series.get_mut(index) else {
            return Ok(());
        };
        if at < pending.latest {
            let back = pending.latest.seconds_since(at);
            if let Disorder::AcceptUpTo(limit) = self.options.disorder
                && back > i64::from(limit.0)
            {
                return Err(at_field.refuse(
                    format!(
                        "is {back} s older than a row before it in series {}/{}, at most {} s are accepted",
                        pending.customer, pending.key, limit.0
                    ),
                    "sort the file by time, or allow any order",
                ));
            }
            self.counts.disordered += 1;
        }
        pending.latest = pending.latest.max(at);
        pending.samples.push((at, value));
        Ok(())
    }

    /// Finds the series of a row, or adds it after all its names have been checked; `None` = left out.
    fn series_of(
        &mut self,
        rows: &Rows<'_>,
        columns: &Columns,
    ) -> Result<Option<usize>, TraceError> {
        let customer = rows.field(columns.customer, "customer")?;
        let vm_type = rows.field(columns.vm_type, "vm_type")?;
        let metric = rows.field(columns.metric, "metric")?;
        if let Some(((a, b, c), index)) = &self.last
            && a == customer.value
            && b == vm_type.value
            && c == metric.value
        {
            return Ok(*index);
        }
        let names: Names = (
            customer.value.to_owned(),
            vm_type.value.to_owned(),
            metric.value.to_owned(),
        );
        let index = if let Some(index) = self.places.get(&names) {
            *index
        } else {
            match checked(self.options, &customer, &vm_type, &metric)? {
                Some((customer, key)) => Some(self.add(rows, customer, key)?),
                None => None,
            }
        };
        if self.places.len() >= self.options.limits.series {
            return Err(self.too_many(rows, "series", self.options.limits.series));
        }
        self.places.insert(names.clone(), index);
        self.last = Some((names, index));
        Ok(index)
    }

    fn add(
        &mut self,
        rows: &Rows<'_>,
        customer: CustomerId,
        key: SeriesKey,
    ) -> Result<usize, TraceError> {
        let limits = &self.options.limits;
        self.customers.insert(customer.clone());
        if self.customers.len() > limits.customers {
            return Err(self.too_many(rows, "customers", limits.customers));
        }
        self.series.push(Pending {
            customer,
            key,
            samples: Vec::new(),
            latest: DomainTime(i64::MIN),
        });
        Ok(self.series.len() - 1)
    }

    fn too_many(&self, rows: &Rows<'_>, what: &'static str, limit: usize) -> TraceError {
        TraceError::TooMany {
            file: self.file.to_owned(),
            line: rows.line(),
            what,
            limit,
        }
    }

    fn finish(self) -> Result<Trace, TraceError> {
        if self.series.is_empty() {
            return Err(TraceError::Empty {
                file: self.file.to_owned(),
            });
        }
        let mut counts = self.counts;
        let mut customers: BTreeMap<CustomerId, CustomerTrace> = BTreeMap::new();
        for pending in self.series {
            let series = SeriesTrace::build(pending.samples, &mut counts);
            customers
                .entry(pending.customer)
                .or_default()
                .series
                .insert(pending.key, series);
        }
        Ok(Trace { customers, counts })
    }
}

/// Checks the three names of a series; `None` = its metric is unknown and left out.
fn checked(
    options: &TraceOptions,
    customer: &Field<'_>,
    vm_type: &Field<'_>,
    metric: &Field<'_>,
) -> Result<Option<(CustomerId, SeriesKey)>, TraceError> {
    let id = CustomerId::new(customer.value)
        .map_err(|error| customer.refuse("is no customer id", error.to_string()))?;
    let key = SeriesKey {
        vm_type: VmTypeId::new(vm_type.value)
            .map_err(|error| vm_type.refuse("is no VM type", error.to_string()))?,
        metric: MetricName::new(metric.value)
            .map_err(|error| metric.refuse("is no metric", error.to_string()))?,
    };
    if let Err(error) = metric::find(&key.metric) {
        if options.unknown_metrics == UnknownMetrics::Skip {
            return Ok(None);
        }
        let remedy = format!("rename it or remove its rows; known are {}", error.known);
        return Err(metric.refuse("is an unknown metric", remedy));
    }
    if let Some(known) = options.known_vm_types.get(&id)
        && !known.contains(&key.vm_type)
    {
        let names: Vec<&str> = known.iter().map(VmTypeId::as_str).collect();
        return Err(vm_type.refuse(
            format!("is a VM type that the stack of customer `{id}` does not name"),
            format!(
                "add a tier for it to the stack file or correct the row; the stack names {}",
                names.join(", ")
            ),
        ));
    }
    Ok(Some((id, key)))
}

fn value(rows: &Rows<'_>, columns: &Columns) -> Result<FixedValue, TraceError> {
    let field = rows.field(columns.value, "value")?;
    let remedy = "write a plain decimal number, or leave the row out where the sample is missing";
    let Ok(number) = field.value.parse::<f64>() else {
        return Err(field.refuse("is not a number", remedy));
    };
    FixedValue::from_measured(number).map_err(|error| {
        let rule = match error {
            twinscale_protocol::UnitError::NotFinite { .. } => "is not finite",
            twinscale_protocol::UnitError::Negative { .. } => {
                "is negative, where demand and utilisation are zero or more"
            }
            twinscale_protocol::UnitError::TooLarge { .. } => {
                "is too large; choose a larger unit for this metric"
            }
        };
        field.refuse(rule, remedy)
    })
}
