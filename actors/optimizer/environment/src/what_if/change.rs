//! Changes of a stack.

use crate::model::{StackModel, Tier, TierVms};
use std::fmt;
use twinscale_cluster_config::closest;
use twinscale_protocol::{DataSetName, RequestClassName, TierName, VmTypeId, ZoneName};

/// Largest factor of a change: beyond it nothing of today's model would hold.
const FACTOR_MAX: f64 = 1e6;

/// Something that could be otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Requests per second, times a factor: of one class, or of all.
    Load {
        /// The class; `None` = all.
        class: Option<RequestClassName>,
        /// The factor.
        factor: f64,
    },
    /// All VMs of a tier are of another type, which the model describes.
    VmType {
        /// The tier.
        tier: TierName,
        /// The type.
        vm_type: VmTypeId,
    },
    /// A tier has another number of VMs, of its first type.
    Vms {
        /// The tier.
        tier: TierName,
        /// How many.
        count: u32,
    },
    /// A zone is lost, with all VMs in it.
    LostZone {
        /// The zone.
        zone: ZoneName,
    },
    /// Requests cost a tier so many times as much work.
    Slower {
        /// The tier.
        tier: TierName,
        /// The factor.
        factor: f64,
    },
    /// The price of a VM type, times a factor.
    Price {
        /// The type.
        vm_type: VmTypeId,
        /// The factor.
        factor: f64,
    },
    /// The size of a data set, times a factor.
    Data {
        /// The data set.
        data_set: DataSetName,
        /// The factor.
        factor: f64,
    },
}

/// Why a change cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// The stack has nothing of the name.
    #[error("the stack has no {kind} `{name}`{}", meant(.nearest.as_deref()))]
    Unknown {
        /// What is missing.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The factor is none.
    #[error("{factor} is no factor: give a number above 0 and at most 1000000")]
    Factor {
        /// What was given.
        factor: f64,
    },
    /// Nothing would be left of a tier.
    #[error("tier {tier} would have no VM left: its requests would fail")]
    NothingLeft {
        /// The tier.
        tier: TierName,
    },
}

fn meant(name: Option<&str>) -> String {
    name.map(|name| format!("; do you mean `{name}`?"))
        .unwrap_or_default()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load {
                class: None,
                factor,
            } => write!(f, "load x {factor}"),
            Self::Load {
                class: Some(class),
                factor,
            } => write!(f, "load of {class} x {factor}"),
            Self::VmType { tier, vm_type } => write!(f, "{tier} on {vm_type}"),
            Self::Vms { tier, count } => write!(f, "{tier} with {count} VMs"),
            Self::LostZone { zone } => write!(f, "zone {zone} lost"),
            Self::Slower { tier, factor } => write!(f, "work of {tier} x {factor}"),
            Self::Price { vm_type, factor } => write!(f, "price of {vm_type} x {factor}"),
            Self::Data { data_set, factor } => write!(f, "size of {data_set} x {factor}"),
        }
    }
}

fn unknown<'a>(
    kind: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> ChangeError {
    let known: Vec<&str> = known.collect();
    ChangeError::Unknown {
        kind,
        name: name.to_owned(),
        nearest: closest(name, &known).map(ToOwned::to_owned),
    }
}

fn checked(factor: f64) -> Result<f64, ChangeError> {
    if factor > 0.0 && factor <= FACTOR_MAX {
        Ok(factor)
    } else {
        Err(ChangeError::Factor { factor })
    }
}

fn tier_of<'a>(model: &'a mut StackModel, name: &TierName) -> Result<&'a mut Tier, ChangeError> {
    if !model.tiers.contains_key(name) {
        let known = model.tiers.keys().map(TierName::as_str);
        return Err(unknown("tier", name.as_str(), known));
    }
    model
        .tiers
        .get_mut(name)
        .ok_or_else(|| unknown("tier", name.as_str(), std::iter::empty()))
}

