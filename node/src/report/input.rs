//! What a report is made of.

use super::contest::{Contender, Contest, Score};
use super::tally::{Blame, MissTally};
use crate::rivals::Outcome;
use twinscale_protocol::{
    CustomerId, DomainTime, Event, FixedValue, MicroDollars, Seconds, SeriesKey, TierName, VmTypeId,
};

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportInput {
    /// What ran, such as `Twinscale demo`.
    pub title: String,
    /// The seed of the run.
    pub seed: u64,
    /// The customers, in the order in which they are shown.
    pub customers: Vec<CustomerReport>,
    /// What each contender's knob trades, if it was turned.
    pub frontier: Vec<FrontierPoint>,
    /// Where the data come from.
    pub sources: Vec<SourceNote>,
    /// Anything else a reader must know, one sentence each.
    pub notes: Vec<String>,
}

/// One customer's run.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomerReport {
    /// Who.
    pub customer: CustomerId,
    /// Start of the replayed window.
    pub start: DomainTime,
    /// Length of a step.
    pub interval: Seconds,
    /// Its tiers.
    pub tiers: Vec<TierReport>,
    /// What volumes and link cost each contender.
    pub extras: Contest<MicroDollars>,
    /// What Twinscale left unserved, and what is to blame.
    pub misses: MissTally,
    /// Events within the window.
    pub events: Vec<Event>,
    /// Actors that failed and came back within the window.
    pub restarts: Vec<Restart>,
    /// VM types whose price nobody named.
    pub assumed_prices: Vec<AssumedPrice>,
}

/// One tier's run.
#[derive(Clone, Debug, PartialEq)]
pub struct TierReport {
    /// Which.
    pub tier: TierName,
    /// The series that it serves.
    pub demand: SeriesKey,
    /// The unit of demand and supply, for people.
    pub unit: String,
    /// What each contender cost and served.
    pub outcomes: Contest<Outcome>,
    /// What happened, one per step from the window's start.
    pub points: Vec<TierPoint>,
}

/// One step of a tier, in the demand metric's unit; supplies have the target utilisation taken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierPoint {
    /// What was wanted; `None` = not observed.
    pub demand: Option<FixedValue>,
    /// The forecast in force: quantiles .05, .5 and .95; `None` = there was none.
    pub forecast: Option<[FixedValue; 3]>,
    /// What Twinscale had serving, averaged over the step.
    pub supply: FixedValue,
    /// What the reactive rival had serving, averaged over the step.
    pub supply_reactive: FixedValue,
}

/// A contender at one setting of its knob, over all customers, each of which counts the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrontierPoint {
    /// Who.
    pub contender: Contender,
    /// The setting, which each contender has of its own; `None` = as its policy says.
    pub knob: Option<f64>,
    /// Whether it is the setting that the rest of the report shows.
    pub is_shown: bool,
    /// Mean over the customers of the cost as a multiple of perfect foresight's.
    pub cost_ratio: f64,
    /// Mean over the customers of the share of time in which less served than was wanted.
    pub under_share: f64,
    /// Mean over the customers of the share of demand that was not served.
    pub unserved_share: f64,
}

/// An actor that failed and came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When, in domain time.
    pub at: DomainTime,
    /// Which kind, such as `forecaster`.
    pub actor: String,
}

/// A price that nobody named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssumedPrice {
    /// The VM type.
    pub vm_type: VmTypeId,
    /// The price it was taken to have for one hour.
    pub price_per_hour: MicroDollars,
}

/// Where data come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceNote {
    /// The data set.
    pub dataset: String,
    /// Whom to name.
    pub attribution: String,
    /// Its licence.
    pub licence: String,
}

impl TierReport {
    /// Reads the scores of all contenders.
    pub fn scores(&self) -> Contest<Score> {
        self.outcomes.map(Score::of)
    }
}

impl CustomerReport {
    /// Sums the scores over the tiers, volumes and link included.
    pub fn scores(&self) -> Contest<Score> {
        let sum = Contest::total(self.tiers.iter().map(TierReport::scores));
        Contest::of(|contender| sum.get(contender).with_extras(*self.extras.get(contender)))
    }

    /// End of the replayed window.
    pub fn end(&self) -> DomainTime {
        let steps = self.tiers.iter().map(|tier| tier.points.len()).max();
        let length = (steps.unwrap_or_default() as u64).saturating_mul(u64::from(self.interval.0));
        DomainTime(self.start.0.saturating_add_unsigned(length))
    }
}

impl ReportInput {
    /// Sums the scores over the customers.
    pub fn scores(&self) -> Contest<Score> {
        Contest::total(self.customers.iter().map(CustomerReport::scores))
    }

    /// Adds up what is to blame over the customers.
    pub fn blame(&self) -> Blame {
        let customers = self.customers.iter();
        customers.fold(Blame::default(), |sum, one| sum.plus(&one.misses.blame()))
    }

    /// Lists the assumed prices of all customers, each once.
    pub fn assumed_prices(&self) -> Vec<&AssumedPrice> {
        let mut prices: Vec<&AssumedPrice> = self
            .customers
            .iter()
            .flat_map(|customer| &customer.assumed_prices)
            .collect();
        prices.sort();
        prices.dedup();
        prices
    }
}
