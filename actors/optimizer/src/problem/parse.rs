//! Format `alloc-plan/1` to [`Problem`].

use super::read::{AMOUNT, Bounds, Node, POSITIVE};
use super::{
    COUNT_MAX, Link, PARTS_MAX, Problem, ProblemError, RESOURCES_MAX, STEPS_MAX, Service, Tier,
    VmOption, Volume,
};
use serde_json::Value;

/// Name of the format.
const FORMAT: &str = "alloc-plan/1";
/// Most levels.
const LEVELS_MAX: usize = 64;

/// Sizes that every table of the file shares.
#[derive(Clone, Copy, Debug)]
struct Shape {
    steps: usize,
    levels: usize,
}

pub(super) fn problem(text: &str) -> Result<Problem, ProblemError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        ProblemError::new("file", error, "give valid JSON of format alloc-plan/1")
    })?;
    let root = Node::root(&value);
    let format = root.get("format")?;
    if format.text()? != FORMAT {
        return Err(format.fail(format!("give a file of format \"{FORMAT}\"")));
    }
    let steps = root.get("steps")?.size(STEPS_MAX)?;
    if steps == 0 {
        return Err(root.get("steps")?.fail("give at least 1 step"));
    }
    let levels = levels(&root.get("levels")?)?;
    let shape = Shape {
        steps,
        levels: levels.len(),
    };
    let (level_min, level_max) = level_range(&root, levels.len())?;
    Ok(Problem {
        id: root.get("id")?.text()?.to_owned(),
        steps,
        step_hours: root.get("step_hours")?.number(POSITIVE)?,
        level_min,
        level_max,
        risk_budget: root.get("risk_budget")?.number(AMOUNT)?,
        step_weight: root.get("step_weight")?.numbers(steps)?,
        penalty: root.get("penalty")?.table(steps, shape.levels)?,
        demand_rps: root
            .find("demand_quantiles_rps")
            .map(|node| node.table(steps, shape.levels))
            .transpose()?
            .unwrap_or_default(),
        resources: resources(&root)?,
        tiers: tiers(&root, shape)?,
        volumes: volumes(&root, shape)?,
        link: root
            .find("link")
            .map(|node| link(&node, shape))
            .transpose()?,
        vcpu_quota: root.get("vcpu_quota")?.number(AMOUNT)?,
        step_spend_max: root.get("max_step_spend")?.number(AMOUNT)?,
        budget: root.get("budget")?.number(AMOUNT)?,
        levels,
    })
}

fn levels(node: &Node<'_>) -> Result<Vec<f64>, ProblemError> {
    let share = Bounds {
        least: 0.0,
        most: 1.0,
    };
    let items = node.list(LEVELS_MAX)?;
    let levels = items
        .iter()
        .map(|item| item.number(share))
        .collect::<Result<Vec<_>, _>>()?;
    if levels.is_empty() {
        return Err(node.fail("give at least one quantile level"));
    }
    let disorder = levels.windows(2).position(|pair| pair[0] >= pair[1]);
    match disorder.and_then(|index| items.get(index + 1)) {
        Some(item) => Err(item.fail("give levels in ascending order")),
        None => Ok(levels),
    }
}

fn level_range(root: &Node<'_>, levels: usize) -> Result<(usize, usize), ProblemError> {
    let least = root.get("level_min")?;
    let most = root.get("level_max")?;
    let (level_min, level_max) = (least.size(levels - 1)?, most.size(levels - 1)?);
    if level_min > level_max {
        return Err(least.fail(format!("give at most level_max, which is {level_max}")));
    }
    Ok((level_min, level_max))
}

fn resources(root: &Node<'_>) -> Result<Vec<String>, ProblemError> {
    let Some(node) = root.find("resources") else {
        return Ok(Vec::new());
    };
    let items = node.list(RESOURCES_MAX)?;
    items
        .iter()
        .map(|item| Ok(item.text()?.to_owned()))
        .collect()
}

fn tiers(root: &Node<'_>, shape: Shape) -> Result<Vec<Tier>, ProblemError> {
    let types = root.get("types")?;
    let node = root.get("tiers")?;
    let members = node.members(PARTS_MAX)?;
    if members.is_empty() {
        return Err(node.fail("give at least one tier"));
    }
    members
        .iter()
        .map(|(name, node)| tier(name, node, &types, shape))
        .collect()
}

fn tier(name: &str, node: &Node<'_>, types: &Node<'_>, shape: Shape) -> Result<Tier, ProblemError> {
    let (resources, requirement) = requirement(&node.get("requirement")?, shape)?;
    let delay_steps = node.get("delay_steps")?.size(STEPS_MAX)?;
    let up = node.get("min_up_steps")?;
    let min_up_steps = up.size(STEPS_MAX)?;
    if min_up_steps < delay_steps.max(1) {
        return Err(up.fail(format!(
            "give at least {} (delay_steps, and 1)",
            delay_steps.max(1)
        )));
    }
    let vms_max = node
        .find("max_vms")
        .map(|most| most.count(COUNT_MAX))
        .transpose()?;
    Ok(Tier {
        name: name.to_owned(),
        resources,
        requirement,
        options: vm_options(node, types, resources)?,
        delay_steps,
        min_up_steps,
        vms_min: node.get("min_vms")?.count(COUNT_MAX)?,
        vms_max: vms_max.unwrap_or(COUNT_MAX),
        starts_max: node.get("max_start_per_step")?.count(COUNT_MAX)?,
        stops_max: node.get("max_stop_per_step")?.count(COUNT_MAX)?,
        service: service(node)?,
    })
}

