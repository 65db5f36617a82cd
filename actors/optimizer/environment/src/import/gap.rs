//! What an import gives.

use crate::model::CheckedModel;

/// A first model of a deployment.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The model, which keeps every rule, with its warnings.
    pub checked: CheckedModel,
    /// The model as the text of a file, with a remark at each value that was not in the source.
    pub toml: String,
    /// What the source does not say, in the order in which to fill it in.
    pub gaps: Vec<Gap>,
    /// What of the source was left off or interpreted, each with file and line.
    pub notes: Vec<String>,
}

/// Something that a deployment file does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The key to fill in.
    pub key: String,
    /// What the model states instead; `None` = it says nothing.
    pub stated: Option<String>,
    /// How to find it out.
    pub hint: &'static str,
}
