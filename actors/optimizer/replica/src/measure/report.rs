//! The figures as a table and as JSON.

use super::calibrate::{Fit, Observation};
use super::compare::{Figure, LoadRow};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use twinscale_protocol::TierName;

/// What was measured and predicted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Kind and version of this document.
    pub form: String,
    /// Version of the container engine.
    pub engine: String,
    /// Rounds of the burning kernel that a core does in a CPU second: the reference core of the demands.
    pub core_speed: f64,
    /// Root of all randomness.
    pub seed: u64,
    /// How long each load counted, in seconds.
    pub seconds: f64,
    /// Utilisation of the bottleneck in the calibration.
    pub calibration_load: f64,
    /// What the calibration saw.
    pub observations: Vec<Observation>,
    /// What it made of it.
    pub fits: Vec<Fit>,
    /// Fixed delay of a request beside its tiers, by entry, in seconds.
    pub delays_s: BTreeMap<TierName, f64>,
    /// What of the model the replica does not have.
    pub left_out: Vec<String>,
    /// By load.
    pub loads: Vec<LoadRow>,
}

impl Report {
    /// Kind and version of the document.
    pub const FORM: &'static str = "twinscale-replica/1";
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "calibrated with each class alone at {} of the bottleneck (utilisation law):",
            self.calibration_load
        )?;
        for fit in &self.fits {
            writeln!(
                f,
                "  {:<12} {:<12} demand {:>9.1} us stated, {:>9.1} us measured over {} visits",
                fit.tier.as_str(),
                fit.class.as_str(),
                fit.stated_s * 1e6,
                fit.measured_s * 1e6,
                fit.visits
            )?;
        }
        for (entry, delay_s) in &self.delays_s {
            writeln!(
                f,
                "  clients <-> {entry}: {:.0} us of fixed delay",
                delay_s * 1e6
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:>5}  {:<22} {:>10} {:>10} {:>8} {:>9}",
            "load", "figure", "predicted", "measured", "error", "by chance"
        )?;
        for load in &self.loads {
            rows(f, load)?;
        }
        for one in &self.left_out {
            writeln!(f, "not in the replica: {one}")?;
        }
        Ok(())
    }
}

fn rows(f: &mut fmt::Formatter<'_>, load: &LoadRow) -> fmt::Result {
    let mut line = |name: String, unit: &str, scale: f64, figure: &Figure| {
        let mut text = String::new();
        write!(text, "{:>5}  {name:<22} ", load.load)?;
        write!(
            text,
            "{:>10.3} {:>10.3} ",
            figure.predicted * scale,
            figure.measured * scale
        )?;
        write!(text, "{:>+7.1}% ", figure.relative_error * 100.0)?;
        let spread = figure.spread_99 / figure.predicted * 100.0;
        write!(text, "{:>9} {unit}", format!("±{spread:.1}%"))?;
        writeln!(f, "{}", text.trim_end())
    };
    for class in &load.classes {
        for (level, figure) in [
            ("mean", &class.mean),
            ("p50", &class.p50),
            ("p95", &class.p95),
            ("p99", &class.p99),
        ] {
            line(format!("{} {level}", class.class), "ms", 1e3, figure)?;
        }
        if class.failed > 0 || class.availability.predicted < 1.0 {
            line(
                format!("{} served", class.class),
                "",
                1.0,
                &class.availability,
            )?;
        }
    }
    for tier in &load.tiers {
        line(
            format!("{} utilisation", tier.tier),
            "",
            1.0,
            &tier.utilisation,
        )?;
    }
    let hits = load
        .hit_ratio
        .map_or_else(String::new, |ratio| format!(", hit ratio {ratio:.3}"));
    let requests: u64 = load.classes.iter().map(|class| class.requests).sum();
    writeln!(
        f,
        "{:>5}  {requests} requests, sent late by {:.2} ms (p99){hits}, load average {:.1}, other work {:.0} %",
        load.load,
        load.lag_p99_s * 1e3,
        load.load_average,
        load.other_share * 100.0
    )?;
    if load.is_late() {
        writeln!(
            f,
            "{:>5}  the generator was late: other work of the machine is in these figures, measure again",
            load.load
        )?;
    }
    Ok(())
}
