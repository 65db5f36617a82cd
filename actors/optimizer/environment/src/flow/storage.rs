//! What volumes hold and do.

use crate::flow::station::{Role, TierFlow, ratio, total, write_share};
use crate::model::{StackModel, Volume};
use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_protocol::TierName;

/// The load of one volume: of the most loaded of those that are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct VolumeFlow {
    /// Operations per second.
    pub iops: f64,
    /// Megabytes (10^6) per second.
    pub throughput_mb_per_s: f64,
    /// Operations by those that it always does; `None` without a stated baseline.
    pub iops_utilisation: Option<f64>,
    /// Bytes by those that it can move; `None` without a stated throughput.
    pub throughput_utilisation: Option<f64>,
    /// What it holds, in GiB.
    pub data_gib: f64,
    /// What it holds by its capacity.
    pub fill: f64,
    /// Days until it is full at the stated growth; `None` when it never is.
    pub full_in_days: Option<f64>,
}

/// Computes the load of a volume. Data and operations of a tier with several volumes go by their capacity.
pub(crate) fn volume_flow(
    model: &StackModel,
    volume: &Volume,
    tiers: &BTreeMap<TierName, TierFlow>,
) -> VolumeFlow {
    let beside: f64 = model
        .volumes
        .values()
        .filter(|other| other.tier == volume.tier)
        .map(|other| other.capacity_gib)
        .sum();
    let part = ratio(volume.capacity_gib, beside);
    let data_sets = || {
        model
            .data_sets
            .values()
            .filter(|set| set.tier == volume.tier)
    };
    let data_gib = part * total(data_sets().map(|set| set.size_gib));
    let growth = part * total(data_sets().map(|set| set.growth_gib_per_day));
    let (iops, io_bytes) = operations(model, &volume.tier, tiers);
    let iops = part * iops;
    let throughput_mb_per_s = iops * io_bytes / 1e6;
    VolumeFlow {
        iops,
        throughput_mb_per_s,
        iops_utilisation: volume.iops_baseline.map(|limit| ratio(iops, limit)),
        throughput_utilisation: volume
            .throughput_mb_per_s
            .map(|limit| ratio(throughput_mb_per_s, limit)),
        data_gib,
        fill: ratio(data_gib, volume.capacity_gib),
        full_in_days: (growth > 0.0).then(|| ((volume.capacity_gib - data_gib) / growth).max(0.0)),
    }
}

/// Operations per second at the most loaded VM of a tier, and the size of one in bytes.
///
/// Each VM holds all data: it does every write, and its share of the reads.
fn operations(
    model: &StackModel,
    name: &TierName,
    tiers: &BTreeMap<TierName, TierFlow>,
) -> (f64, f64) {
    let (Some(tier), Some(flow)) = (model.tiers.get(name), tiers.get(name)) else {
        return (0.0, 0.0);
    };
    let Some(database) = &tier.database else {
        return (0.0, 0.0);
    };
    let writes = flow
        .arrivals_per_s
        .iter()
        .filter_map(|(class, rate)| Some(rate * write_share(tier, tier.demands.get(class)?)));
    let writes = total(writes);
    let primaries: f64 = flow
        .groups
        .iter()
        .filter(|group| group.role != Role::Replica)
        .map(|group| f64::from(group.count))
        .sum();
    let reads = flow
        .groups
        .iter()
        .map(|group| match group.role {
            Role::Replica => group.arrivals_per_s,
            Role::Any | Role::Primary => group.arrivals_per_s - ratio(writes, primaries),
        })
        .fold(0.0, f64::max);
    let iops = reads * database.ios_per_read + writes * database.ios_per_write;
    (iops, database.io_bytes)
}
