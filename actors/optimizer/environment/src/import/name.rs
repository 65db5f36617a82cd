//! Names of a deployment as names of a model.

use crate::import::draft::DraftTier;
use crate::model::Endpoint;
use std::collections::BTreeSet;
use twinscale_protocol::TierName;

/// Names of tiers: as in the file where models take them, else with what they do not take replaced.
pub(crate) fn tier_names(tiers: &[DraftTier]) -> Vec<TierName> {
    let mut taken = BTreeSet::from([Endpoint::CLIENTS.to_owned()]);
    let mut names = Vec::new();
    for (index, tier) in tiers.iter().enumerate() {
        let mut text = sanitised(&tier.name);
        if taken.contains(&text) {
            text = format!("tier-{index}");
        }
        taken.insert(text.clone());
        if let Ok(name) = TierName::new(text) {
            names.push(name);
        }
    }
    debug_assert!(names.len() == tiers.len(), "a sanitised name is a name");
    names
}

/// Replaces what names do not take.
pub(crate) fn sanitised(name: &str) -> String {
    let kept: String = name
        .chars()
        .take(48)
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '-'
            }
        })
        .collect();
    let kept = kept.trim_start_matches('.');
    if kept.is_empty() {
        "unnamed".to_owned()
    } else {
        kept.to_owned()
    }
}
