//! Exact plans for volumes and the link, given the level that each step must cover.
//!
//! Both change rarely: a plan is a row of pieces with one setting each, every piece but the first and
//! the last at least the hold time long. A volume's size in a piece is the largest size required up to
//! its end (it never shrinks), its I/O blocks and the link option are the cheapest that suffice for the
//! piece; so a piece's price depends on its ends alone and dynamic programming over the ends is exact.

use crate::plan::Plan;
use crate::problem::{Link, Problem, TOLERANCE, Volume};

/// What cannot be settled under its hold time and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// The volume with this index.
    Volume(usize),
    /// The link.
    Link,
}

/// Puts the least-cost settings of all volumes and the link for a row of levels into `plan`.
///
/// Shape: `levels` is `[step]`. Cost: O(steps^2) per volume and link.
///
/// # Errors
/// [`Unsettled`] names the first whose requirement cannot be met.
pub fn settle(problem: &Problem, levels: &[usize], plan: &mut Plan) -> Result<(), Unsettled> {
    for (index, volume) in problem.volumes.iter().enumerate() {
        let settled = volume_plan(problem, volume, levels);
        let (blocks, iops_blocks) = settled.ok_or(Unsettled::Volume(index))?;
        plan.blocks[index] = blocks;
        plan.iops_blocks[index] = iops_blocks;
    }
    if let Some(link) = &problem.link {
        plan.link_option = link_plan(problem, link, levels).ok_or(Unsettled::Link)?;
    }
    Ok(())
}

/// Settles volumes and link for the highest level that they can cover in every step.
///
/// # Errors
/// [`Unsettled`] when not even the least level can be covered.
pub fn settle_highest(problem: &Problem, plan: &mut Plan) -> Result<usize, Unsettled> {
    let mut result = Err(Unsettled::Link);
    for level in (problem.level_min..=problem.level_max).rev() {
        result = settle(problem, &vec![level; problem.steps], plan).map(|()| level);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Spend of each step on volumes and link, in whole nano-dollars. Shape: `[step]`.
pub fn spend(problem: &Problem, plan: &Plan) -> Vec<f64> {
    (0..problem.steps)
        .map(|step| {
            let volumes = problem.volumes.iter().enumerate().map(|(index, volume)| {
                volume_price(
                    volume,
                    plan.blocks[index][step],
                    plan.iops_blocks[index][step],
                )
            });
            let link = problem.link.as_ref().and_then(|link| {
                link.options
                    .get(plan.link_option[step] as usize)
                    .map(|(_, price)| *price)
            });
            ((volumes.sum::<f64>() + link.unwrap_or(0.0)) * problem.step_hours * 1e9).round()
        })
        .collect()
}

/// Least spend of a step on volumes and link at a level, were nothing held from step to step, in $.
pub(crate) fn least_spend(problem: &Problem, step: usize, level: usize) -> f64 {
    let index = step * problem.levels.len() + level;
    let volumes = problem.volumes.iter().map(|volume| {
        let gib = volume.required_gib[step];
        let blocks = blocks_for(gib, volume.block_gib).unwrap_or(u32::MAX);
        let iops = volume.required_iops[index] - volume.iops_free;
        let iops_blocks = blocks_for(iops, volume.iops_block).unwrap_or(u32::MAX);
        volume_price(volume, blocks.max(volume.initial_blocks), iops_blocks)
    });
    let link = problem.link.as_ref().map_or(0.0, |link| {
        let enough = link
            .options
            .iter()
            .filter(|(mbps, _)| *mbps >= link.required_mbps[index]);
        let prices = enough.map(|(_, price)| *price);
        let least = prices.fold(f64::INFINITY, f64::min);
        if least.is_finite() { least } else { 0.0 }
    });
    (volumes.sum::<f64>() + link) * problem.step_hours
}

/// Whether volumes and link of a plan cover a level at a step.
pub fn covers(problem: &Problem, plan: &Plan, step: usize, level: usize) -> bool {
    let index = step * problem.levels.len() + level;
    let volumes = problem
        .volumes
        .iter()
        .zip(&plan.iops_blocks)
        .all(|(volume, blocks)| {
            let iops = volume.iops_free + f64::from(blocks[step]) * volume.iops_block;
            iops >= volume.required_iops[index] - TOLERANCE
        });
    let link = problem.link.as_ref().is_none_or(|link| {
        let option = link.options.get(plan.link_option[step] as usize);
        option.is_some_and(|(mbps, _)| *mbps >= link.required_mbps[index] - TOLERANCE)
    });
    volumes && link
}

/// What a piece-wise constant schedule needs to know about its pieces.
trait Pieces {
    type Setting: Copy + PartialEq;
    /// The setting before step 0.
    fn initial(&self) -> Self::Setting;
    /// Adds a step at the front of the piece being grown.
    fn include(&mut self, step: usize);
    /// Starts a new piece that will end before `end`.
    fn restart(&mut self, end: usize);
    /// The cheapest setting of the piece and its price per step.
    fn cheapest(&self) -> Option<(Self::Setting, f64)>;
    /// The price per step of the first setting, when it suffices up to `end`.
    fn initial_lasts(&self, step: usize) -> Option<f64>;
}

/// Chooses the ends of the pieces.
fn best_pieces<P: Pieces>(
    pieces: &mut P,
    steps: usize,
    (hold, first_change): (usize, usize),
) -> Option<Vec<P::Setting>> {
    // cost[e]: least cost of steps 0..e when a change happens at e (or e = steps).
    let mut cost = vec![f64::INFINITY; steps + 1];
    let mut choice: Vec<Option<(usize, P::Setting)>> = vec![None; steps + 1];
    let mut first = vec![f64::INFINITY; steps + 1];
    first[0] = 0.0;
    for step in 0..steps {
        match pieces.initial_lasts(step) {
            Some(price) => first[step + 1] = first[step] + price,
            None => break,
        }
    }
    for end in 1..=steps {
        pieces.restart(end);
        for begin in (0..end).rev() {
            pieces.include(begin);
            let Some((setting, price)) = pieces.cheapest() else {
                break;
            };
            if begin < first_change || (end < steps && end - begin < hold) {
                continue;
            }
            let before = cost[begin].min(first[begin]);
            let total = before + price * (end - begin) as f64;
            if total < cost[end] {
                cost[end] = total;
                choice[end] = Some((begin, setting));
            }
        }
    }
    let mut settings = vec![pieces.initial(); steps];
    let mut end = steps;
    while end > 0 && cost[end] < first[end] {
        let (begin, setting) = choice[end]?;
        settings[begin..end].fill(setting);
        end = begin;
    }
    (cost[end].min(first[end]) < f64::INFINITY).then_some(settings)
}

struct VolumePieces<'a> {
    volume: &'a Volume,
    problem: &'a Problem,
    levels: &'a [usize],
    /// Largest size required up to and with a step, in blocks.
    size_so_far: Vec<u32>,
    blocks: u32,
    iops: f64,
}

impl Pieces for VolumePieces<'_> {
    type Setting = (u32, u32);

    fn initial(&self) -> (u32, u32) {
        (self.volume.initial_blocks, self.volume.initial_iops_blocks)
    }

    fn restart(&mut self, end: usize) {
        self.blocks = self.size_so_far[end - 1];
        self.iops = 0.0;
    }

    fn include(&mut self, step: usize) {
        let index = step * self.problem.levels.len() + self.levels[step];
        self.iops = self.iops.max(self.volume.required_iops[index]);
    }

    fn cheapest(&self) -> Option<((u32, u32), f64)> {
        let volume = self.volume;
        let iops_blocks = blocks_for(self.iops - volume.iops_free, volume.iops_block)?;
        if self.blocks > volume.blocks_max || iops_blocks > volume.iops_blocks_max {
            return None;
        }
        Some((
            (self.blocks, iops_blocks),
            volume_price(volume, self.blocks, iops_blocks),
        ))
    }

    fn initial_lasts(&self, step: usize) -> Option<f64> {
        let (blocks, iops_blocks) = self.initial();
        let index = step * self.problem.levels.len() + self.levels[step];
        let iops = self.volume.iops_free + f64::from(iops_blocks) * self.volume.iops_block;
        let lasts = blocks >= self.size_so_far[step]
            && iops >= self.volume.required_iops[index] - TOLERANCE;
        lasts.then(|| volume_price(self.volume, blocks, iops_blocks))
    }
}

