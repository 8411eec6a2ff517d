//! Horizontal bars, so that names can be read, in one panel per category or per line.

use super::{
    frame::{self, LEADING, Size, px},
    palette::{self, Look},
    ruler::Ruler,
};
use crate::document::{Plot, Point, Scale};
use maud::{Markup, html};

/// From one bar to the next.
const PITCH: f64 = 19.0;
const THICKNESS: f64 = 11.0;
/// Between two panels.
const GUTTER: f64 = 22.0;
/// Between a bar and its texts.
const GAP: f64 = 7.0;

/// Bars that are compared with each other.
struct Panel<'a> {
    title: &'a str,
    bars: Vec<(&'a str, Look, Option<&'a Point>)>,
}

/// Draws bars; none if there is nothing to draw.
pub(super) fn draw(plot: &Plot, size: Size) -> Option<Markup> {
    let panels = panels(plot);
    let columns = frame::columns(panels.len(), size.columns);
    let ruler = Ruler::new(&plot.y, &super::heights(plot), 5, false)?;
    let names = frame::widest_name(panels.iter().flat_map(|panel| &panel.bars).map(|(name, ..)| *name)) + GAP;
    let points = plot.lines.iter().flat_map(|line| &line.points);
    let values: Vec<String> = points.map(|point| plot.y.unit.show(point.y)).collect();
    let figures = GAP + frame::widest(values.iter().map(String::as_str));
    let width = (size.width - names - (columns - 1) as f64 * GUTTER) / columns as f64;

    let rows = panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0);
    let height = LEADING + rows as f64 * PITCH + GUTTER;
    let content = html! {
        (frame::top_label(&plot.y.label))
        @for (at, panel) in panels.iter().enumerate() {
            @let (row, column) = (at / columns, at % columns);
            @let left = names + column as f64 * (width + GUTTER);
            @let top = frame::ABOVE + LEADING + row as f64 * height;
            @let ruler = ruler.clone().between(left, left + width - figures);
            text.panel x=(px(left)) y=(px(top - 9.0)) { (panel.title) }
            path.axis d=(format!("M{left:.1} {top:.1}v{:.1}", panel.bars.len() as f64 * PITCH)) {}
            @for (at, &(name, look, point)) in panel.bars.iter().enumerate() {
                @let middle = top + (at as f64 + 0.5) * PITCH;
                g class=(format!("series {}", look.classes())) {
                    @if column == 0 {
                        text.name x=(px(left - GAP)) y=(px(middle + 4.5)) text-anchor="end" { (name) }
                    }
                    @if let Some(point) = point { (bar(plot, &ruler, point, middle, name)) }
                }
            }
        }
    };
    let bottom = frame::ABOVE + panels.len().div_ceil(columns) as f64 * height;
    Some(frame::picture(size, bottom, &plot.title, &content))
}

fn bar(plot: &Plot, ruler: &Ruler, point: &Point, middle: f64, name: &str) -> Markup {
    let value = plot.y.unit.show(point.y);
    let zero = ruler.place(0.0).unwrap_or(ruler.start());
    let end = ruler.place(point.y).unwrap_or(zero);
    let whisker = point.low.zip(point.high).and_then(|(low, high)| Some((ruler.place(low)?, ruler.place(high)?)));
    let free = whisker.map_or(end.max(zero), |(_, high)| high.max(end).max(zero)) + GAP;
    html! {
        rect.bar x=(px(zero.min(end))) y=(px(middle - THICKNESS / 2.0)) width=(px((end - zero).abs())) height=(THICKNESS) {
            title { (name) ": " (value) }
        }
        @if let Some((low, high)) = whisker {
            @let tip = middle - 3.0;
            path.whisker d=(format!("M{low:.1} {middle:.1}H{high:.1}M{low:.1} {tip:.1}v6M{high:.1} {tip:.1}v6")) {}
        }
        text.figure x=(px(free)) y=(px(middle + 4.5)) { (value) }
    }
}

/// One panel per category with a bar per line, or the other way round if that makes fewer panels.
fn panels(plot: &Plot) -> Vec<Panel<'_>> {
    let Scale::Category(categories) = &plot.x.scale else { return Vec::new() };
    let point = |line: usize, category: usize| {
        plot.lines[line].points.iter().find(|point| (point.x - category as f64).abs() < 0.5)
    };
    let lines: Vec<&str> = plot.lines.iter().map(|line| line.name.as_str()).collect();
    let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
    let by_category = categories.len() <= lines.len();
    let (titles, names) = if by_category { (categories, lines) } else { (lines, categories) };
    let looks = palette::looks(names.iter().copied());
    let bars = |at| {
        let point = |bar| if by_category { point(bar, at) } else { point(at, bar) };
        names.iter().zip(&looks).enumerate().map(|(bar, (&name, &look))| (name, look, point(bar))).collect()
    };
    titles.into_iter().enumerate().map(|(at, title)| Panel { title, bars: bars(at) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Axis, Line, PlotKind, Unit};

    fn plot(lines: usize, categories: usize) -> Plot {
        let points = || (0..categories).map(|i| Point::new(i as f64, 1.0 + i as f64)).collect();
        let names = (0..categories).map(|i| format!("category {i}")).collect();
        Plot {
            title: String::new(),
            x: Axis::new("", Scale::Category(names), Unit::Plain),
            y: Axis::new("", Scale::Linear, Unit::Bytes),
            kind: PlotKind::Bars,
            lines: (0..lines).map(|i| Line { name: format!("line {i}"), points: points() }).collect(),
        }
    }

    #[test]
    fn there_are_few_panels_with_many_bars() {
        for (lines, categories) in [(5, 2), (2, 5)] {
            let plot = plot(lines, categories);
            let panels = panels(&plot);
            assert_eq!((panels.len(), panels[0].bars.len()), (2, 5));
        }
        let plot = plot(1, 3);
        let panel = &panels(&plot)[0];
        assert_eq!((panel.title, panel.bars[2].0, panel.bars[2].2.unwrap().y), ("line 0", "category 2", 3.0));
    }

    #[test]
    fn a_bar_that_was_not_measured_is_left_out() {
        let mut plot = plot(3, 2);
        plot.lines[1].points.remove(0);
        assert!(panels(&plot)[0].bars[1].2.is_none());
    }
}
