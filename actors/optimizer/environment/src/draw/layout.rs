//! Where tiers stand: in layers, each below those that call it.

use crate::flow::{FlowError, call_order};
use crate::model::StackModel;
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::TierName;

/// Sweeps that move tiers beside what they talk to; order rarely changes after a few.
const SWEEPS: usize = 8;

/// Tiers in layers, from the entries down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    pub(crate) layers: Vec<Vec<TierName>>,
}

impl Layout {
    /// Lays out a stack: a tier's layer is the length of the longest way of calls to it.
    ///
    /// # Errors
    /// [`FlowError`] where calls have no order.
    pub(crate) fn of(model: &StackModel) -> Result<Self, FlowError> {
        let order = call_order(model)?;
        let mut depth: BTreeMap<&TierName, usize> = order.iter().map(|tier| (tier, 0)).collect();
        for tier in &order {
            let below = depth.get(tier).copied().unwrap_or_default() + 1;
            for call in model.calls.iter().filter(|call| call.from == *tier) {
                if let Some(depth) = depth.get_mut(&call.to) {
                    *depth = below.max(*depth);
                }
            }
        }
        let deepest = depth.values().max().map_or(0, |deepest| deepest + 1);
        let mut layers = vec![Vec::new(); deepest];
        for (tier, depth) in depth {
            if let Some(layer) = layers.get_mut(depth) {
                layer.push(tier.clone());
            }
        }
        let mut layout = Self { layers };
        for sweep in 0..SWEEPS {
            layout.sweep(model, sweep % 2 == 0);
        }
        Ok(layout)
    }

    /// Orders each layer by the mean place of what its tiers are joined with, going down or up.
    fn sweep(&mut self, model: &StackModel, down: bool) {
        let mut place: BTreeMap<TierName, f64> = BTreeMap::new();
        let count = self.layers.len();
        for step in 0..count {
            let at = if down { step } else { count - 1 - step };
            let Some(layer) = self.layers.get_mut(at) else {
                continue;
            };
            let width = layer.len() as f64;
            let mut wanted: Vec<(f64, TierName)> = layer
                .iter()
                .enumerate()
                .map(|(index, tier)| {
                    let here = (index as f64 + 0.5) / width;
                    (
                        mean_place(model, tier, &place).unwrap_or(here),
                        tier.clone(),
                    )
                })
                .collect();
            wanted.sort_by(|left, right| left.0.total_cmp(&right.0));
            *layer = wanted.into_iter().map(|(_, tier)| tier).collect();
            for (index, tier) in layer.iter().enumerate() {
                place.insert(tier.clone(), (index as f64 + 0.5) / width);
            }
        }
    }
}

fn mean_place(model: &StackModel, tier: &TierName, place: &BTreeMap<TierName, f64>) -> Option<f64> {
    let joined: Vec<f64> = model
        .calls
        .iter()
        .filter_map(|call| {
            let other = if call.from == *tier {
                &call.to
            } else if call.to == *tier {
                &call.from
            } else {
                return None;
            };
            place.get(other).copied()
        })
        .collect();
    (!joined.is_empty()).then(|| joined.iter().sum::<f64>() / joined.len() as f64)
}

/// Pairs of tiers that call each other, each once, in the order of the calls.
pub(crate) fn pairs(model: &StackModel) -> Vec<(TierName, TierName)> {
    let mut seen = BTreeSet::new();
    model
        .calls
        .iter()
        .map(|call| (call.from.clone(), call.to.clone()))
        .filter(|pair| seen.insert(pair.clone()))
        .collect()
}

/// Tiers where requests enter, each once.
pub(crate) fn entries(model: &StackModel) -> BTreeSet<TierName> {
    model
        .classes
        .values()
        .map(|class| class.entry.clone())
        .collect()
}
