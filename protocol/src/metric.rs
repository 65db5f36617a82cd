//! The registry of metrics: unit, role and how each becomes a demand of VMs.
//!
//! One line of [`METRICS`] is all that a new metric takes.

use crate::ids::MetricName;
use serde::{Deserialize, Serialize};

/// What a metric says about a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricRole {
    /// Work that wants VMs; what is not served is lost.
    Demand,
    /// How busy what exists is; informs, plans nothing by itself.
    Utilisation,
    /// Data that wants storage capacity.
    Storage,
    /// Traffic that wants bandwidth.
    Link,
    /// What users and programs did; informs, plans nothing by itself.
    Activity,
}

/// How a demand metric becomes VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmDemand {
    /// The value is a number of VMs of that type.
    Direct,
    /// The policy must say what one VM can do: `capacity_per_vm` and `target_utilisation`.
    PerCapacity,
    /// Not a demand of VMs.
    Never,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricSpec {
    /// Its name.
    pub name: &'static str,
    /// Its unit, for people.
    pub unit: &'static str,
    /// What it says.
    pub role: MetricRole,
    /// How it becomes VMs.
    pub vm_demand: VmDemand,
}

const fn spec(
    name: &'static str,
    unit: &'static str,
    role: MetricRole,
    vm_demand: VmDemand,
) -> MetricSpec {
    MetricSpec {
        name,
        unit,
        role,
        vm_demand,
    }
}

/// All metrics that Twinscale knows, in the order of their names.
pub const METRICS: &[MetricSpec] = {
    use MetricRole::{Demand, Link, Storage, Utilisation};
    use VmDemand::{Direct, Never, PerCapacity};
    &[
        spec(
            "cpu_avg_pct",
            "% of the group's cores",
            Utilisation,
            PerCapacity,
        ),
        spec("cpu_core_pct", "% of one core, summed", Demand, PerCapacity),
        spec("cpu_cores", "cores in use", Demand, PerCapacity),
        spec("cpu_mhz", "MHz in use", Demand, PerCapacity),
        spec(
            "cpu_util_percent",
            "% of the cores",
            Utilisation,
            PerCapacity,
        ),
        spec("demand_mw", "MW", Demand, PerCapacity),
        spec(
            "disk_io_percent",
            "% of the disk's time",
            Utilisation,
            Never,
        ),
        spec("disk_kbps", "kB/s", Utilisation, Never),
        spec("disk_read_kbps", "kB/s", Utilisation, Never),
        spec("disk_write_kbps", "kB/s", Utilisation, Never),
        spec(
            "ec2_cpu_utilization",
            "% of the VM's cores",
            Utilisation,
            PerCapacity,
        ),
        spec(
            "ec2_disk_write_bytes",
            "bytes per interval",
            Utilisation,
            Never,
        ),
        spec("ec2_network_in", "bytes per interval", Link, Never),
        spec(
            "elb_request_count",
            "requests per interval",
            Demand,
            PerCapacity,
        ),
        spec(
            "latency_p99_ms",
            "ms that 99 % of requests meet",
            Utilisation,
            Never,
        ),
        spec("mem_assigned_gb", "GB assigned", Demand, PerCapacity),
        spec("mem_gb", "GB in use", Demand, PerCapacity),
        spec("mem_gib", "GiB in use", Demand, PerCapacity),
        spec("mem_mb", "MB in use", Demand, PerCapacity),
        spec(
            "mem_util_percent",
            "% of the memory",
            Utilisation,
            PerCapacity,
        ),
        spec("net_in", "normalised 0 to 100", Link, Never),
        spec("net_in_mbps", "Mbps", Link, Never),
        spec("net_out", "normalised 0 to 100", Link, Never),
        spec("net_out_mbps", "Mbps", Link, Never),
        spec("net_rx_kbps", "kB/s", Link, Never),
        spec("net_tx_kbps", "kB/s", Link, Never),
        spec(
            "price_index",
            "price over the usual one, 1 = usual",
            Utilisation,
            Never,
        ),
        spec(
            "rds_cpu_utilization",
            "% of the database's cores",
            Utilisation,
            PerCapacity,
        ),
        spec(
            "request_latency_cpu",
            "% of the VM's cores",
            Utilisation,
            PerCapacity,
        ),
        spec("requests", "requests per interval", Demand, PerCapacity),
        spec("storage_gib", "GiB stored", Storage, Never),
        spec("storage_iops", "operations a second", Storage, Never),
        spec(
            "throttled_percent",
            "% of requests refused or not served",
            Utilisation,
            Never,
        ),
        spec("vm_count", "VMs of that type", Demand, Direct),
    ]
};

/// Metrics whose names are open: what is counted names them. The stars stand for any part of a name.
pub const FAMILIES: &[MetricSpec] = {
    use MetricRole::Activity;
    use VmDemand::Never;
    &[
        spec("action_*_rate", "actions per interval", Activity, Never),
        spec("active_users*", "distinct users", Activity, Never),
        spec("cohort_*_rate", "actions per interval", Activity, Never),
        spec("log_*", "lines per interval", Activity, Never),
    ]
};

impl MetricSpec {
    /// Whether it is a family that a name belongs to.
    fn covers(&self, name: &str) -> bool {
        self.name.split_once('*').is_some_and(|(head, tail)| {
            name.strip_prefix(head)
                .is_some_and(|rest| rest.ends_with(tail))
        })
    }
}

/// Why a metric is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric `{name}`: known are {known}")]
pub struct UnknownMetricError {
    /// What was asked for.
    pub name: String,
    /// The names that exist.
    pub known: String,
}

/// Finds a metric by name.
///
/// # Errors
/// [`UnknownMetricError`] with the names that exist.
pub fn find(name: &MetricName) -> Result<&'static MetricSpec, UnknownMetricError> {
    let exact = METRICS.iter().find(|spec| spec.name == name.as_str());
    let family = || FAMILIES.iter().find(|spec| spec.covers(name.as_str()));
    exact.or_else(family).ok_or_else(|| UnknownMetricError {
        name: name.to_string(),
        known: METRICS
            .iter()
            .chain(FAMILIES)
            .map(|spec| spec.name)
            .collect::<Vec<_>>()
            .join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_unique_and_valid() {
        assert!(METRICS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for spec in METRICS {
            let name = MetricName::new(spec.name).expect("a valid name");
            assert_eq!(find(&name), Ok(spec));
        }
    }

    #[test]
    fn families_take_names_of_their_form_alone() {
        let found = |name: &str| {
            let name = MetricName::new(name).expect("a valid name");
            find(&name).map(|spec| spec.name).ok()
        };
        assert_eq!(found("log_error"), Some("log_*"));
        assert_eq!(found("active_users_day"), Some("active_users*"));
        assert_eq!(found("cohort_free_rate"), Some("cohort_*_rate"));
        assert_eq!(found("cohort_free"), None);
        assert_eq!(found("_rate"), None);
        assert!(
            FAMILIES
                .iter()
                .all(|spec| spec.role == MetricRole::Activity)
        );
    }

    #[test]
    fn an_unknown_metric_lists_the_known_ones() {
        let name = MetricName::new("vm_cuont").expect("a valid name");
        let error = find(&name).expect_err("a typo").to_string();
        assert!(
            error.contains("vm_cuont") && error.contains("vm_count"),
            "{error}"
        );
    }
}
