//! Warns of what the stated load is too much for.

use super::Checked;
use crate::flow::{Flow, flow};
use crate::model::StackModel;
use twinscale_cluster_config::quoted;

/// Days before it is full from which on a volume is worth a word.
const FULL_SOON_DAYS: f64 = 30.0;

pub(super) fn check(model: &StackModel, found: &mut Checked) {
    let Ok(flow) = flow(model) else {
        return;
    };
    for overload in flow.overloads() {
        found.warn(
            format!("tier.{}.vm", quoted(overload.tier.as_str())),
            format!("utilisation {:.2}", overload.utilisation),
            overload.to_string(),
            "add VMs, or expect queues that grow for as long as the load lasts",
        );
    }
    check_network(&flow, found);
    check_volumes(model, &flow, found);
}

fn check_network(flow: &Flow, found: &mut Checked) {
    for (name, tier) in &flow.tiers {
        if let Some(utilisation) = tier.network_utilisation.filter(|used| *used >= 1.0) {
            found.warn(
                format!("tier.{}.vm", quoted(name.as_str())),
                format!("network utilisation {utilisation:.2}"),
                format!(
                    "its VMs get {:.0} and send {:.0} Mbps, more than their baselines",
                    tier.network_in_mbps, tier.network_out_mbps
                ),
                "bursts end: add VMs, or choose a type with more bandwidth",
            );
        }
    }
    for (name, link) in &flow.links {
        if let Some(utilisation) = link.utilisation.filter(|used| *used >= 1.0) {
            found.warn(
                format!("link.{}.bandwidth_mbps", quoted(name.as_str())),
                format!("utilisation {utilisation:.2}"),
                format!(
                    "carries {:.0} Mbps one way and {:.0} Mbps back",
                    link.forward_mbps, link.backward_mbps
                ),
                "state a wider link, or smaller messages",
            );
        }
    }
}

fn check_volumes(model: &StackModel, flow: &Flow, found: &mut Checked) {
    for (name, used) in &flow.volumes {
        let path = format!("volume.{}", quoted(name.as_str()));
        if let Some(utilisation) = used.iops_utilisation.filter(|used| *used >= 1.0) {
            let burst = model.volumes.get(name).and_then(|v| v.iops_burst);
            let hint = match burst {
                Some(burst) if burst >= used.iops => "its burst covers it for a while only",
                _ => "state a faster volume, or add read replicas",
            };
            found.warn(
                format!("{path}.iops_baseline"),
                format!("utilisation {utilisation:.2}"),
                format!("the load does {:.0} operations a second", used.iops),
                hint,
            );
        }
        if let Some(utilisation) = used.throughput_utilisation.filter(|used| *used >= 1.0) {
            found.warn(
                format!("{path}.throughput_mb_per_s"),
                format!("utilisation {utilisation:.2}"),
                format!("the load moves {:.0} MB a second", used.throughput_mb_per_s),
                "state a faster volume, or smaller operations",
            );
        }
        if let Some(days) = used.full_in_days.filter(|days| *days < FULL_SOON_DAYS) {
            found.warn(
                format!("{path}.capacity_gib"),
                format!("{:.0} % full", used.fill * 100.0),
                format!("is full in {days:.0} days at the stated growth"),
                "plan a larger volume",
            );
        }
    }
}