fn requirement(node: &Node<'_>, shape: Shape) -> Result<(usize, Vec<f64>), ProblemError> {
    let mut resources = 0;
    let mut table = Vec::new();
    for step in node.items(shape.steps)? {
        for level in step.items(shape.levels)? {
            if resources == 0 {
                resources = level.list(RESOURCES_MAX)?.len();
            }
            table.extend(level.numbers(resources)?);
        }
    }
    if resources == 0 {
        return Err(node.fail("give at least one resource"));
    }
    Ok((resources, table))
}

fn vm_options(
    tier: &Node<'_>,
    types: &Node<'_>,
    resources: usize,
) -> Result<Vec<VmOption>, ProblemError> {
    let capacity = tier.get("capacity")?;
    let initial = tier.get("initial")?;
    let start_hours = tier.get("start_cost_h")?.number(AMOUNT)?;
    for (name, node) in initial.members(PARTS_MAX)? {
        if capacity.find(name).is_none() {
            let remedy = format!("list {name} under {} or remove it here", capacity.path);
            return Err(node.fail(remedy));
        }
    }
    let mut options = Vec::new();
    for (name, node) in capacity.members(PARTS_MAX)? {
        let Some(vm_type) = types.find(name) else {
            return Err(node.fail(format!("describe {name} under types or remove it here")));
        };
        let on = initial
            .find(name)
            .map(|count| count.count(COUNT_MAX))
            .transpose()?;
        let price_per_hour = vm_type.get("price")?.number(AMOUNT)?;
        options.push(VmOption {
            name: name.to_owned(),
            price_per_hour,
            start_price: price_per_hour * start_hours,
            vcpu: vm_type.get("vcpu")?.number(AMOUNT)?,
            capacity: node.numbers(resources)?,
            initial: on.unwrap_or(0),
        });
    }
    if options.is_empty() {
        return Err(capacity.fail("allow at least one VM type"));
    }
    Ok(options)
}

fn service(node: &Node<'_>) -> Result<Option<Service>, ProblemError> {
    let Some(service_time) = node.find("service_time_s") else {
        return Ok(None);
    };
    Ok(Some(Service {
        service_time_s: service_time.number(POSITIVE)?,
        visits: node.get("visits")?.number(AMOUNT)?,
        p99_target_s: node.get("p99_target_s")?.number(POSITIVE)?,
    }))
}

fn volumes(root: &Node<'_>, shape: Shape) -> Result<Vec<Volume>, ProblemError> {
    let Some(node) = root.find("storage") else {
        return Ok(Vec::new());
    };
    node.members(PARTS_MAX)?
        .iter()
        .map(|(name, node)| volume(name, node, shape))
        .collect()
}

fn volume(name: &str, node: &Node<'_>, shape: Shape) -> Result<Volume, ProblemError> {
    Ok(Volume {
        name: name.to_owned(),
        block_gib: node.get("block_gib")?.number(POSITIVE)?,
        block_price_h: node.get("price_block_h")?.number(AMOUNT)?,
        required_gib: node.get("required_gib")?.numbers(shape.steps)?,
        iops_free: node.get("iops_free")?.number(AMOUNT)?,
        iops_block: node.get("iops_block")?.number(POSITIVE)?,
        iops_price_h: node.get("price_iops_block_h")?.number(AMOUNT)?,
        required_iops: node
            .get("required_iops")?
            .table(shape.steps, shape.levels)?,
        cooldown_steps: node.get("cooldown_steps")?.size(STEPS_MAX)?,
        first_change: 0,
        blocks_max: node.get("max_blocks")?.count(COUNT_MAX)?,
        iops_blocks_max: node.get("max_iops_blocks")?.count(COUNT_MAX)?,
        initial_blocks: node.get("initial_blocks")?.count(COUNT_MAX)?,
        initial_iops_blocks: node.get("initial_iops_blocks")?.count(COUNT_MAX)?,
    })
}

fn link(node: &Node<'_>, shape: Shape) -> Result<Link, ProblemError> {
    let choices = node.get("options_mbps_price_h")?;
    let mut options = Vec::new();
    for choice in choices.list(PARTS_MAX)? {
        let pair = choice.numbers(2)?;
        options.push((pair[0], pair[1]));
    }
    if options.is_empty() {
        return Err(choices.fail("give at least one (Mbps, $ per hour) option"));
    }
    let most = u32::try_from(options.len() - 1).unwrap_or(u32::MAX);
    Ok(Link {
        options,
        required_mbps: node
            .get("required_mbps")?
            .table(shape.steps, shape.levels)?,
        hold_steps: node.get("min_hold_steps")?.size(STEPS_MAX)?,
        first_change: 0,
        initial_option: node.get("initial_option")?.count(most)?,
    })
}
