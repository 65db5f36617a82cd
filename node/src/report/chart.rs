//! One tier over time: demand against the forecast's range and what served.

use super::format::moment;
use super::input::{CustomerReport, TierPoint, TierReport};
use super::svg::{Path, Scale, escaped, put, ticks};
use twinscale_protocol::{DomainTime, EventKind, FixedValue};

const SECONDS_PER_DAY: i64 = 86_400;

/// Most points that one plot draws: more than twice its pixels help nobody.
const POINTS_MAX: usize = 1_600;

/// Longest event name on a plot, in characters.
const LABEL_MAX: usize = 26;

/// Width of one character of a label, in pixels, on the generous side.
const LABEL_CHARACTER: f64 = 6.2;

/// Size of a plot in pixels, margins included.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlotSize {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// An unbroken stretch of forecasts, in pixels.
#[derive(Default)]
struct Band {
    highs: Vec<(f64, f64)>,
    lows: Vec<(f64, f64)>,
}

/// A plot's frame and the points within it.
pub(super) struct Plot<'a> {
    size: PlotSize,
    start: DomainTime,
    /// Seconds per drawn point.
    interval: i64,
    points: Vec<TierPoint>,
    x: Scale,
    y: Scale,
    unit: &'a str,
}

impl<'a> Plot<'a> {
    /// Prepares a tier's plot over steps `from..until` of the customer's window.
    pub(super) fn new(
        customer: &CustomerReport,
        tier: &'a TierReport,
        steps: std::ops::Range<usize>,
        size: PlotSize,
    ) -> Self {
        let from = steps.start.min(tier.points.len());
        let until = steps.end.min(tier.points.len());
        let chosen = tier.points.get(from..until).unwrap_or_default();
        let group = chosen.len().div_ceil(POINTS_MAX).max(1);
        let points: Vec<TierPoint> = chosen.chunks(group).map(thinned).collect();
        let step = i64::from(customer.interval.0);
        let start = customer
            .start
            .0
            .saturating_add(step.saturating_mul(i64::try_from(from).unwrap_or(0)));
        let interval = step
            .saturating_mul(i64::try_from(group).unwrap_or(1))
            .max(1);
        let most = highest(&points);
        let x = Scale {
            from: 0.0,
            to: points.len().max(1) as f64,
            pixel_from: size.left,
            pixel_to: size.width - size.right,
        };
        let y = Scale {
            from: 0.0,
            to: most * 1.05,
            pixel_from: size.height - size.bottom,
            pixel_to: size.top,
        };
        Self {
            size,
            start: DomainTime(start),
            interval,
            points,
            x,
            y,
            unit: &tier.unit,
        }
    }

    /// Draws everything into an SVG element's inside.
    pub(super) fn draw(&self, page: &mut String, customer: &CustomerReport) {
        self.draw_events(page, customer);
        self.draw_axes(page);
        self.draw_band(page);
        self.draw_shortfalls(page);
        self.draw_supplies(page);
        self.draw_demand(page);
        self.draw_strips(page);
        self.draw_restarts(page, customer);
    }

    /// Writes the values for the page's tooltip as a JSON attribute.
    pub(super) fn data(&self) -> String {
        let list = |value: &dyn Fn(&TierPoint) -> Option<FixedValue>| {
            let values: Vec<String> = self
                .points
                .iter()
                .map(|point| value(point).map_or_else(|| "null".to_owned(), short))
                .collect();
            values.join(",")
        };
        format!(
            "{{\"t\":{},\"dt\":{},\"x0\":{:.1},\"x1\":{:.1},\"d\":[{}],\"l\":[{}],\"h\":[{}],\"s\":[{}],\"r\":[{}]}}",
            self.start,
            self.interval,
            self.x.pixel_from,
            self.x.pixel_to,
            list(&|point| point.demand),
            list(&|point| point.forecast.map(|[low, _, _]| low)),
            list(&|point| point.forecast.map(|[_, _, high]| high)),
            list(&|point| Some(point.supply)),
            list(&|point| Some(point.supply_reactive)),
        )
    }

