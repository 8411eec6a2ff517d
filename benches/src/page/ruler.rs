//! Where values are on an axis, and which of them are marked.

use crate::document::{Axis, Scale, Unit};

/// How far apart percentiles are of which one leaves ten times as many operations behind as the next; the maximum is
/// drawn this part of it behind the last.
const MAXIMUM_GAP: f64 = 0.4;

/// Up to so many different values are marked themselves.
const FEW: usize = 10;

/// A value that is marked on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) label: String,
}

/// Places values on an axis.
#[derive(Clone, Debug)]
pub(super) struct Ruler<'a> {
    axis: &'a Axis,
    /// The range of what is proportional to pixels, see [`along`].
    domain: (f64, f64),
    /// Where that range begins and ends in the picture.
    pixels: (f64, f64),
    marks: Vec<f64>,
}

impl<'a> Ruler<'a> {
    /// An axis for `values`, with at most about `most` marks; none if no value can be placed on it.
    ///
    /// With `closed`, it ends at a mark, so that nothing is above the topmost line of a grid.
    pub(super) fn new(axis: &'a Axis, values: &[f64], most: usize, closed: bool) -> Option<Self> {
        let mut values: Vec<f64> = values.iter().copied().filter(|&value| can_place(axis, value)).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (&least, &largest) = (values.first()?, values.last()?);
        let (range, marks) = match &axis.scale {
            Scale::Linear => linear(axis.unit, least.min(0.0), largest, most, closed),
            Scale::Log => {
                let (range, marks) = logarithmic(axis.unit, least, largest, most);
                // Where there are few values, as sizes of maps or numbers of threads, they are the best marks.
                if closed || values.len() > FEW { (range, marks) } else { (range, values) }
            }
            Scale::Percentile => percentiles(&values),
            Scale::Category(names) => ((-0.3, names.len() as f64 - 0.7), (0..names.len()).map(|i| i as f64).collect()),
        };
        Some(Self { axis, domain: range, pixels: (0.0, 1.0), marks })
    }

    /// The same from `start` to `end` in the picture.
    pub(super) fn between(mut self, start: f64, end: f64) -> Self {
        self.pixels = (start, end);
        self
    }

    /// Where a value is; none if it can't be on this axis.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        can_place(self.axis, value).then(|| self.at(value))
    }

    /// Where the axis begins.
    pub(super) fn start(&self) -> f64 {
        self.pixels.0
    }

    fn at(&self, value: f64) -> f64 {
        let ((from, to), (start, end)) = (self.domain, self.pixels);
        let share = (along(&self.axis.scale, value).min(to) - from) / (to - from);
        start + share * (end - start)
    }

    /// The marks with their labels.
    pub(super) fn marks(&self) -> Vec<Mark> {
        let labels = match &self.axis.scale {
            Scale::Linear => self.axis.unit.show_marks(&self.marks, true),
            Scale::Log => self.axis.unit.show_marks(&self.marks, false),
            Scale::Percentile => self.marks.iter().map(|&share| percentile(share)).collect(),
            Scale::Category(names) => names.clone(),
        };
        self.marks.iter().zip(labels).map(|(&value, label)| Mark { at: self.at(value), label }).collect()
    }
}

/// Whether an axis has a place for a value.
fn can_place(axis: &Axis, value: f64) -> bool {
    match &axis.scale {
        Scale::Linear => value.is_finite(),
        Scale::Log => value.is_finite() && value > 0.0,
        Scale::Percentile => (0.0..=1.0).contains(&value),
        Scale::Category(names) => (0.0..names.len() as f64).contains(&value),
    }
}

/// What is proportional to pixels.
fn along(scale: &Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear | Scale::Category(_) => value,
        Scale::Log => value.log10(),
        Scale::Percentile => -(1.0 - value).log10(),
    }
}

type Marked = ((f64, f64), Vec<f64>);

fn linear(unit: Unit, least: f64, largest: f64, most: usize, closed: bool) -> Marked {
    let largest = if largest > least { largest } else { least + 1.0 };
    let step = round_step((largest - least) / most as f64, unit.reached(largest));
    let first = (least / step).floor() as i64;
    // An axis that ends almost at a mark ends there.
    let last = (largest / step - 1e-9).ceil() as i64;
    let is_closed = closed || last as f64 - largest / step < 0.1;
    let last = if is_closed { last } else { last - 1 };
    let range = if is_closed { (first as f64 * step, last as f64 * step) } else { (least, largest) };
    (range, (first..=last).map(|i| i as f64 * step).collect())
}

/// The smallest of 1, 2, 5, 10, ... times `unit` that is at least `step`.
fn round_step(step: f64, unit: f64) -> f64 {
    let decade = 10_f64.powf((step / unit).log10().floor());
    let leading = step / unit / decade;
    let rounded = [1.0, 2.0, 5.0].into_iter().find(|&candidate| candidate >= leading - 1e-9).unwrap_or(10.0);
    rounded * decade * unit
}

fn logarithmic(unit: Unit, least: f64, largest: f64, most: usize) -> Marked {
    // A single value, or almost one, gets some room around it.
    let (least, largest) = if largest < 1.5 * least { (least / 1.5, largest * 1.5) } else { (least, largest) };
    let padding = (largest / least).powf(0.03);
    let (from, to) = (least / padding, largest * padding);
    let marks = candidates(unit, from, to)
        .map(|marks| marks.into_iter().filter(|mark| (from..=to).contains(mark)).collect::<Vec<_>>())
        .find(|marks| marks.len() <= most)
        .unwrap_or_default();
    ((from.log10(), to.log10()), marks)
}

