//! Events: announced, kept in order, bounded.

use super::apply::{NotApplied, invalid};
use super::{ApplyResult, EventsRecorded, PartKey, TwinState};
use crate::limits::{EVENT_NAME_BYTES_MAX, EVENTS_MAX, EVENTS_PER_REQUEST_MAX};
use twinscale_protocol::Event;

/// Checks one event; the text names it and the remedy.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn check_event(event: &Event) -> Result<(), String> {
    if event.name.len() > EVENT_NAME_BYTES_MAX {
        let bytes = event.name.len();
        let start = event.start;
        return Err(format!(
            "name of the event that starts at {start} has {bytes} bytes: use at most \
             {EVENT_NAME_BYTES_MAX}"
        ));
    }
    if event.end <= event.start {
        let Event {
            name, start, end, ..
        } = event;
        return Err(format!(
            "event `{name}` ends at {end}, not after its start {start}: give an end (exclusive) that \
             is later"
        ));
    }
    Ok(())
}

impl TwinState {
    pub(super) fn apply_events(&mut self, events: Vec<Event>) -> Result<ApplyResult, NotApplied> {
        if events.len() > EVENTS_PER_REQUEST_MAX {
            let count = events.len();
            return Err(invalid(format!(
                "{count} events in one request: send at most {EVENTS_PER_REQUEST_MAX} at once"
            )));
        }
        for event in &events {
            check_event(event).map_err(invalid)?;
        }
        let mut recorded = EventsRecorded::default();
        for event in events {
            match self.events.iter_mut().find(|old| same_key(old, &event)) {
                None => {
                    recorded.stored = recorded.stored.saturating_add(1);
                    self.events.push(event);
                }
                Some(old) if *old == event => {
                    recorded.duplicates = recorded.duplicates.saturating_add(1);
                }
                Some(old) => {
                    recorded.replaced = recorded.replaced.saturating_add(1);
                    *old = event;
                }
            }
        }
        self.events
            .sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
        while self.events.len() > EVENTS_MAX {
            let first_ended = (0..self.events.len())
                .min_by_key(|index| self.events.get(*index).map(|event| event.end));
            self.events.remove(first_ended.unwrap_or(0));
        }
        self.mark(PartKey::Events);
        Ok(ApplyResult::EventsRecorded(recorded))
    }
}

fn same_key(one: &Event, other: &Event) -> bool {
    one.kind == other.kind
        && one.start == other.start
        && one.name == other.name
        && one.series == other.series
}

type SortKey<'a> = (
    twinscale_protocol::DomainTime,
    twinscale_protocol::EventKind,
    &'a str,
    Option<&'a twinscale_protocol::SeriesKey>,
);

fn sort_key(event: &Event) -> SortKey<'_> {
    (
        event.start,
        event.kind,
        event.name.as_str(),
        event.series.as_ref(),
    )
}
