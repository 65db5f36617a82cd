//! A series' patterns as one SVG picture that follows the reader's light or dark preference: the usual week
//! as a heat map, the series taken apart into level, week and rest, and the sentences.

use crate::grid::Grid;
use crate::numeric::mean;
use crate::profile::{WEEK_HOURS, WeekProfile};
use crate::report::Report;
use crate::slots::Slots;
use crate::text::{date, number, percent, sentences};
use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 28.0;
const LABEL: f64 = 64.0;
const CELL_WIDTH: f64 = 35.0;
const CELL_HEIGHT: f64 = 17.0;
const STRIP_HEIGHT: f64 = 62.0;
const STRIP_GAP: f64 = 24.0;
const LINE_STEP: f64 = 18.0;

/// Most points of a line: more than pixels.
const POINTS_MAX: usize = 800;

/// Most sentences, the first.
const SENTENCES_MAX: usize = 14;

/// Characters of a line that fit.
const LINE_CHARS: usize = 135;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const STYLE: &str = ":root{color-scheme:light dark}\
.back{fill:#fcfbf9}.name{fill:#1b1f24;font-weight:600;font-size:15px}.text{fill:#57606a;font-size:12px}\
.small{fill:#57606a;font-size:11px}.none{fill:#eaeef2}.heat{fill:#0b7a6f}.axis{stroke:#e4e1da;stroke-width:1}\
.line{fill:none;stroke:#1b1f24;stroke-width:1.15;stroke-linejoin:round}.own{stroke:#0b7a6f;stroke-width:1.6}\
.step{stroke:#d43a3a;stroke-width:1.2;stroke-dasharray:3 3}\
@media (prefers-color-scheme:dark){.back{fill:#0d1117}.name{fill:#e6edf3}.text{fill:#9198a1}.small{fill:#9198a1}\
.none{fill:#21262d}.heat{fill:#38c7b4}.axis{stroke:#2a313b}.line{stroke:#e8ebef}.own{stroke:#38c7b4}\
.step{stroke:#ff6b61}}";

/// Draws the patterns of a series under a title; the same series gives the same bytes.
pub fn svg(title: &str, grid: &Grid, report: &Report) -> String {
    let slots = Slots::of(grid);
    let week = WeekProfile::of_slots(&slots);
    let heat_y = 84.0;
    let strips_y = heat_y + 7.0 * CELL_HEIGHT + 46.0;
    let strips = strips(&slots, &week, grid.scale());
    let text_y = strips_y + strips.len() as f64 * (STRIP_HEIGHT + STRIP_GAP) + 6.0;
    let lines: Vec<String> = sentences(report)
        .iter()
        .take(SENTENCES_MAX)
        .flat_map(|sentence| wrapped(sentence))
        .collect();
    let height = text_y + lines.len() as f64 * LINE_STEP + 14.0;
    let mut page = String::new();
    let name = escaped(title);
    put(
        &mut page,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif\" role=\"img\"><title>Patterns of {name}</title><style>{STYLE}</style><rect class=\"back\" width=\"100%\" height=\"100%\" rx=\"10\"/>"
        ),
    );
    put(
        &mut page,
        format_args!(
            "<text class=\"name\" x=\"{MARGIN}\" y=\"34\">{name}</text><text class=\"text\" x=\"{MARGIN}\" y=\"54\">{} to {}, level {}, {} missing; usual week, UTC:</text>",
            date(report.span.start_s),
            date(report.span.end_s - 1),
            number(report.level),
            percent(report.span.missing_share),
        ),
    );
    heat_map(&mut page, &week, heat_y);
    let mut y = strips_y;
    for strip in &strips {
        draw_strip(&mut page, strip, y);
        y += STRIP_HEIGHT + STRIP_GAP;
    }
    draw_steps(&mut page, report, &slots, strips_y);
    for (at, line) in lines.iter().enumerate() {
        put(
            &mut page,
            format_args!(
                "<text class=\"text\" x=\"{MARGIN}\" y=\"{:.0}\">{}</text>",
                text_y + LINE_STEP * (at as f64 + 0.6),
                escaped(line)
            ),
        );
    }
    page.push_str("</svg>\n");
    page
}

fn heat_map(page: &mut String, week: &WeekProfile, top: f64) {
    let high = (0..WEEK_HOURS)
        .filter_map(|hour| week.middle(hour))
        .fold(0.0, f64::max);
    for hour in (0..24).step_by(3) {
        put(
            page,
            format_args!(
                "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{hour:02}</text>",
                MARGIN + LABEL + f64::from(hour) * CELL_WIDTH + 2.0,
                top - 5.0
            ),
        );
    }
    for (day, name) in DAYS.iter().enumerate() {
        let y = top + day as f64 * CELL_HEIGHT;
        put(
            page,
            format_args!(
                "<text class=\"small\" x=\"{MARGIN}\" y=\"{:.1}\">{name}</text>",
                y + 12.5
            ),
        );
        for hour in 0..24 {
            let x = MARGIN + LABEL + hour as f64 * CELL_WIDTH;
            let size = format!(
                "x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"",
                CELL_WIDTH - 1.5,
                CELL_HEIGHT - 1.5
            );
            put(page, format_args!("<rect class=\"none\" {size}/>"));
            if let Some(value) = week.middle(day * 24 + hour)
                && high > 0.0
            {
                let shade = value / high;
                let level = percent(value);
                put(
                    page,
                    format_args!(
                        "<rect class=\"heat\" {size} fill-opacity=\"{shade:.2}\"><title>{name} {hour:02}:00: {level} of the level</title></rect>"
                    ),
                );
            }
        }
    }
}