impl Change {
    /// Changes a model.
    ///
    /// # Errors
    /// [`ChangeError`]; the model may be changed in part then.
    pub fn apply(&self, model: &mut StackModel) -> Result<(), ChangeError> {
        match self {
            Self::Load { class, factor } => load(model, class.as_ref(), checked(*factor)?),
            Self::VmType { tier, vm_type } => on_type(model, tier, vm_type),
            Self::Vms { tier, count } => with_count(model, tier, *count),
            Self::LostZone { zone } => without_zone(model, zone),
            Self::Slower { tier, factor } => {
                let factor = checked(*factor)?;
                for demand in tier_of(model, tier)?.demands.values_mut() {
                    demand.mean_s *= factor;
                    demand.write_mean_s = demand.write_mean_s.map(|mean| mean * factor);
                }
                Ok(())
            }
            Self::Price { vm_type, factor } => {
                let factor = checked(*factor)?;
                let known = model.vm_types.keys().map(VmTypeId::as_str);
                let error = unknown("VM type", vm_type.as_str(), known);
                let facts = model.vm_types.get_mut(vm_type).ok_or(error)?;
                facts.price_per_hour_usd *= factor;
                Ok(())
            }
            Self::Data { data_set, factor } => {
                let factor = checked(*factor)?;
                let known = model.data_sets.keys().map(DataSetName::as_str);
                let error = unknown("data set", data_set.as_str(), known);
                let found = model.data_sets.get_mut(data_set).ok_or(error)?;
                found.size_gib *= factor;
                Ok(())
            }
        }
    }
}

fn load(
    model: &mut StackModel,
    class: Option<&RequestClassName>,
    factor: f64,
) -> Result<(), ChangeError> {
    let Some(name) = class else {
        model.rate_per_s = model.rate_per_s.map(|rate| rate * factor);
        for class in model.classes.values_mut() {
            class.rate_per_s = class.rate_per_s.map(|rate| rate * factor);
        }
        return Ok(());
    };
    let known = model.classes.keys().map(RequestClassName::as_str);
    let error = unknown("class", name.as_str(), known);
    let all = model.rate_per_s;
    let class = model.classes.get_mut(name).ok_or(error)?;
    // A share would take from the others: from here on the class states its own rate.
    let shared = class.share.take().zip(all).map(|(share, all)| share * all);
    let rate = class.rate_per_s.or(shared).unwrap_or(0.0);
    class.rate_per_s = Some(rate * factor);
    Ok(())
}

fn on_type(model: &mut StackModel, tier: &TierName, vm_type: &VmTypeId) -> Result<(), ChangeError> {
    if !model.vm_types.contains_key(vm_type) {
        let known = model.vm_types.keys().map(VmTypeId::as_str);
        return Err(unknown("VM type", vm_type.as_str(), known));
    }
    let tier = tier_of(model, tier)?;
    let count = tier.vms.iter().map(|vms| vms.count).sum();
    tier.vms = vec![TierVms {
        vm_type: vm_type.clone(),
        count,
    }];
    Ok(())
}

fn with_count(model: &mut StackModel, name: &TierName, count: u32) -> Result<(), ChangeError> {
    let tier = tier_of(model, name)?;
    if count == 0 {
        return Err(ChangeError::NothingLeft { tier: name.clone() });
    }
    tier.vms.truncate(1);
    if let Some(first) = tier.vms.first_mut() {
        first.count = count;
    }
    keep_a_primary(tier);
    Ok(())
}

/// Where primaries are gone, a replica takes their place.
fn keep_a_primary(tier: &mut Tier) {
    let count: u32 = tier.vms.iter().map(|vms| vms.count).sum();
    if let Some(database) = &mut tier.database {
        database.read_replicas = database.read_replicas.min(count.saturating_sub(1));
    }
}

fn without_zone(model: &mut StackModel, zone: &ZoneName) -> Result<(), ChangeError> {
    if !model.zones.contains(zone) {
        let known = model.zones.iter().map(ZoneName::as_str);
        return Err(unknown("zone", zone.as_str(), known));
    }
    let all = model.zones.clone();
    for (name, tier) in &mut model.tiers {
        let zones = if tier.zones.is_empty() {
            all.clone()
        } else {
            tier.zones.clone()
        };
        let mut place = 0_u32;
        for vms in &mut tier.vms {
            let lost = (place..place.saturating_add(vms.count))
                .filter(|vm| zones.get(*vm as usize % zones.len()) == Some(zone))
                .count();
            place = place.saturating_add(vms.count);
            vms.count -= u32::try_from(lost).unwrap_or(vms.count);
        }
        if tier.vms.iter().all(|vms| vms.count == 0) {
            return Err(ChangeError::NothingLeft { tier: name.clone() });
        }
        tier.zones.retain(|kept| kept != zone);
        keep_a_primary(tier);
    }
    model.zones.retain(|kept| kept != zone);
    model.links.retain(|_, link| {
        ![&link.from, &link.to]
            .iter()
            .any(|end| end.as_str() == zone.as_str())
    });
    Ok(())
}
