//! `twinscale send activity`.

use super::post::Poster;
use super::{Destination, Source, each_piece, now, state};
use crate::console;
use crate::error::ExpectedError;
use crate::service::api::Moment;
use clap::Args;
use serde::Deserialize;
use std::borrow::Cow;
use std::path::PathBuf;
use twinscale_inputs::activity::{
    Activity, ActivityCounts, ActivityEvent, ActivityOptions, NoiseOptions,
};
use twinscale_inputs::fault::Faults;
use twinscale_inputs::lines::{Line, LineSplitter};
use twinscale_protocol::{DomainTime, Seconds};

/// Counts active users per interval, day and week without keeping who they are.
///
/// One JSON object a line: {"at": 1700000000, "user": "...", "cohort": "free", "action": "search"}; cohort and action
/// may be left out. A user is hashed under a key that changes with each window and is then forgotten.
#[derive(Debug, Args)]
pub(in crate::cli) struct ActivityArguments {
    /// The activity; `-` is standard input, which is read until it ends.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Fewest users that a count may tell of; smaller ones are withheld, and so is what would tell of them.
    #[arg(long, value_name = "USERS", default_value_t = 10)]
    threshold: u64,
    /// Cohorts that are told apart.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    cohorts: Vec<String>,
    /// Actions that are told apart.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    actions: Vec<String>,
    /// Add geometric noise to counts, with this epsilon for each; rates are then withheld.
    #[arg(long, value_name = "EPSILON")]
    noise: Option<f64>,
    /// Epsilon of all counts of one day; once it is spent no further count is given.
    #[arg(
        long,
        value_name = "EPSILON",
        default_value_t = 10.0,
        requires = "noise"
    )]
    noise_per_day: f64,
    #[command(flatten)]
    destination: Destination,
}

/// A line as it is sent. It is read and dropped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityLine<'a> {
    at: Moment,
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    cohort: Option<Cow<'a, str>>,
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
}

/// Why a line was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Cut,
    Malformed,
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::Cut => "longer than 16 KiB",
            Self::Malformed => {
                "no JSON object with `at` and `user`, and at most `cohort` and `action`"
            }
        }
    }
}

pub(super) fn run(arguments: &ActivityArguments, quiet: bool) -> anyhow::Result<()> {
    let source = &arguments.source;
    let secret = state::secret(&source.secret)?;
    let options = ActivityOptions {
        vm_type: source.vm_type.clone(),
        interval: Seconds(source.interval),
        lateness: Seconds(source.lateness),
        threshold: arguments.threshold,
        cohorts: arguments.cohorts.clone(),
        actions: arguments.actions.clone(),
        noise: arguments.noise.map(|epsilon_per_value| NoiseOptions {
            epsilon_per_value,
            epsilon_per_day: arguments.noise_per_day,
        }),
    };
    let mut activity = match state::load(source.state.as_deref())? {
        Some(bytes) => Activity::from_bytes(&bytes, options, secret)
            .map_err(|error| ExpectedError::input("the state file cannot be used", error))?,
        None => Activity::new(options, secret)
            .map_err(|error| ExpectedError::input("activity cannot be counted so", error))?,
    };
    let mut poster = Poster::new(&arguments.destination, &source.customer)?;
    let (mut splitter, mut faults) = (LineSplitter::default(), Faults::default());
    let mut observe = |activity: &mut Activity, line: Line<'_>, now: DomainTime| {
        count(activity, line, now, &mut faults);
    };
    each_piece(&arguments.file, |piece| {
        let now = now();
        splitter.feed(piece, &mut |line| observe(&mut activity, line, now));
        poster.samples(&activity.take_closed())
    })?;
    let at_end = now();
    splitter.finish(&mut |line| observe(&mut activity, line, at_end));
    poster.samples(&match &source.state {
        Some(_) => activity.take_idle(at_end),
        None => activity.take_all(),
    })?;
    if let Some(path) = source.state_to_keep(&arguments.destination) {
        let bytes = activity
            .to_bytes()
            .map_err(|error| ExpectedError::input("the state cannot be kept", error))?;
        state::store(path, &bytes)?;
    }
    if !quiet {
        tell(&faults, activity.counts());
    }
    poster.finish("samples", quiet)
}

fn count(activity: &mut Activity, line: Line<'_>, now: DomainTime, faults: &mut Faults<Fault>) {
    if line.bytes.is_empty() {
        return;
    }
    if line.is_cut {
        return faults.note(Fault::Cut, line.number, line.bytes);
    }
    let Ok(read) = serde_json::from_slice::<ActivityLine<'_>>(line.bytes) else {
        return faults.note(Fault::Malformed, line.number, line.bytes);
    };
    let event = ActivityEvent {
        at: DomainTime(read.at.0),
        user: read.user.as_bytes(),
        cohort: read.cohort.as_deref(),
        action: read.action.as_deref(),
    };
    // Late events and those ahead of the clock are counted by the counter itself.
    let _counted = activity.observe(&event, now);
}

/// Says what was not counted or not told, and why.
fn tell(faults: &Faults<Fault>, counts: ActivityCounts) {
    for (fault, found) in faults.iter() {
        console::say(&format!(
            "{} lines: {} (first: line {}, of the shape `{}`)",
            found.count,
            fault.words(),
            found.first_place,
            found.first_shape
        ));
    }
    let told = [
        (
            counts.late,
            "events came after their interval had ended: raise --lateness",
        ),
        (
            counts.out_of_range,
            "events are ahead of this clock, or before 1970: look at both clocks",
        ),
        (
            counts.bad_user,
            "events name no user, or one of more than the longest name",
        ),
        (
            counts.unnamed,
            "events are of cohorts or actions that --cohorts and --actions do not name",
        ),
        (
            counts.withheld_counts,
            "counts were withheld: fewer users than --threshold, or they would tell of such",
        ),
        (
            counts.withheld_rates,
            "rates were withheld for the same reason",
        ),
    ];
    for (count, words) in told {
        if count > 0 {
            console::say(&format!("{count} {words}"));
        }
    }
}
