//! Clients that ask one contender for a while, each waiting for its answer before it asks again.

use super::contender::Contender;
use futures::future::join_all;
use hdrhistogram::Histogram;
use std::time::Duration;
use tokio::time::Instant;

/// Longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Samples in requests of several.
    Samples,
    /// Single writes.
    Commands,
    /// Reads through a node that does not lead, one after another.
    Call,
}

impl Measure {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 3] = [Self::Samples, Self::Commands, Self::Call];

    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Samples => "samples/s",
            Self::Commands => "commands/s",
            Self::Call => "remote calls/s",
        }
    }
}

/// What came of a slice.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Units: samples, commands or calls.
    pub units: u64,
    /// How long it took.
    pub took: Duration,
    /// Microseconds of each request.
    pub latencies: Histogram<u64>,
}

/// Measures for a time; a request that is refused ends the run.
pub async fn measure(
    contender: &dyn Contender,
    what: Measure,
    (clients, batch): (u32, u32),
    time: Duration,
) -> anyhow::Result<Slice> {
    let begun = Instant::now();
    let until = begun + time;
    let asked = (0..clients).map(|client| async move {
        let mut latencies = Histogram::<u64>::new_with_max(LATENCY_US_MAX, 3)?;
        while Instant::now() < until {
            let begun = Instant::now();
            match what {
                Measure::Samples => contender.samples(client, batch).await?,
                Measure::Commands => contender.command(client).await?,
                Measure::Call => contender.call(client).await?,
            }
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            latencies.saturating_record(took);
        }
        anyhow::Ok(latencies)
    });
    let answered = join_all(asked).await;
    let took = begun.elapsed();
    let mut latencies = Histogram::<u64>::new_with_max(LATENCY_US_MAX, 3)?;
    for of_client in answered {
        latencies.add(of_client?)?;
    }
    let each = if what == Measure::Samples { batch } else { 1 };
    Ok(Slice {
        units: latencies.len() * u64::from(each),
        took,
        latencies,
    })
}
