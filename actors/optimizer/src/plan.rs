//! A plan: how many VMs, blocks and which link option in every step.
//!
//! Holds whole numbers only; starts and stops follow from the counts.

use crate::problem::Problem;
use serde_json::{Map, Value, json};

/// An allocation over all steps of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// VMs that are on. Shape: `[tier][option][step]`.
    pub counts: Vec<Vec<Vec<u32>>>,
    /// Size blocks. Shape: `[volume][step]`.
    pub blocks: Vec<Vec<u32>>,
    /// I/O blocks. Shape: `[volume][step]`.
    pub iops_blocks: Vec<Vec<u32>>,
    /// Link option. Shape: `[step]`; empty without a link.
    pub link_option: Vec<u32>,
}

impl Plan {
    /// The plan that keeps everything as it is at step -1.
    pub fn unchanged(problem: &Problem) -> Self {
        let steps = problem.steps;
        Self {
            counts: problem
                .tiers
                .iter()
                .map(|tier| {
                    tier.options
                        .iter()
                        .map(|option| vec![option.initial; steps])
                        .collect()
                })
                .collect(),
            blocks: problem
                .volumes
                .iter()
                .map(|v| vec![v.initial_blocks; steps])
                .collect(),
            iops_blocks: problem
                .volumes
                .iter()
                .map(|v| vec![v.initial_iops_blocks; steps])
                .collect(),
            link_option: problem
                .link
                .as_ref()
                .map(|link| vec![link.initial_option; steps])
                .unwrap_or_default(),
        }
    }

    /// Writes the plan in the plan format of `alloc-plan/1`, keyed by the problem's names.
    pub fn to_json(&self, problem: &Problem) -> Value {
        let mut vms = Map::new();
        for (tier, counts) in problem.tiers.iter().zip(&self.counts) {
            let of_tier: Map<String, Value> = tier
                .options
                .iter()
                .zip(counts)
                .filter(|(_, series)| series.iter().any(|count| *count > 0))
                .map(|(option, series)| (option.name.clone(), json!(series)))
                .collect();
            vms.insert(tier.name.clone(), Value::Object(of_tier));
        }
        let named = |series: &[Vec<u32>]| -> Map<String, Value> {
            let names = problem.volumes.iter().map(|volume| volume.name.clone());
            names
                .zip(series.iter().map(|blocks| json!(blocks)))
                .collect()
        };
        json!({
            "vms": vms,
            "storage_blocks": named(&self.blocks),
            "iops_blocks": named(&self.iops_blocks),
            "link_option": self.link_option,
        })
    }
}
