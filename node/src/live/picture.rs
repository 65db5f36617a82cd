//! A drawn view as SVG, for a README: lines, shades and dots as shapes, so that no font can tear them.

use crate::report::Theme;
use crate::report::svg::{escaped, put};
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier, Style};

const CELL_WIDTH: f64 = 8.4;

const CELL_HEIGHT: f64 = 18.0;

const MARGIN: f64 = 14.0;

/// Text and background of a theme, and what stands for the palette's colours.
struct Paint {
    ink: &'static str,
    soft: &'static str,
    back: &'static str,
    green: &'static str,
    blue: &'static str,
    orange: &'static str,
    vermilion: &'static str,
}

const LIGHT: Paint = Paint {
    ink: "#1b1f24",
    soft: "#6a7380",
    back: "#fcfbf9",
    green: "#007a5a",
    blue: "#2c7fb8",
    orange: "#a86a00",
    vermilion: "#c2410c",
};

const DARK: Paint = Paint {
    ink: "#e8ebef",
    soft: "#8b95a3",
    back: "#11151a",
    green: "#2fc7a0",
    blue: "#5fb4e5",
    orange: "#e6a23c",
    vermilion: "#ff7a4d",
};

/// Draws a terminal's cells as SVG.
pub fn picture_svg(buffer: &Buffer, theme: Theme) -> String {
    let paint = match theme {
        Theme::Light => &LIGHT,
        Theme::Dark => &DARK,
    };
    let area = buffer.area;
    let width = f64::from(area.width) * CELL_WIDTH + 2.0 * MARGIN;
    let height = f64::from(area.height) * CELL_HEIGHT + 2.0 * MARGIN;
    let mut page = String::new();
    put!(
        &mut page,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"13.5\"><rect width=\"100%\" height=\"100%\" rx=\"10\" fill=\"{}\"/>",
        paint.back
    );
    for y in 0..area.height {
        draw_row(&mut page, buffer, y, paint);
    }
    page.push_str("</svg>\n");
    page
}

fn draw_row(page: &mut String, buffer: &Buffer, y: u16, paint: &Paint) {
    let mut run = Run::default();
    for x in 0..buffer.area.width {
        let Some(cell) = buffer.cell((x, y)) else {
            continue;
        };
        let style = cell.style();
        if has(style, Modifier::REVERSED) {
            let (left, top) = corner(x, y);
            // Half a pixel wider, so that no gap shows between neighbours.
            put!(
                page,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{CELL_HEIGHT}\" fill=\"{}\"/>",
                CELL_WIDTH + 0.5,
                paint.ink
            );
        }
        if draw_shape(page, cell, corner(x, y), paint) || cell.symbol().trim().is_empty() {
            run.end(page, y, paint);
        } else {
            run.add(page, (x, y), cell, paint);
        }
    }
    run.end(page, y, paint);
}

fn corner(x: u16, y: u16) -> (f64, f64) {
    (
        MARGIN + f64::from(x) * CELL_WIDTH,
        MARGIN + f64::from(y) * CELL_HEIGHT,
    )
}

/// Neighbouring letters of one style.
#[derive(Default)]
struct Run {
    from: u16,
    cells: u16,
    text: String,
    style: Style,
}

impl Run {
    fn add(&mut self, page: &mut String, (x, y): (u16, u16), cell: &Cell, paint: &Paint) {
        if self.cells > 0 && self.style != cell.style() {
            self.end(page, y, paint);
        }
        if self.cells == 0 {
            self.from = x;
            self.style = cell.style();
        }
        self.cells += 1;
        self.text.push_str(cell.symbol());
    }

    fn end(&mut self, page: &mut String, y: u16, paint: &Paint) {
        if self.cells > 0 {
            let (left, top) = corner(self.from, y);
            let is_bold = has(self.style, Modifier::BOLD);
            put!(
                page,
                "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" fill=\"{}\"{}>{}</text>",
                top + 13.5,
                f64::from(self.cells) * CELL_WIDTH,
                fill(self.style, paint),
                if is_bold { " font-weight=\"700\"" } else { "" },
                escaped(&self.text)
            );
        }
        *self = Self::default();
    }
}

