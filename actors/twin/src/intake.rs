//! What comes from outside: samples, policy and stack, events. Checked here, then committed.

use crate::clients::TwinWriter;
use crate::host::HostError;
use crate::limits::{NEWEST_TIME, OLDEST_TIME};
use crate::state::{ApplyResult, EventsRecorded};
use crate::stored::v1::{SampleGroup, TwinCommand, TwinConfig};
use std::collections::BTreeMap;
use twinscale_protocol::twin::{
    AnnounceRequest, ConfigureRequest, IngestReply, IngestRequest, RefusalReason, RefusedSample,
    SAMPLES_PER_REQUEST_MAX,
};
use twinscale_protocol::{CustomerId, DomainTime, FixedValue, Sample, SeriesKey, metric};

/// Stores samples; the answer comes when they are durable and applied. What is refused, such as a
/// sample older than the retention, is named in the reply with the limit.
///
/// # Errors
/// [`HostError`]: a request that breaks a rule is not stored at all.
pub async fn ingest(
    writer: &dyn TwinWriter,
    request: IngestRequest,
) -> Result<IngestReply, HostError> {
    check(&request)?;
    let IngestRequest {
        customer,
        now,
        samples,
    } = request;
    if samples.is_empty() {
        return Ok(IngestReply::default());
    }
    let groups = grouped(samples);
    let keys: Vec<(SeriesKey, Vec<DomainTime>)> = groups
        .iter()
        .map(|group| {
            let times = group.samples.iter().map(|(at, _)| *at).collect();
            (group.series.clone(), times)
        })
        .collect();
    let command = TwinCommand::RecordSamples { now, groups };
    match writer.commit(&customer, command).await? {
        ApplyResult::SamplesRecorded(reply) => Ok(reply),
        ApplyResult::Quarantined { .. } => Ok(quarantined(keys)),
        other => Err(unexpected(customer, other)),
    }
}

/// Sets a customer's policy and stack, if the configuration is of a version (0 = there is none yet) where one
/// is given; returns the new version.
///
/// # Errors
/// [`HostError::Refused`] with the key that breaks a rule; others as [`TwinWriter::commit`].
pub async fn configure(
    writer: &dyn TwinWriter,
    request: ConfigureRequest,
    if_version: Option<u64>,
) -> Result<u64, HostError> {
    let ConfigureRequest {
        customer,
        policy,
        stack,
        interval,
        horizon_steps,
    } = request;
    let config = TwinConfig {
        policy,
        stack,
        interval,
        horizon_steps,
    };
    let command = match if_version {
        Some(config_version) => TwinCommand::ConfigureIf {
            config_version,
            config,
        },
        None => TwinCommand::Configure(config),
    };
    match writer.commit(&customer, command).await? {
        ApplyResult::Configured { config_version } => Ok(config_version),
        other => Err(unexpected(customer, other)),
    }
}

/// Announces events.
///
/// # Errors
/// [`HostError::Refused`] with the event that breaks a rule; others as [`TwinWriter::commit`].
pub async fn announce(
    writer: &dyn TwinWriter,
    request: AnnounceRequest,
) -> Result<EventsRecorded, HostError> {
    let AnnounceRequest { customer, events } = request;
    for event in &events {
        crate::state::check_event(event).map_err(|text| HostError::Refused {
            customer: customer.clone(),
            refusal: crate::state::Refusal::Invalid(text),
        })?;
    }
    let command = TwinCommand::RecordEvents { events };
    match writer.commit(&customer, command).await? {
        ApplyResult::EventsRecorded(recorded) => Ok(recorded),
        other => Err(unexpected(customer, other)),
    }
}

/// Writes a note down; the same one again is kept once. Returns how many were ever taken.
///
/// # Errors
/// [`HostError::Refused`] with the rule that it breaks; others as [`TwinWriter::commit`].
#[cfg(feature = "next-schema")]
pub async fn annotate(
    writer: &dyn TwinWriter,
    customer: CustomerId,
    note: crate::stored::v3::Note,
) -> Result<u64, HostError> {
    crate::state::check_note(&note).map_err(|text| HostError::Refused {
        customer: customer.clone(),
        refusal: crate::state::Refusal::Invalid(text),
    })?;
    let command = TwinCommand::Annotate(note);
    match writer.commit(&customer, command).await? {
        ApplyResult::Annotated { notes_taken } => Ok(notes_taken),
        other => Err(unexpected(customer, other)),
    }
}

fn check(request: &IngestRequest) -> Result<(), HostError> {
    let count = request.samples.len();
    let limit = SAMPLES_PER_REQUEST_MAX;
    if count > limit {
        return Err(HostError::TooManySamples { count, limit });
    }
    let now = request.now;
    let (oldest, newest) = (OLDEST_TIME, NEWEST_TIME);
    if now < oldest || now > newest {
        return Err(HostError::Clock {
            now,
            oldest,
            newest,
        });
    }
    let mut known: Option<&SeriesKey> = None;
    for (position, sample) in request.samples.iter().enumerate() {
        let Sample { series, at, value } = sample;
        if known != Some(series) {
            metric::find(&series.metric).map_err(|source| HostError::UnknownMetric {
                position,
                series: series.clone(),
                at: *at,
                source,
            })?;
            known = Some(series);
        }
        if *value < FixedValue(0) {
            return Err(HostError::NegativeSample {
                position,
                series: series.clone(),
                at: *at,
                value: *value,
            });
        }
    }
    Ok(())
}

/// Samples by series, so that a command names each series once; the order within a series stays.
fn grouped(samples: Vec<Sample>) -> Vec<SampleGroup> {
    let mut groups: BTreeMap<SeriesKey, Vec<(DomainTime, FixedValue)>> = BTreeMap::new();
    for Sample { series, at, value } in samples {
        groups.entry(series).or_default().push((at, value));
    }
    groups
        .into_iter()
        .map(|(series, samples)| SampleGroup { series, samples })
        .collect()
}

fn quarantined(keys: Vec<(SeriesKey, Vec<DomainTime>)>) -> IngestReply {
    let refused = keys.into_iter().flat_map(|(series, times)| {
        times.into_iter().map(move |at| RefusedSample {
            series: series.clone(),
            at,
            reason: RefusalReason::Quarantined,
        })
    });
    IngestReply {
        refused: refused.collect(),
        ..IngestReply::default()
    }
}

fn unexpected(customer: CustomerId, result: ApplyResult) -> HostError {
    match result {
        ApplyResult::Refused(refusal) => HostError::Refused { customer, refusal },
        ApplyResult::Quarantined { reason } => HostError::Quarantined { customer, reason },
        other => HostError::Quarantined {
            customer,
            reason: format!("command was answered with {other:?}: report a defect"),
        },
    }
}