    fn draw_axes(&self, page: &mut String) {
        let (left, right) = (self.x.pixel_from, self.x.pixel_to);
        for tick in ticks(self.y.to, 4.0) {
            let y = self.y.at(tick);
            put!(
                page,
                "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
            put!(
                page,
                "<text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                left - 6.0,
                y + 3.5,
                compact(tick)
            );
        }
        put!(
            page,
            "<text class=\"unit\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left,
            self.size.top - 7.0,
            escaped(self.unit)
        );
        let bottom = self.y.pixel_from;
        for (index, at) in self.day_ticks().into_iter().enumerate() {
            let x = self.x_of(at);
            let pattern = if index == 0 { "%b %-d, %Y" } else { "%b %-d" };
            put!(
                page,
                "<line class=\"tickline\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\"/>",
                bottom + 4.0
            );
            put!(
                page,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 3.0,
                self.size.height - 4.0,
                moment(at, pattern)
            );
        }
    }

    /// Midnights that get a label: at most ten.
    fn day_ticks(&self) -> Vec<DomainTime> {
        let length = self
            .interval
            .saturating_mul(i64::try_from(self.points.len()).unwrap_or(0));
        let end = self.start.0.saturating_add(length);
        let days = length / SECONDS_PER_DAY;
        let step = [1, 2, 4, 7, 14, 28, 91, 182, 364]
            .into_iter()
            .find(|step| days / step <= 9)
            .unwrap_or(days / 9 + 1)
            * SECONDS_PER_DAY;
        let mut at = self.start.0.div_euclid(SECONDS_PER_DAY) * SECONDS_PER_DAY;
        if at < self.start.0 {
            at += SECONDS_PER_DAY;
        }
        let mut found = Vec::new();
        while at < end {
            found.push(DomainTime(at));
            at = at.saturating_add(step);
        }
        found
    }

    fn draw_band(&self, page: &mut String) {
        let mut upper = Path::default();
        let mut runs: Vec<Band> = Vec::new();
        let mut in_run = false;
        for (index, point) in self.points.iter().enumerate() {
            let Some([low, _, high]) = point.forecast else {
                in_run = false;
                continue;
            };
            if !in_run {
                runs.push(Band::default());
                in_run = true;
            }
            let x = self.middle(index);
            if let Some(Band { highs, lows }) = runs.last_mut() {
                highs.push((x, self.y_of(high)));
                lows.push((x, self.y_of(low)));
            }
        }
        for Band { highs, lows } in runs {
            upper.lift();
            for (x, y) in highs.into_iter().chain(lows.into_iter().rev()) {
                upper.line(x, y);
            }
        }
        put!(page, "<path class=\"band\" d=\"{}\"/>", upper.data());
    }

    /// Fills what Twinscale left unserved.
    fn draw_shortfalls(&self, page: &mut String) {
        let mut data = String::new();
        for (index, point) in self.points.iter().enumerate() {
            let Some(demand) = point.demand.filter(|demand| *demand > point.supply) else {
                continue;
            };
            let (x, until) = (self.x.at(index as f64), self.x.at(index as f64 + 1.0));
            let (top, bottom) = (self.y_of(demand), self.y_of(point.supply));
            put!(&mut data, "M{x:.1} {top:.1}H{until:.1}V{bottom:.1}H{x:.1}Z");
        }
        put!(page, "<path class=\"short\" d=\"{data}\"/>");
    }

    fn draw_supplies(&self, page: &mut String) {
        let mut reactive = Path::default();
        let mut own = Path::default();
        for (index, point) in self.points.iter().enumerate() {
            let (x, until) = (self.x.at(index as f64), self.x.at(index as f64 + 1.0));
            reactive.step(x, until, self.y_of(point.supply_reactive));
            own.step(x, until, self.y_of(point.supply));
        }
        put!(
            page,
            "<path class=\"reactive\" d=\"{}\"/><path class=\"own\" d=\"{}\"/>",
            reactive.data(),
            own.data()
        );
    }

    fn draw_demand(&self, page: &mut String) {
        let mut path = Path::default();
        for (index, point) in self.points.iter().enumerate() {
            match point.demand {
                Some(demand) => path.line(self.middle(index), self.y_of(demand)),
                None => path.lift(),
            }
        }
        put!(page, "<path class=\"demand\" d=\"{}\"/>", path.data());
    }

    /// Marks the steps in which each of the two was short, below the time axis.
    fn draw_strips(&self, page: &mut String) {
        let top = self.y.pixel_from;
        for (class, offset, is_own) in [
            ("strip own-short", 6.0, true),
            ("strip reactive-short", 12.0, false),
        ] {
            let mut data = String::new();
            for (index, point) in self.points.iter().enumerate() {
                let supply = if is_own {
                    point.supply
                } else {
                    point.supply_reactive
                };
                if point.demand.is_some_and(|demand| demand > supply) {
                    let (x, until) = (self.x.at(index as f64), self.x.at(index as f64 + 1.0));
                    put!(
                        &mut data,
                        "M{x:.1} {:.1}H{:.1}v5H{x:.1}Z",
                        top + offset,
                        until.max(x + 1.2)
                    );
                }
            }
            put!(page, "<path class=\"{class}\" d=\"{data}\"/>");
        }
    }

    fn draw_events(&self, page: &mut String, customer: &CustomerReport) {
        let mut free_from = f64::NEG_INFINITY;
        for event in &customer.events {
            let (x, until) = (self.x_of(event.start), self.x_of(event.end));
            let visible = until > self.x.pixel_from && x < self.x.pixel_to;
            if !visible {
                continue;
            }
            let x = x.max(self.x.pixel_from);
            let width = (until.min(self.x.pixel_to) - x).max(1.5);
            let class = if event.kind == EventKind::Incident {
                "event incident"
            } else {
                "event"
            };
            let height = self.y.pixel_from - self.y.pixel_to;
            put!(
                page,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
                self.y.pixel_to,
                escaped(&event.name)
            );
            let label: String = event.name.chars().take(LABEL_MAX).collect();
            let length = label.chars().count() as f64 * LABEL_CHARACTER;
            // The unit stands at the left of the same line.
            let begins = x
                .max(self.x.pixel_from + self.unit.chars().count() as f64 * LABEL_CHARACTER + 10.0);
            if begins >= free_from
                && begins + length < self.size.width
                && begins <= x + width.max(40.0)
            {
                put!(
                    page,
                    "<text class=\"label\" x=\"{begins:.1}\" y=\"{:.1}\">{}</text>",
                    self.size.top - 7.0,
                    escaped(&label)
                );
                free_from = begins + length + 8.0;
            }
        }
    }

    fn draw_restarts(&self, page: &mut String, customer: &CustomerReport) {
        for restart in &customer.restarts {
            let x = self.x_of(restart.at);
            if (self.x.pixel_from..=self.x.pixel_to).contains(&x) {
                let (top, bottom) = (self.y.pixel_to, self.y.pixel_from);
                put!(
                    page,
                    "<g class=\"restart\"><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/><circle cx=\"{x:.1}\" cy=\"{top:.1}\" r=\"4\"/><title>{} failed and came back</title></g>",
                    escaped(&restart.actor)
                );
            }
        }
    }

    fn middle(&self, index: usize) -> f64 {
        self.x.at(index as f64 + 0.5)
    }

    fn x_of(&self, at: DomainTime) -> f64 {
        self.x
            .at(at.seconds_since(self.start) as f64 / self.interval as f64)
    }

    fn y_of(&self, value: FixedValue) -> f64 {
        self.y.at(value.units()).max(self.y.pixel_to)
    }
}

/// Joins neighbouring points: what matters is the most that was wanted and the least that served.
fn thinned(points: &[TierPoint]) -> TierPoint {
    let forecasts = || points.iter().filter_map(|point| point.forecast);
    let low = forecasts().map(|[low, _, _]| low).min();
    let median = forecasts().map(|[_, median, _]| median).max();
    let high = forecasts().map(|[_, _, high]| high).max();
    TierPoint {
        demand: points.iter().filter_map(|point| point.demand).max(),
        forecast: low
            .zip(median)
            .zip(high)
            .map(|((low, median), high)| [low, median, high]),
        supply: points
            .iter()
            .map(|point| point.supply)
            .min()
            .unwrap_or_default(),
        supply_reactive: points
            .iter()
            .map(|point| point.supply_reactive)
            .min()
            .unwrap_or_default(),
    }
}

/// The top of the plot: everything that happened, and the forecast's range as far as it stays in sight.
fn highest(points: &[TierPoint]) -> f64 {
    let happened = points
        .iter()
        .flat_map(|point| {
            [
                point.demand.unwrap_or_default(),
                point.supply,
                point.supply_reactive,
            ]
        })
        .max()
        .unwrap_or_default();
    let forecast = points
        .iter()
        .filter_map(|point| point.forecast.map(|[_, _, high]| high))
        .max()
        .unwrap_or_default();
    let happened = happened.units();
    forecast.units().min(happened * 1.25).max(happened).max(1.0)
}

/// Writes a value with four significant digits at most, for the tooltip.
fn short(value: FixedValue) -> String {
    let units = value.units();
    let text = if units >= 100.0 {
        format!("{units:.0}")
    } else {
        format!("{units:.2}")
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Writes an axis label: thousands and millions by letter.
pub(super) fn compact(value: f64) -> String {
    let (scaled, letter) = match value {
        value if value >= 1e9 => (value / 1e9, "G"),
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e4 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let text = format!("{scaled:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{letter}")
}
