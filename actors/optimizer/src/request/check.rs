//! Refuses a request with values that cannot be used, naming the key path, the value and the remedy.

use crate::problem::{COUNT_MAX, ProblemError};
use twinscale_protocol::optimizer::{PlanRequest, TierProblem};

/// Checks what the types of a request leave open; `steps` is its number of steps.
pub(super) fn request(request: &PlanRequest, steps: usize) -> Result<(), ProblemError> {
    for (index, problem) in request.tiers.iter().enumerate() {
        tier(problem, index, steps)?;
    }
    volumes_and_link(request, steps)
}

fn tier(tier: &TierProblem, index: usize, steps: usize) -> Result<(), ProblemError> {
    let at = |key: &str| format!("tiers[{index}].{key}");
    if tier.demand.len() != steps {
        let remedy = format!("give demand of {steps} steps");
        return Err(ProblemError::new(
            at("demand"),
            format!("{} steps", tier.demand.len()),
            remedy,
        ));
    }
    if tier.options.is_empty() {
        return Err(ProblemError::new(
            at("options"),
            "empty",
            "allow at least one VM type",
        ));
    }
    if tier.min_vms > tier.max_vms {
        let remedy = format!("give at most max_vms, which is {}", tier.max_vms.0);
        return Err(ProblemError::new(at("min_vms"), tier.min_vms.0, remedy));
    }
    for (number, option) in tier.options.iter().enumerate() {
        let at = |key: &str| format!("tiers[{index}].options[{number}].{key}");
        if option.capacity.0 <= 0 {
            return Err(ProblemError::new(
                at("capacity"),
                option.capacity,
                "give more than 0",
            ));
        }
        for (key, money) in [
            ("price_per_hour", option.price_per_hour),
            ("start_cost", option.start_cost),
        ] {
            if money.0 < 0 {
                return Err(ProblemError::new(at(key), money, "give 0 or more"));
            }
        }
        if option.initial.0 > COUNT_MAX {
            let remedy = format!("give at most {COUNT_MAX}");
            return Err(ProblemError::new(at("initial"), option.initial.0, remedy));
        }
    }
    if tier.unserved_price_per_unit_hour.0 < 0 {
        let price = tier.unserved_price_per_unit_hour;
        return Err(ProblemError::new(
            at("unserved_price_per_unit_hour"),
            price,
            "give 0 or more",
        ));
    }
    peak(tier, index, steps)?;
    if tier
        .service
        .is_some_and(|service| service.service_time_us == 0)
    {
        return Err(ProblemError::new(
            at("service.service_time_us"),
            0,
            "give at least 1",
        ));
    }
    Ok(())
}

fn peak(tier: &TierProblem, index: usize, steps: usize) -> Result<(), ProblemError> {
    let Some(peak) = &tier.peak else {
        return Ok(());
    };
    let at = |key: &str| format!("tiers[{index}].peak.{key}");
    let price = peak.missed_step_price;
    if price.0 < 0 {
        return Err(ProblemError::new(
            at("missed_step_price"),
            price,
            "give 0 or more",
        ));
    }
    if peak.steps == 0 || usize::from(peak.steps) > steps {
        let remedy = format!("give 1 to {steps} steps");
        return Err(ProblemError::new(at("steps"), peak.steps, remedy));
    }
    Ok(())
}

fn volumes_and_link(request: &PlanRequest, steps: usize) -> Result<(), ProblemError> {
    for (index, volume) in request.volumes.iter().enumerate() {
        if volume.demand.len() != steps {
            let found = format!("{} steps", volume.demand.len());
            let path = format!("volumes[{index}].demand");
            return Err(ProblemError::new(
                path,
                found,
                format!("give demand of {steps} steps"),
            ));
        }
        if volume.block.0 == 0 {
            let path = format!("volumes[{index}].block");
            return Err(ProblemError::new(path, 0, "give a block of at least 1 GiB"));
        }
    }
    let Some(link) = &request.link else {
        return Ok(());
    };
    if link.demand.len() != steps {
        let found = format!("{} steps", link.demand.len());
        return Err(ProblemError::new(
            "link.demand",
            found,
            format!("give demand of {steps} steps"),
        ));
    }
    if link.initial as usize >= link.options.len() {
        let remedy = format!(
            "give the number of one of the {} options",
            link.options.len()
        );
        return Err(ProblemError::new("link.initial", link.initial, remedy));
    }
    Ok(())
}
