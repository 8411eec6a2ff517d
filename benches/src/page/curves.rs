//! Lines and stairs, with their names beside them where there is room.

use super::{
    frame::{self, Frame, LEADING, Size, px},
    palette::{self, Look},
    ruler::Ruler,
};
use crate::document::{Line, Plot, PlotKind, Point, Unit};
use maud::{Markup, html};

/// The widest names that are written beside lines; wider ones are written below the picture.
const WIDEST_NAME: f64 = 230.0;
/// Between the end of a line and its name.
const LEADER: f64 = 22.0;
/// Lines with more points than this have no mark at each.
const MOST_MARKS: usize = 40;
/// With more lines than this, only the spread of ours and of the line under the pointer are shown.
const MOST_BANDS: usize = 4;

/// Draws lines or stairs; none if there is nothing to draw.
pub(super) fn draw(plot: &Plot, size: Size) -> Option<Markup> {
    let names = || plot.lines.iter().map(|line| line.name.as_str());
    let widest = frame::widest_name(names());
    let is_beside = size.columns > 1 && widest <= WIDEST_NAME && plot.lines.len() as f64 * LEADING <= size.height;

    let y = Ruler::new(&plot.y, &super::heights(plot), (size.height / 45.0) as usize, true)?;
    let left = frame::room_for(&y.marks());
    let right = size.width - if is_beside { LEADER + widest } else { frame::BESIDE };
    let area = Frame { left, top: frame::ABOVE, right, bottom: frame::ABOVE + size.height };
    let y = y.between(area.bottom, area.top);
    let xs: Vec<f64> = plot.lines.iter().flat_map(|line| &line.points).map(|point| point.x).collect();
    let x = Ruler::new(&plot.x, &xs, ((right - left) / 70.0) as usize, false)?.between(left, right);

    let axes = Axes { x, y, units: (plot.x.unit, plot.y.unit), kind: plot.kind };
    let mut series: Vec<Series> =
        plot.lines.iter().zip(palette::looks(names())).map(|(line, look)| axes.series(line, look)).collect();
    // What is drawn last is on top.
    series.sort_by_key(|series| series.look.is_ours());
    let below = area.bottom + frame::BELOW + LEADING;
    let (places, bottom) = if is_beside {
        (beside(&series, area), below - LEADING)
    } else {
        let (places, rows) = in_rows(&series, size.width, below);
        (places, below + rows as f64 * LEADING)
    };
    let content = html! {
        (frame::top_label(&plot.y.label))
        (frame::vertical_axis(area, &axes.y, true))
        (frame::horizontal_axis(area, &axes.x, Some(&plot.x.label)))
        g class=(if series.len() > MOST_BANDS { "many" } else { "few" }) {
            @for (series, (x, y)) in series.iter().zip(places) {
                (series.markup(x, y, is_beside))
            }
        }
    };
    Some(frame::picture(size, bottom, &plot.title, &content))
}

struct Axes<'a> {
    x: Ruler<'a>,
    y: Ruler<'a>,
    units: (Unit, Unit),
    kind: PlotKind,
}

/// A line in the picture.
struct Series<'a> {
    name: &'a str,
    look: Look,
    path: String,
    band: Option<String>,
    /// Its points and what is shown when the pointer is over them.
    marks: Vec<(f64, f64, String)>,
    end: Option<(f64, f64)>,
}

impl Axes<'_> {
    fn series<'a>(&self, line: &'a Line, look: Look) -> Series<'a> {
        let points: Vec<(f64, f64, &Point)> = line
            .points
            .iter()
            .filter_map(|point| Some((self.x.place(point.x)?, self.y.place(point.y)?, point)))
            .collect();
        let has_marks = self.kind == PlotKind::Lines && points.len() <= MOST_MARKS;
        let marks = if has_marks { &points[..] } else { &[] };
        Series {
            name: &line.name,
            look,
            path: match self.kind {
                PlotKind::Steps => frame::steps(points.iter().map(|&(x, y, _)| (x, y))),
                _ => frame::polyline(points.iter().map(|&(x, y, _)| (x, y))),
            },
            band: self.band(&line.points),
            marks: marks.iter().map(|&(x, y, point)| (x, y, self.describe(&line.name, point))).collect(),
            end: points.last().map(|&(x, y, _)| (x, y)),
        }
    }

    /// The area between the ends of the spreads, if they are known.
    fn band(&self, points: &[Point]) -> Option<String> {
        let edge = |of: fn(&Point) -> Option<f64>| -> Option<Vec<(f64, f64)>> {
            points.iter().map(|point| Some((self.x.place(point.x)?, self.y.place(of(point)?)?))).collect()
        };
        let (low, high) = (edge(|point| point.low)?, edge(|point| point.high)?);
        let outline = frame::polyline(high.into_iter().chain(low.into_iter().rev()));
        (self.kind == PlotKind::Lines && points.len() > 1).then(|| outline + "Z")
    }

    fn describe(&self, name: &str, point: &Point) -> String {
        let (x, y) = (self.units.0.show(point.x), self.units.1.show(point.y));
        match (point.low, point.high) {
            (Some(low), Some(high)) => {
                format!("{name}, {x}: {y} ({} .. {})", self.units.1.show(low), self.units.1.show(high))
            }
            _ => format!("{name}, {x}: {y}"),
        }
    }
}

impl Series<'_> {
    /// The line with its name at a place.
    fn markup(&self, x: f64, y: f64, is_beside: bool) -> Markup {
        let leader = match self.end {
            Some((end_x, end_y)) if is_beside => format!("M{:.1} {end_y:.1}L{:.1} {y:.1}", end_x + 4.0, x - 4.0),
            _ => String::new(),
        };
        html! {
            g class=(format!("series {}", self.look.classes())) {
                title { (self.name) }
                @if let Some(band) = &self.band { path.band d=(band) {} }
                path.line d=(self.path) {}
                @for (x, y, description) in &self.marks {
                    circle class=(if self.look.is_solid() { "dot" } else { "ring" }) cx=(px(*x)) cy=(px(*y)) r="3.2" {
                        title { (description) }
                    }
                }
                @if is_beside {
                    path.leader d=(leader) {}
                } @else {
                    path.line d=(format!("M{:.1} {:.1}h18", x - LEADER, y)) {}
                }
                text.name x=(px(x)) y=(px(y + 4.5)) { (self.name) }
            }
        }
    }
}

/// Places for names, right of where their lines end.
fn beside(series: &[Series], area: Frame) -> Vec<(f64, f64)> {
    let wanted: Vec<f64> = series.iter().map(|series| series.end.map_or(area.bottom, |(_, y)| y)).collect();
    let places = frame::apart(&wanted, LEADING, area.top, area.bottom);
    places.into_iter().map(|y| (area.right + LEADER, y)).collect()
}

/// Places for names in rows below the picture, and the number of rows.
fn in_rows(series: &[Series], width: f64, top: f64) -> (Vec<(f64, f64)>, usize) {
    let column = LEADER + frame::widest_name(series.iter().map(|series| series.name)) + 12.0;
    let columns = ((width / column) as usize).max(1);
    let rows = series.len().div_ceil(columns);
    let place = |at: usize| ((at / rows) as f64 * column + LEADER, top + (at % rows) as f64 * LEADING);
    // Ours is drawn last, but named first.
    let ours = series.iter().filter(|series| series.look.is_ours()).count();
    ((0..series.len()).map(|at| place((at + ours) % series.len())).collect(), rows)
}
