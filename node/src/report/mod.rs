//! Shows what came of a run: a table for the terminal, JSON for programs, a page and a picture for people.
//!
//! Input is plain data ([`ReportInput`]); everything here is a pure function of it, so the same run gives
//! the same bytes. Nothing here measures time, reads files or decides anything.

mod blame;
mod chart;
mod compare;
mod contest;
mod csv_out;
mod customer;
#[cfg(test)]
mod example;
pub(crate) mod format;
mod frontier;
mod html;
mod input;
mod json;
mod picture;
mod plan_page;
pub(crate) mod svg;
mod table;
mod tally;
#[cfg(test)]
mod tests;

pub use contest::{Contender, Contest, Score};
pub use csv_out::{
    DecisionRow, ForecastRow, write_decisions, write_decisions_header, write_forecasts,
    write_forecasts_header,
};
pub use html::{Page, report_html, report_pages};
pub use input::{
    AssumedPrice, CustomerReport, FrontierPoint, ReportInput, Restart, SourceNote, TierPoint,
    TierReport,
};
pub use json::{REPORT_FORMAT, report_json};
pub use picture::{Theme, picture_svg};
pub use plan_page::{front_html, plan_html};
pub use table::report_table;
pub use tally::{Blame, MISSES_TOLD, MissTally, reason};