fn volume_price(volume: &Volume, blocks: u32, iops_blocks: u32) -> f64 {
    f64::from(blocks) * volume.block_price_h + f64::from(iops_blocks) * volume.iops_price_h
}

/// Least blocks of size `block` that hold `amount`, to within the tolerance.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded just before"
)]
fn blocks_for(amount: f64, block: f64) -> Option<u32> {
    let blocks = ((amount - TOLERANCE * 0.5) / block).ceil().max(0.0);
    (blocks <= f64::from(u32::MAX)).then_some(blocks as u32)
}

fn volume_plan(
    problem: &Problem,
    volume: &Volume,
    levels: &[usize],
) -> Option<(Vec<u32>, Vec<u32>)> {
    let mut largest = volume.initial_blocks;
    let mut size_so_far = Vec::with_capacity(problem.steps);
    for gib in &volume.required_gib {
        largest = largest.max(blocks_for(*gib, volume.block_gib)?);
        size_so_far.push(largest);
    }
    let mut pieces = VolumePieces {
        volume,
        problem,
        levels,
        size_so_far,
        blocks: 0,
        iops: 0.0,
    };
    let settings = best_pieces(
        &mut pieces,
        problem.steps,
        (volume.cooldown_steps, volume.first_change),
    )?;
    Some(settings.into_iter().unzip())
}

struct LinkPieces<'a> {
    link: &'a Link,
    problem: &'a Problem,
    levels: &'a [usize],
    mbps: f64,
}

impl LinkPieces<'_> {
    fn required(&self, step: usize) -> f64 {
        self.link.required_mbps[step * self.problem.levels.len() + self.levels[step]]
    }
}

impl Pieces for LinkPieces<'_> {
    type Setting = u32;

    fn initial(&self) -> u32 {
        self.link.initial_option
    }

    fn restart(&mut self, _end: usize) {
        self.mbps = 0.0;
    }

    fn include(&mut self, step: usize) {
        self.mbps = self.mbps.max(self.required(step));
    }

    fn cheapest(&self) -> Option<(u32, f64)> {
        let enough = (0_u32..).zip(&self.link.options);
        enough
            .filter(|(_, (mbps, _))| *mbps >= self.mbps - TOLERANCE * 0.5)
            .map(|(option, (_, price))| (option, *price))
            .min_by(|left, right| left.1.total_cmp(&right.1))
    }

    fn initial_lasts(&self, step: usize) -> Option<f64> {
        let (mbps, price) = self
            .link
            .options
            .get(self.link.initial_option as usize)
            .copied()?;
        (mbps >= self.required(step) - TOLERANCE).then_some(price)
    }
}

fn link_plan(problem: &Problem, link: &Link, levels: &[usize]) -> Option<Vec<u32>> {
    let mut pieces = LinkPieces {
        link,
        problem,
        levels,
        mbps: 0.0,
    };
    best_pieces(
        &mut pieces,
        problem.steps,
        (link.hold_steps, link.first_change),
    )
}

#[cfg(test)]
mod tests;
