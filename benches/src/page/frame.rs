//! What pictures are made of: their sizes, grids, axes and texts.

use super::{
    palette,
    ruler::{Mark, Ruler},
};
use maud::{Markup, html};

/// The height of letters as the style sheet sets it.
const LETTER: f64 = 13.0;
/// The distance between two lines of text.
pub(super) const LEADING: f64 = 17.0;
/// Between a mark's line and its text.
const GAP: f64 = 7.0;
/// Above a frame, for the label of its vertical axis.
pub(super) const ABOVE: f64 = 30.0;
/// Below a frame, for its marks and the label of its horizontal axis.
pub(super) const BELOW: f64 = 44.0;
/// Right of a frame, for half of its last mark's text.
pub(super) const BESIDE: f64 = 26.0;

/// For what width a picture is made. Each is drawn for all of them, and the style sheet shows the one that fits, so that
/// texts stay legible on small screens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) class: &'static str,
    pub(super) width: f64,
    /// Of the area in which lines are drawn.
    pub(super) height: f64,
    /// How many panels are beside each other.
    pub(super) columns: usize,
}

pub(super) const SIZES: [Size; 2] = [
    Size { class: "wide", width: 1100.0, height: 380.0, columns: 3 },
    Size { class: "narrow", width: 400.0, height: 260.0, columns: 1 },
];

/// An area of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// About how wide a text is: fonts differ, so this errs on the wide side.
pub(super) fn width(text: &str) -> f64 {
    0.6 * LETTER * text.chars().count() as f64
}

/// The width of the widest text.
pub(super) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>) -> f64 {
    texts.into_iter().map(width).fold(0.0, f64::max)
}

/// The width of the widest name of a line; our names are bold.
pub(super) fn widest_name<'a>(names: impl IntoIterator<Item = &'a str>) -> f64 {
    let width = |name| if palette::is_ours(name) { 1.12 * width(name) } else { width(name) };
    names.into_iter().map(width).fold(0.0, f64::max)
}

/// The room that the texts left of a vertical axis need.
pub(super) fn room_for(marks: &[Mark]) -> f64 {
    widest(marks.iter().map(|mark| mark.label.as_str())) + GAP
}

/// The whole picture.
pub(super) fn picture(size: Size, height: f64, title: &str, content: &Markup) -> Markup {
    html! {
        svg class=(size.class) viewBox=(format!("0 0 {} {}", size.width, height.ceil())) role="img" aria-label=(title) {
            (content)
        }
    }
}

/// The label of a vertical axis, above everything and beginning at the left edge, since upright text is easier to read.
pub(super) fn top_label(label: &str) -> Markup {
    html! { text class="label" x="0" y=(LETTER) { (label) } }
}

/// Lines and texts of a vertical axis; texts only with `labelled`.
pub(super) fn vertical_axis(frame: Frame, ruler: &Ruler, labelled: bool) -> Markup {
    html! {
        @for Mark { at, label } in ruler.marks() {
            path.grid d=(format!("M{:.1} {at:.1}H{:.1}", frame.left, frame.right)) {}
            @if labelled {
                text.mark x=(px(frame.left - GAP)) y=(px(at + 0.35 * LETTER)) text-anchor="end" { (label) }
            }
        }
    }
}

/// Lines and texts of a horizontal axis.
pub(super) fn horizontal_axis(frame: Frame, ruler: &Ruler, label: Option<&str>) -> Markup {
    let marks = ruler.marks();
    html! {
        path.axis d=(format!("M{:.1} {:.1}H{:.1}", frame.left, frame.bottom, frame.right)) {}
        @for mark in &marks {
            path.tick d=(format!("M{:.1} {:.1}v5", mark.at, frame.bottom)) {}
        }
        @for Mark { at, label } in legible(&marks) {
            text.mark x=(px(*at)) y=(px(frame.bottom + 5.0 + LETTER)) text-anchor="middle" { (label) }
        }
        @if let Some(label) = label {
            text.label x=(px(frame.right)) y=(px(frame.bottom + 24.0 + LETTER)) text-anchor="end" { (label) }
        }
    }
}

/// The marks whose texts do not overlap others'. The last is always among them, since the end of an axis says most.
fn legible(marks: &[Mark]) -> impl Iterator<Item = &Mark> {
    let mut free = f64::INFINITY;
    marks.iter().rev().filter(move |mark| {
        let half = width(&mark.label) / 2.0;
        let fits = mark.at + half <= free;
        if fits {
            free = mark.at - half - GAP;
        }
        fits
    })
}

/// How many of `panels` are beside each other if there is room for `most`, so that rows are about equally long.
pub(super) fn columns(panels: usize, most: usize) -> usize {
    panels.div_ceil(panels.div_ceil(most).max(1)).max(1)
}

/// A coordinate; tenths of a pixel are enough.
pub(super) fn px(coordinate: f64) -> String {
    format!("{coordinate:.1}")
}

/// A path along `points`.
pub(super) fn polyline(points: impl Iterator<Item = (f64, f64)>) -> String {
    let segment = |(at, (x, y)): (usize, (f64, f64))| format!("{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
    points.enumerate().map(segment).collect()
}

/// A path of stairs along `points`.
pub(super) fn steps(points: impl Iterator<Item = (f64, f64)>) -> String {
    let segment = |(at, (x, y)): (usize, (f64, f64))| {
        if at == 0 { format!("M{x:.1} {y:.1}") } else { format!("H{x:.1}V{y:.1}") }
    };
    points.enumerate().map(segment).collect()
}

/// Moves texts apart that want to be at `wanted`, at least `gap` from each other and within `from` and `to`, which must
/// have room for all.
pub(super) fn apart(wanted: &[f64], gap: f64, from: f64, to: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut places = wanted.to_vec();
    let mut least = from;
    for &at in &order {
        places[at] = places[at].max(least);
        least = places[at] + gap;
    }
    let mut most = to;
    for &at in order.iter().rev() {
        places[at] = places[at].min(most);
        most = places[at] - gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_would_overlap_are_left_out() {
        let mark = |at, label: &str| Mark { at, label: label.to_owned() };
        let marks = [mark(0.0, "0"), mark(10.0, "50 %"), mark(100.0, "99.9999 %"), mark(120.0, "max")];
        let left: Vec<&str> = legible(&marks).map(|mark| mark.label.as_str()).collect();
        assert_eq!(left, ["max", "50 %"]);
    }

    #[test]
    fn panels_fill_their_rows() {
        let all: Vec<usize> = (1..=7).map(|panels| columns(panels, 3)).collect();
        assert_eq!(all, [1, 2, 3, 2, 3, 3, 3]);
    }

    #[test]
    fn texts_are_moved_apart_within_their_bounds() {
        assert_eq!(apart(&[50.0, 10.0], 15.0, 0.0, 100.0), [50.0, 10.0]);
        assert_eq!(apart(&[50.0, 50.0, 52.0], 15.0, 0.0, 100.0), [50.0, 65.0, 80.0]);
        assert_eq!(apart(&[98.0, 99.0], 15.0, 0.0, 100.0), [85.0, 100.0]);
        assert_eq!(apart(&[-5.0, 0.0], 15.0, 0.0, 100.0), [0.0, 15.0]);
    }
}
