//! Shows what came of a run: a table for the terminal, JSON for programs, a page and a picture for people.
//!
//! Input is plain data ([`ReportInput`]); everything here is a pure function of it, so the same run gives
//! the same bytes. Nothing here measures time, reads files or decides anything.

mod chart;
mod compare;
mod csv_out;
#[cfg(test)]
mod example;
mod format;
mod html;
mod input;
mod json;
mod picture;
mod svg;
mod table;
#[cfg(test)]
mod tests;

pub use csv_out::{
    DecisionRow, ForecastRow, write_decisions, write_decisions_header, write_forecasts,
    write_forecasts_header,
};
pub use html::report_html;
pub use input::{
    AssumedPrice, Contest, CustomerReport, ReportInput, Restart, Score, SourceNote, TierPoint,
    TierReport,
};
pub use json::{REPORT_FORMAT, report_json};
pub use picture::{Theme, picture_svg};
pub use table::report_table;
