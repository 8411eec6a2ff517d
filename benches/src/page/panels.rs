//! Thousands of points or steps, each line's in a panel of its own, so that none hides another's.

use super::{
    frame::{self, Frame, LEADING, Size, px},
    palette::{self, Look},
    ruler::Ruler,
};
use crate::document::{Line, Plot, PlotKind};
use maud::{Markup, html};
use std::{collections::HashSet, fmt::Write};

/// Between two panels.
const GUTTER: f64 = 26.0;
/// The height of a panel among several.
const PANEL: f64 = 190.0;
/// Points are drawn once per cell of a grid this wide, in pixels, which is less than their own width.
const CELL: f64 = 0.7;

/// Fewer points than this are drawn larger.
const FEW: usize = 500;
/// Lines with more points than this hide each other.
const MOST_OVERLAID: usize = 100;

/// Whether the lines of a plot are better not drawn over each other.
pub(super) fn suits(plot: &Plot) -> bool {
    let is_dense = || plot.lines.len() > 1 && plot.lines.iter().any(|line| line.points.len() > MOST_OVERLAID);
    plot.kind == PlotKind::Points || plot.kind == PlotKind::Steps && is_dense()
}

/// Draws points or steps; none if there is nothing to draw.
pub(super) fn draw(plot: &Plot, size: Size) -> Option<Markup> {
    let columns = frame::columns(plot.lines.len(), size.columns);
    let height = if plot.lines.len() == 1 { size.height } else { PANEL };
    let y = Ruler::new(&plot.y, &super::heights(plot), (height / 32.0) as usize, true)?;
    let left = frame::room_for(&y.marks());
    let width = (size.width - left - frame::BESIDE - (columns - 1) as f64 * GUTTER) / columns as f64;
    let xs: Vec<f64> = plot.lines.iter().flat_map(|line| &line.points).map(|point| point.x).collect();
    let x = Ruler::new(&plot.x, &xs, (width / 70.0) as usize, false)?;

    let pitch = height + frame::BELOW + LEADING;
    let area = |at: usize| {
        let (row, column) = (at / columns, at % columns);
        let left = left + column as f64 * (width + GUTTER);
        let top = frame::ABOVE + LEADING + row as f64 * pitch;
        Frame { left, top, right: left + width, bottom: top + height }
    };
    let looks = palette::looks(plot.lines.iter().map(|line| line.name.as_str()));
    let content = html! {
        (frame::top_label(&plot.y.label))
        @for (at, (line, look)) in plot.lines.iter().zip(looks).enumerate() {
            @let (area, is_first) = (area(at), at % columns == 0);
            @let is_last = at + columns >= plot.lines.len();
            @let x = x.clone().between(area.left, area.right);
            @let y = y.clone().between(area.bottom, area.top);
            (frame::vertical_axis(area, &y, is_first))
            (frame::horizontal_axis(area, &x, is_last.then_some(plot.x.label.as_str())))
            (panel(line, look, area, plot, (&x, &y)))
        }
    };
    let bottom = frame::ABOVE + plot.lines.len().div_ceil(columns) as f64 * pitch;
    Some(frame::picture(size, bottom, &plot.title, &content))
}

fn panel(line: &Line, look: Look, area: Frame, plot: &Plot, (x, y): (&Ruler, &Ruler)) -> Markup {
    let highest = line.points.iter().map(|point| point.y).filter(|y| y.is_finite()).fold(f64::NAN, f64::max);
    html! {
        g class=(format!("series {}", look.classes())) {
            text.name x=(px(area.left)) y=(px(area.top - 8.0)) { (line.name) }
            @if plot.kind == PlotKind::Points {
                path.points.few[line.points.len() < FEW] d=(dots(line, x, y)) {}
            } @else {
                path.steps d=(frame::steps(line.points.iter().filter_map(|point| Some((x.place(point.x)?, y.place(point.y)?))))) {}
            }
        }
        @if highest.is_finite() {
            text.mark x=(px(area.right)) y=(px(area.top - 8.0)) text-anchor="end" {
                "highest " (plot.y.unit.show(highest))
            }
        }
    }
}

/// A path of dots, without those that would be drawn over others.
fn dots(line: &Line, x: &Ruler, y: &Ruler) -> String {
    let mut drawn = HashSet::new();
    let mut path = String::new();
    for point in &line.points {
        let (Some(x), Some(y)) = (x.place(point.x), y.place(point.y)) else { continue };
        if drawn.insert(((x / CELL) as i32, (y / CELL) as i32)) {
            write!(path, "M{x:.1} {y:.1}h0").expect("a string takes everything");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Axis, Point, Scale, Unit};

    #[test]
    fn no_stall_is_lost_among_many_points() {
        let axis = Axis::new("", Scale::Linear, Unit::Nanoseconds);
        let mut points: Vec<Point> = (0..10_000).map(|i| Point::new(f64::from(i), 100.0)).collect();
        points.push(Point::new(5000.0, 1e6));
        let line = Line { name: "map".into(), points };
        let x = Ruler::new(&axis, &[0.0, 10_000.0], 5, false).unwrap().between(0.0, 300.0);
        let y = Ruler::new(&axis, &[0.0, 1e6], 5, true).unwrap().between(200.0, 0.0);
        let path = dots(&line, &x, &y);
        let dots = path.matches('M').count();
        assert!((400..500).contains(&dots), "{dots} dots");
        assert!(path.contains("M150.0 0.0h0"), "{path}");
    }
}
