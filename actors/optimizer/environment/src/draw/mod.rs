//! Pictures of a stack: text for a terminal, SVG, Graphviz dot, Mermaid.
//!
//! All show the same: tiers in the order of the calls, how many VMs each has, and how busy the stated load
//! keeps them, links and volumes. They are plain functions of model and flow; the same stack gives the same
//! bytes.

mod format;
mod graph;
mod layout;
mod svg;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use format::number;
pub use graph::{stack_dot, stack_mermaid};
pub use svg::stack_svg;
pub use text::stack_text;