/// A line over the days of the series.
struct Strip {
    name: &'static str,
    class: &'static str,
    values: Vec<Option<f64>>,
}

fn strips(slots: &Slots, week: &WeekProfile, scale: f64) -> Vec<Strip> {
    let stride = slots.days().div_ceil(POINTS_MAX).max(1);
    let usual = |day: usize| -> Option<f64> {
        let from = slots.weekday(day) * 24;
        let cells: Option<Vec<f64>> = (from..from + 24).map(|hour| week.middle(hour)).collect();
        cells.map(|cells| mean(&cells))
    };
    let line = |value: &dyn Fn(usize) -> Option<f64>| -> Vec<Option<f64>> {
        (0..slots.days())
            .step_by(stride)
            .map(|from| {
                let to = (from + stride).min(slots.days());
                let seen: Vec<f64> = (from..to).filter_map(value).collect();
                (!seen.is_empty()).then(|| mean(&seen))
            })
            .collect()
    };
    vec![
        Strip {
            name: "by day",
            class: "line",
            values: line(&|day| Some(slots.day_means[day]? * scale)),
        },
        Strip {
            name: "level",
            class: "line own",
            values: line(&|day| Some(slots.levels.get(day)? * scale)),
        },
        Strip {
            name: "week",
            class: "line",
            values: line(&|day| Some(usual(day)? * slots.level(day)? * scale)),
        },
        Strip {
            name: "rest",
            class: "line",
            values: line(&|day| {
                Some((slots.day_means[day]? - usual(day)? * slots.level(day)?) * scale)
            }),
        },
    ]
}

/// Where a day lies, from left to right.
fn day_x(at: f64, count: f64) -> f64 {
    MARGIN + LABEL + at / (count - 1.0).max(1.0) * (WIDTH - 2.0 * MARGIN - LABEL)
}

fn draw_strip(page: &mut String, strip: &Strip, top: f64) {
    let seen = strip.values.iter().flatten().copied();
    let high = seen.clone().fold(0.0, f64::max);
    let low = seen.fold(0.0, f64::min);
    let range = if high > low { high - low } else { 1.0 };
    let y = |value: f64| top + STRIP_HEIGHT * (high - value) / range;
    put(
        page,
        format_args!(
            "<text class=\"small\" x=\"{MARGIN}\" y=\"{:.1}\">{}</text><text class=\"small\" x=\"{MARGIN}\" y=\"{:.1}\">{}</text><path class=\"axis\" d=\"M{:.1} {:.1}H{:.1}\"/>",
            top + 10.0,
            strip.name,
            top + 26.0,
            number(high),
            MARGIN + LABEL,
            y(0.0),
            WIDTH - MARGIN,
        ),
    );
    let mut way = String::new();
    let mut is_open = false;
    let count = strip.values.len() as f64;
    for (at, value) in strip.values.iter().enumerate() {
        let Some(value) = *value else {
            is_open = false;
            continue;
        };
        let letter = if is_open { 'L' } else { 'M' };
        let x = day_x(at as f64, count);
        put(&mut way, format_args!("{letter}{x:.1} {:.1}", y(value)));
        is_open = true;
    }
    put(
        page,
        format_args!("<path class=\"{}\" d=\"{way}\"/>", strip.class),
    );
}

/// Marks steps of the level over the strips of days and level.
fn draw_steps(page: &mut String, report: &Report, slots: &Slots, top: f64) {
    for pattern in report.of_kind("step") {
        for at_s in &pattern.evidence.examples_s {
            let day = (at_s - slots.day_s(0)) as f64 / 86_400.0;
            put(
                page,
                format_args!(
                    "<path class=\"step\" d=\"M{:.1} {top:.1}v{:.1}\"/>",
                    day_x(day, slots.days() as f64),
                    2.0 * STRIP_HEIGHT + STRIP_GAP
                ),
            );
        }
    }
}

/// Breaks a sentence between words into lines that fit.
fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.split(' ') {
        let is_full = lines.last().is_some_and(|line| {
            !line.is_empty() && line.chars().count() + 1 + word.chars().count() > LINE_CHARS
        });
        if is_full {
            lines.push("\u{2003}".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() && !is_full {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok(), "a String takes all text");
}
