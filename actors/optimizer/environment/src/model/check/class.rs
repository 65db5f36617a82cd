//! Checks classes, their rates and what they were promised.

use super::{Checked, SHARE_TOLERANCE, SHARES};
use crate::model::{RequestClass, StackModel};
use twinscale_cluster_config::quoted;
use twinscale_protocol::TierName;

pub(super) fn check(model: &StackModel, found: &mut Checked) {
    if model.classes.is_empty() {
        found.lack(
            "class",
            "a stack serves at least one class of requests",
            "add [class.NAME] with entry = \"TIER\" and share = 1.0",
        );
    }
    for (name, class) in &model.classes {
        let path = format!("class.{}", quoted(name.as_str()));
        check_class(model, &path, class, found);
    }
    check_shares(model, found);
}

fn check_class(model: &StackModel, path: &str, class: &RequestClass, found: &mut Checked) {
    let tiers = model.tiers.keys().map(TierName::as_str);
    found.names(format!("{path}.entry"), class.entry.as_str(), "tier", tiers);
    match (class.share, class.rate_per_s) {
        (Some(share), Some(_)) => found.refuse(
            format!("{path}.share"),
            share,
            "a class has a share or a rate, not both",
            "keep one of share and rate_per_s",
        ),
        (None, None) => found.lack(
            format!("{path}.share"),
            "a class has a share of the stack's rate_per_s, or a rate of its own",
            "state share = 0.5 or rate_per_s = 20.0",
        ),
        _ => {}
    }
    let targets = [
        ("p50_s", class.sla.p50_s),
        ("p95_s", class.sla.p95_s),
        ("p99_s", class.sla.p99_s),
    ];
    let stated: Vec<(&str, f64)> = targets
        .into_iter()
        .filter_map(|(key, target)| Some((key, target?)))
        .collect();
    for pair in stated.windows(2) {
        if let [(lower_key, lower), (key, target)] = pair
            && target < lower
        {
            found.refuse(
                format!("{path}.sla.{key}"),
                target,
                format!("is at least {lower_key}, which is {lower}"),
                "a higher quantile is never shorter: swap the targets",
            );
        }
    }
}

fn check_shares(model: &StackModel, found: &mut Checked) {
    let shares: Vec<f64> = model.classes.values().filter_map(|c| c.share).collect();
    if shares.is_empty() {
        if let Some(rate) = model.rate_per_s.filter(|_| !model.classes.is_empty()) {
            found.warn(
                "rate_per_s",
                rate,
                "is not used: every class states its own rate_per_s",
                "take it away, or state shares",
            );
        }
        return;
    }
    if model.rate_per_s.is_none() {
        found.lack(
            "rate_per_s",
            "is needed where classes state a share of it",
            "state the requests per second of all classes together: rate_per_s = 120.0",
        );
    }
    let sum: f64 = shares.iter().sum();
    if (sum - 1.0).abs() > SHARE_TOLERANCE {
        found.refuse(
            SHARES,
            format!("{sum:.6} in all"),
            "the shares of all classes sum to 1",
            "change a share by the difference",
        );
    }
}