/// Sets of marks for a logarithmic axis, the densest first.
fn candidates(unit: Unit, from: f64, to: f64) -> impl Iterator<Item = Vec<f64>> {
    let base: f64 = if unit == Unit::Bytes { 2.0 } else { 10.0 };
    let exponents = (from.log(base).floor() as i32)..=(to.log(base).ceil() as i32);
    let powers = move |factors: &[f64], every: i32| -> Vec<f64> {
        let powers = exponents.clone().filter(|exponent| exponent.rem_euclid(every) == 0);
        powers.flat_map(|exponent| factors.iter().map(move |factor| factor * base.powi(exponent))).collect()
    };
    let within: &[&[f64]] = match unit {
        Unit::Bytes => &[],
        _ => &[&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0], &[1.0, 2.0, 5.0], &[1.0, 3.0]],
    };
    let dense: Vec<_> = within.iter().map(|factors| powers(factors, 1)).collect();
    dense.into_iter().chain((1..=40).map(move |every| powers(&[1.0], every)))
}

fn percentiles(values: &[f64]) -> Marked {
    let inner = |share: &f64| *share < 1.0;
    let last = values.iter().copied().rfind(inner).unwrap_or(0.9);
    let end = -(1.0 - last).log10();
    let has_maximum = values.iter().any(|share| !inner(share));
    let range = (-(1.0 - values[0].min(last)).log10(), if has_maximum { end + MAXIMUM_GAP } else { end.max(0.1) });
    let shares = [0.0, 0.5].into_iter().chain((1..=9).map(|nines| 1.0 - 10_f64.powi(-nines)));
    let mut marks: Vec<f64> = shares.filter(|share| (values[0] - 1e-12..=last + 1e-12).contains(share)).collect();
    if has_maximum {
        marks.push(1.0);
    }
    (range, marks)
}

fn percentile(share: f64) -> String {
    if share < 1.0 { Unit::Percent.show_marks(&[share], false).remove(0) } else { "max".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(scale: Scale, unit: Unit, values: &[f64], most: usize, closed: bool) -> Vec<String> {
        let axis = Axis::new("", scale, unit);
        let ruler = Ruler::new(&axis, values, most, closed).unwrap().between(0.0, 100.0);
        ruler.marks().into_iter().map(|mark| mark.label).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_has_round_marks() {
        let labels = marks(Scale::Linear, Unit::OperationsPerSecond, &[13e6, 57e6], 6, true);
        assert_eq!(labels, ["0", "10 M/s", "20 M/s", "30 M/s", "40 M/s", "50 M/s", "60 M/s"]);
        let labels = marks(Scale::Linear, Unit::Bytes, &[3.0 * 1_048_576.0], 4, true);
        assert_eq!(labels, ["0", "1 MiB", "2 MiB", "3 MiB"]);
        for largest in [8.3e6, 7.99e6] {
            let labels = marks(Scale::Linear, Unit::Count, &[0.0, largest], 5, false);
            assert_eq!(labels, ["0", "2 M", "4 M", "6 M", "8 M"]);
        }
        assert_eq!(marks(Scale::Linear, Unit::Plain, &[0.0], 2, true), ["0", "0.5", "1"]);
    }

    #[test]
    fn a_logarithmic_axis_has_as_many_marks_as_fit() {
        let labels = |least, largest, most| marks(Scale::Log, Unit::Nanoseconds, &[least, largest], most, true);
        assert_eq!(labels(80.0, 12e6, 8), ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms"]);
        assert_eq!(labels(80.0, 12e6, 3), ["100 ns", "10 µs", "1 ms"]);
        assert_eq!(labels(90.0, 700.0, 6), ["100 ns", "200 ns", "500 ns"]);
        assert_eq!(labels(100.0, 100.0, 6), ["80 ns", "100 ns", "150 ns"]);
    }

    #[test]
    fn few_values_of_a_logarithmic_axis_are_its_marks() {
        let threads = [1.0, 2.0, 8.0, 64.0, 128.0];
        assert_eq!(marks(Scale::Log, Unit::Count, &threads, 8, false), ["1", "2", "8", "64", "128"]);
        let sizes = [64.0, 1024.0, 65_536.0];
        assert_eq!(marks(Scale::Log, Unit::Bytes, &sizes, 8, false), ["64 B", "1 KiB", "64 KiB"]);
    }

    #[test]
    fn bytes_on_a_logarithmic_axis_are_marked_by_powers_of_two() {
        assert_eq!(
            marks(Scale::Log, Unit::Bytes, &[10.0, 5000.0], 6, true),
            ["16 B", "64 B", "256 B", "1 KiB", "4 KiB"]
        );
    }

    #[test]
    fn percentiles_are_as_far_apart_as_their_nines() {
        let axis = Axis::new("", Scale::Percentile, Unit::Percent);
        let ruler = Ruler::new(&axis, &[0.0, 0.9, 0.99, 0.999, 1.0], 10, false).unwrap().between(0.0, 340.0);
        let at = |share| ruler.place(share).unwrap();
        assert_eq!((at(0.0), at(0.9).round(), at(0.99).round(), at(0.999).round()), (0.0, 100.0, 200.0, 300.0));
        assert_eq!(at(1.0), 340.0);
        let labels: Vec<String> = ruler.marks().into_iter().map(|mark| mark.label).collect();
        assert_eq!(labels, ["0", "50 %", "90 %", "99 %", "99.9 %", "max"]);
    }

    #[test]
    fn what_has_no_place_gets_none() {
        let axis = Axis::new("", Scale::Log, Unit::Count);
        assert!(Ruler::new(&axis, &[0.0, f64::NAN, f64::INFINITY], 5, true).is_none());
        let ruler = Ruler::new(&axis, &[1.0, 100.0], 5, true).unwrap();
        assert_eq!((ruler.place(0.0), ruler.place(f64::NAN)), (None, None));
    }
}
