//! First models from files that describe a deployment: Docker Compose, Kubernetes manifests.
//!
//! Such a file says what runs, how many of it, within which limits, and often who talks to whom. It does not say
//! what a request costs. So an import gives a model that reads back and can be drawn, with each value that the
//! file lacks stated and marked, and a list of what to measure. Files come from outside: text, depth, nodes and
//! aliases are bounded, and no text makes it panic.

mod annotate;
mod build;
mod compose;
mod draft;
mod environment;
mod error;
mod gap;
mod graph;
mod image;
mod kubernetes;
mod name;
mod quantity;
mod yaml;

#[cfg(test)]
mod tests;

pub use compose::import_compose;
pub use error::ImportError;
pub use gap::{Gap, Imported};
pub use kubernetes::import_kubernetes;
