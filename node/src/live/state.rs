//! What the live view shows and where its reader is: plain data.

use super::snapshot::LiveSnapshot;
use crate::service::api::CustomerItem;
use std::cmp::Ordering;

/// Smallest terminal that the view fits on.
pub const WIDTH_MIN: u16 = 80;

/// Its height.
pub const HEIGHT_MIN: u16 = 24;

/// All of the live view's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveState {
    /// What is shown; none before the first.
    pub snapshot: Option<LiveSnapshot>,
    /// How the source of snapshots is.
    pub connection: Connection,
    /// The customer that is looked at; the first one when none was chosen.
    pub chosen: Option<String>,
    /// The pane that keys go to.
    pub pane: Pane,
    /// Whether that pane has the whole screen.
    pub zoomed: bool,
    /// Order of the twins.
    pub sort: Sort,
    /// Only customers with this in their name.
    pub filter: String,
    /// What keys are for.
    pub mode: Mode,
    /// Whether new snapshots are left aside.
    pub paused: bool,
    /// The tier that is looked at, counted on past the last one.
    pub tier: usize,
    /// Rows of a page of twins.
    pub page_rows: usize,
    /// Whether colours may be used.
    pub colours: bool,
    /// What q does.
    pub quit: QuitMeaning,
}

/// How the source of snapshots is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// Nothing came yet.
    #[default]
    Waiting,
    /// The newest question was answered.
    Answers,
    /// It was not.
    Lost {
        /// Seconds since the last answer, or since the first question.
        age_s: u64,
        /// Why.
        reason: String,
    },
    /// All is over: what is shown stays as it is.
    Ended,
}

/// What keys are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// To move about.
    #[default]
    Watch,
    /// To write the filter.
    Filter,
    /// To close the page of keys.
    Help,
}

/// A part of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// The table of twins.
    #[default]
    Twins,
    /// The chart of the chosen twin.
    Chart,
    /// Money and actors.
    Node,
}

/// Order of the twins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By name.
    #[default]
    Name,
    /// Dearest first, by what was spent.
    Cost,
    /// Dearest first, by the hour.
    Rate,
    /// Most VMs first.
    Vms,
    /// What needs a look first: stale or not driven, then most restarts, then most waiting messages.
    Trouble,
}

/// What q does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuitMeaning {
    /// It ends the command.
    #[default]
    Command,
    /// It closes the view; the replay goes on.
    View,
}

impl Pane {
    /// The one behind it.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Twins => Self::Chart,
            Self::Chart => Self::Node,
            Self::Node => Self::Twins,
        }
    }

    /// The one before it.
    #[must_use]
    pub const fn previous(self) -> Self {
        self.next().next()
    }
}

impl Sort {
    /// The one behind it.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Name => Self::Cost,
            Self::Cost => Self::Rate,
            Self::Rate => Self::Vms,
            Self::Vms => Self::Trouble,
            Self::Trouble => Self::Name,
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Cost => "cost",
            Self::Rate => "$/h",
            Self::Vms => "VMs",
            Self::Trouble => "trouble",
        }
    }

    fn compare(self, left: &CustomerItem, right: &CustomerItem) -> Ordering {
        let vms = |twin: &CustomerItem| twin.serving + twin.starting;
        let ordering = match self {
            Self::Name => Ordering::Equal,
            Self::Cost => {
                let spent = |twin: &CustomerItem| twin.cost_usd.unwrap_or(0.0);
                spent(right).total_cmp(&spent(left))
            }
            Self::Rate => right.rate_usd_hour.total_cmp(&left.rate_usd_hour),
            Self::Vms => vms(right).cmp(&vms(left)),
            Self::Trouble => trouble(right).cmp(&trouble(left)),
        };
        ordering.then_with(|| left.customer.cmp(&right.customer))
    }
}

fn trouble(twin: &CustomerItem) -> (bool, bool, u64, u64) {
    (
        !matches!(twin.state.as_str(), "driven" | "unconfigured"),
        twin.fresh == Some(false),
        twin.restarts,
        twin.mailbox,
    )
}

impl LiveState {
    /// The twins that are shown, in their order.
    #[must_use]
    pub fn visible(&self) -> Vec<&CustomerItem> {
        let twins = self.snapshot.iter().flat_map(|snapshot| &snapshot.twins);
        let wanted = self.filter.to_lowercase();
        let mut visible: Vec<&CustomerItem> = twins
            .filter(|twin| twin.customer.to_lowercase().contains(&wanted))
            .collect();
        visible.sort_by(|left, right| self.sort.compare(left, right));
        visible
    }

    /// Where the chosen twin is among the visible ones; the first one when it is not among them.
    #[must_use]
    pub fn chosen_index(&self) -> usize {
        let visible = self.visible();
        let chosen = self.chosen.as_deref();
        visible
            .iter()
            .position(|twin| Some(twin.customer.as_str()) == chosen)
            .unwrap_or(0)
    }

    /// The chosen twin; the first visible one when none was chosen.
    #[must_use]
    pub fn chosen_twin(&self) -> Option<&CustomerItem> {
        self.visible().get(self.chosen_index()).copied()
    }
}
