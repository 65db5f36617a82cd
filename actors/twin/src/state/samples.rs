//! Samples: recorded once per key, refused with the limit they break.

use super::{ApplyResult, PartKey, TwinState};
use crate::limits::SERIES_MAX;
use crate::observations::Touched;
use crate::stored::v1::SampleGroup;
use twinscale_protocol::DomainTime;
use twinscale_protocol::twin::{IngestReply, RefusalReason, RefusedSample};

impl TwinState {
    pub(super) fn apply_samples(
        &mut self,
        now: DomainTime,
        groups: Vec<SampleGroup>,
    ) -> ApplyResult {
        let mut reply = IngestReply::default();
        let mut touched = Touched::default();
        for group in groups {
            self.record_group(now, group, &mut reply, &mut touched);
        }
        let counters = &mut self.meta.counters;
        counters.samples = counters.samples.saturating_add(u64::from(reply.stored));
        counters.duplicates = counters
            .duplicates
            .saturating_add(u64::from(reply.duplicates));
        counters.replaced = counters.replaced.saturating_add(u64::from(reply.replaced));
        counters.refused = counters
            .refused
            .saturating_add(u64::try_from(reply.refused.len()).unwrap_or(u64::MAX));
        self.mark(PartKey::Meta);
        self.mark_touched(&touched);
        ApplyResult::SamplesRecorded(reply)
    }

    fn record_group(
        &mut self,
        now: DomainTime,
        group: SampleGroup,
        reply: &mut IngestReply,
        touched: &mut Touched,
    ) {
        let retention = self.retention();
        let SampleGroup { series, samples } = group;
        let refuse = |at, reason| RefusedSample {
            series: series.clone(),
            at,
            reason,
        };
        let Some(number) = self.observations.ensure_series(&series, touched) else {
            let limit = u32::try_from(SERIES_MAX).unwrap_or(u32::MAX);
            let reason = RefusalReason::TooManySeries { limit };
            reply
                .refused
                .extend(samples.iter().map(|(at, _)| refuse(*at, reason)));
            return;
        };
        let (oldest, newest) = self.observations.window(number, now, &retention);
        let mut taken = Vec::with_capacity(samples.len());
        for (at, value) in samples {
            if at > newest {
                let reason = RefusalReason::InTheFuture { newest };
                reply.refused.push(refuse(at, reason));
            } else if at < oldest {
                reply
                    .refused
                    .push(refuse(at, RefusalReason::TooOld { oldest }));
            } else {
                taken.push((at, value));
            }
        }
        let recorded = self.observations.record(number, &taken, touched);
        self.observations.prune(number, now, &retention, touched);
        reply.stored = reply.stored.saturating_add(recorded.stored);
        reply.duplicates = reply.duplicates.saturating_add(recorded.duplicates);
        reply.replaced = reply.replaced.saturating_add(recorded.replaced);
    }
}