fn has(style: Style, modifier: Modifier) -> bool {
    style.add_modifier.contains(modifier)
}

fn fill(style: Style, paint: &Paint) -> &'static str {
    if has(style, Modifier::REVERSED) {
        return paint.back;
    }
    match style.fg {
        Some(Color::Indexed(36)) => paint.green,
        Some(Color::Indexed(74)) => paint.blue,
        Some(Color::Indexed(214)) => paint.orange,
        Some(Color::Indexed(166)) => paint.vermilion,
        _ if has(style, Modifier::DIM) => paint.soft,
        _ => paint.ink,
    }
}

/// Draws what is no letter: lines, shades, dots. Says whether it was one.
fn draw_shape(page: &mut String, cell: &Cell, (left, top): (f64, f64), paint: &Paint) -> bool {
    let Some(sign) = cell.symbol().chars().next() else {
        return false;
    };
    let colour = fill(cell.style(), paint);
    if let Some(dots) = u32::from(sign)
        .checked_sub(0x2800)
        .filter(|dots| *dots < 256)
    {
        draw_dots(page, dots, (left, top), colour);
        return true;
    }
    if let Some((ways, is_thick)) = ways_of(sign) {
        draw_ways(page, ways, is_thick, (left, top), colour);
        return true;
    }
    let (share, height, opacity) = match sign {
        '░' => (0.0, 1.0, 0.28),
        '▒' => (0.0, 1.0, 0.6),
        '▁' => (0.86, 0.12, 1.0),
        '▔' => (0.02, 0.12, 1.0),
        _ => return false,
    };
    put!(
        page,
        "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{CELL_WIDTH}\" height=\"{:.1}\" fill=\"{colour}\" opacity=\"{opacity}\"/>",
        top + share * CELL_HEIGHT,
        height * CELL_HEIGHT
    );
    true
}

/// Draws the dots of a Braille sign; bit and place are Unicode's.
fn draw_dots(page: &mut String, dots: u32, (left, top): (f64, f64), colour: &str) {
    let places = [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
        (0, 3),
        (1, 3),
    ];
    for (bit, (column, row)) in places.into_iter().enumerate() {
        if dots >> bit & 1 == 1 {
            put!(
                page,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"1.5\" fill=\"{colour}\"/>",
                left + CELL_WIDTH * (0.27 + 0.46 * f64::from(column)),
                top + CELL_HEIGHT * (0.14 + 0.24 * f64::from(row))
            );
        }
    }
}

/// The ways from the middle of a frame's sign: left, right, up, down; and whether it is thick.
fn ways_of(sign: char) -> Option<([bool; 4], bool)> {
    let ways = match sign {
        '─' | '━' => [true, true, false, false],
        '│' | '┃' => [false, false, true, true],
        '┌' | '┏' => [false, true, false, true],
        '┐' | '┓' => [true, false, false, true],
        '└' | '┗' => [false, true, true, false],
        '┘' | '┛' => [true, false, true, false],
        _ => return None,
    };
    Some((ways, "━┃┏┓┗┛".contains(sign)))
}

fn draw_ways(
    page: &mut String,
    ways: [bool; 4],
    is_thick: bool,
    (left, top): (f64, f64),
    colour: &str,
) {
    let (x, y) = (left + CELL_WIDTH / 2.0, top + CELL_HEIGHT / 2.0);
    let ends = [
        (left, y),
        (left + CELL_WIDTH, y),
        (x, top),
        (x, top + CELL_HEIGHT),
    ];
    let mut path = String::new();
    for (_, (end_x, end_y)) in ways.into_iter().zip(ends).filter(|(is_drawn, _)| *is_drawn) {
        put!(&mut path, "M{x:.1} {y:.1}L{end_x:.1} {end_y:.1}");
    }
    let width = if is_thick { 2.2 } else { 1.2 };
    put!(
        page,
        "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linecap=\"square\"/>"
    );
}
