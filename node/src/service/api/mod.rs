//! The HTTP API: what it takes and shows, and its description in OpenAPI, made of the same handlers.

mod batch;
mod body;
mod configure;
mod customers;
mod documents;
mod error;
mod events;
mod forecasts;
mod forward;
mod here;
mod history;
mod lines;
mod node;
#[cfg(feature = "next-schema")]
mod notes;
mod patterns;
mod refusal;
mod router;
mod sample_line;
mod steps;
mod telemetry;
mod views;
mod vms;
mod weights;
mod what_if;

pub use batch::{Batch, CustomerBatch, Places};
pub(crate) use body::BodyReader;
pub use configure::{ConfigureReply, CostChange, DryRun, Wishes};
pub use customers::{CustomersPage, ObservationsPage};
pub use documents::Change;
pub use error::{ApiError, ErrorBody, ErrorCode, ErrorReply};
pub use events::{EventLine, EventsReply};
pub(crate) use forecasts::shown_forecasts;
pub use forecasts::{AccuracyView, ForecastPage, ForecastReply, SeriesForecastView, TrustView};
pub(crate) use here::Here;
pub use history::{HistoryPage, HistoryReply};
pub use lines::{Line, LineSplitter};
pub use node::{
    ActorView, CustomerCounts, HealthReply, IngestCounts, NodeReply, NotReady, ReadyReply,
    ThreadsView, TurnCounts, TwinActorCounts, WeightsView, WriterCounts,
};
pub(crate) use node::{actors, readiness, threads, twin_mailboxes};
#[cfg(feature = "next-schema")]
pub use notes::{NoteLine, NoteTaken, NoteView, NotesReply};
pub use patterns::{PatternsPage, PatternsReply, SeriesPatternsView};
pub use refusal::{RefusalCode, Refusals, RefusedLine};
pub(crate) use router::with_leaders;
pub use router::{openapi_json, router};
pub use sample_line::{Moment, MomentForms, RefusedText, SampleLine, parse};
pub use steps::{RangeView, StepView, StepsPage, StepsReply, TierStepsView, TierView};
pub(crate) use steps::{TwinAround, range_at, steps_reply, supply_of};
pub use telemetry::TelemetryReply;
pub use views::{
    CountersView, CustomerItem, CustomersReply, ObservationsReply, PlanCostView, PlanReply,
    PlanVmsView, PlanVolumeView, SeriesView, SilentView, TurnView, TwinReply, VmGroupView,
};
pub(crate) use views::{customer_item, state_word, twin_reply, word};
pub use vms::{VmView, VmsReply};
pub use weights::{
    NodeWeightsView, WeightsInService, WeightsMeasuredView, WeightsOffset, WeightsTrialView,
    WeightsWantedView,
};
pub use what_if::{
    DriverKind, ReactionView, SupposedDriver, SupposedEvent, WhatIfReply, WhatIfRequest,
    WhatIfSeries,
};
