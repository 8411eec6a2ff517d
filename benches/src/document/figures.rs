//! Figures for people.

use super::{Cell, Unit};
use crate::measure::Summary;

/// From how much on a unit is used, and its name.
type Step = (f64, &'static str);

impl Unit {
    /// The units in which a figure may be shown, smallest first.
    fn steps(self) -> &'static [Step] {
        match self {
            Self::Nanoseconds => &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")],
            Self::OperationsPerSecond => &[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s"), (1e9, "G/s")],
            Self::Bytes => &[(1.0, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")],
            Self::BytesPerEntry => &[(1.0, "B")],
            Self::Count => &[(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")],
            Self::Plain => &[(1.0, "")],
            Self::Percent => &[(0.01, "%")],
            Self::Ratio => &[(1.0, "×")],
        }
    }

    /// The largest unit that `value` reaches.
    fn step(self, value: f64) -> Step {
        let steps = self.steps();
        *steps.iter().rev().find(|(from, _)| value.abs() >= *from).unwrap_or(&steps[0])
    }

    /// How much the largest unit that `value` reaches is.
    pub(crate) fn reached(self, value: f64) -> f64 {
        self.step(value).0
    }

    /// A figure with three digits; counts are exact, and shares do not become 100 % by rounding.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Count if value.fract() == 0.0 && value >= 0.0 => return entries(value as usize),
            Self::Percent if value > 0.99 && value < 1.0 => {
                let decimals = -((1.0 - value) * 100.0).log10().floor();
                return with_unit(trimmed(value * 100.0, decimals as usize), "%");
            }
            _ => {}
        }
        let (from, name) = self.step(three_digits(value));
        let is_whole = (value / from).fract() == 0.0 && matches!(self, Self::Bytes | Self::Percent | Self::Plain);
        let scaled = three_digits(value / from);
        let decimals = match scaled.abs() {
            size if is_whole || size == 0.0 => 0,
            size if size < 0.1 => (1.0 - size.log10().floor()) as usize,
            size if size < 10.0 => 2,
            size if size < 100.0 => 1,
            _ => 0,
        };
        with_unit(format!("{scaled:.decimals$}"), name)
    }

    /// Marks of an axis, each in its own unit or, with `shared`, all in that of the largest.
    pub fn show_marks(self, values: &[f64], shared: bool) -> Vec<String> {
        let largest = values.iter().copied().fold(0.0, f64::max);
        let show = |&value: &f64| {
            let (from, name) = self.step(if shared { largest } else { value });
            let number = trimmed(value / from, 6);
            if value == 0.0 { number } else { with_unit(number, name) }
        };
        values.iter().map(show).collect()
    }
}

impl Cell {
    /// The cell's text.
    pub fn show(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Figure { value, unit } => unit.show(*value),
            Self::Spread { summary, unit } => spread(summary, *unit),
            Self::Ratio(summary) => ratio(summary),
            Self::Missing => "-".to_owned(),
        }
    }
}

/// A median with its quartiles.
fn spread(summary: &Summary, unit: Unit) -> String {
    let median = unit.show(summary.median);
    if summary.samples == 1 { median } else { format!("{median} {}", quartiles(summary, unit)) }
}

/// The quartiles, without the unit if it is the median's and cannot be taken for a part of the number.
fn quartiles(summary: &Summary, unit: Unit) -> String {
    let [q1, median, q3] = [summary.q1, summary.median, summary.q3].map(|value| unit.show(value));
    let name = median.find(' ').filter(|_| unit != Unit::Count).map_or("", |at| &median[at..]);
    match (q1.strip_suffix(name), q3.strip_suffix(name)) {
        (Some(q1), Some(q3)) => format!("({q1} .. {q3})"),
        _ => format!("({q1} .. {q3})"),
    }
}

/// A ratio with its quartiles. No number stands for it if it spreads further than it is away from 1, since another run
/// might as well say the opposite.
pub fn ratio(summary: &Summary) -> String {
    let is_clear = summary.q3 - summary.q1 <= (summary.median - 1.0).abs();
    if is_clear || summary.samples == 1 {
        spread(summary, Unit::Ratio)
    } else {
        format!("unclear {}", quartiles(summary, Unit::Ratio))
    }
}

/// Nanoseconds.
pub fn duration(ns: f64) -> String {
    Unit::Nanoseconds.show(ns)
}

/// A number of entries: short if it is round, and exact in any case.
pub fn entries(count: usize) -> String {
    match count {
        _ if count > 0 && count.is_multiple_of(1_000_000) => format!("{} M", count / 1_000_000),
        _ if count > 0 && count.is_multiple_of(1_000) => format!("{} k", count / 1_000),
        _ => grouped(count),
    }
}

/// Digits in groups of three.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn with_unit(number: String, unit: &str) -> String {
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// The nearest number of three digits, so that 999.9 ns become 1.00 µs rather than 1000 ns. Of larger numbers all digits
/// before the point are kept.
fn three_digits(value: f64) -> f64 {
    let rounded = format!("{value:.2e}").parse().unwrap_or(value);
    if value.abs() < 1000.0 { rounded } else { value }
}

/// A number without the zeros at the end of its decimals.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_fitting_unit() {
        assert_eq!(duration(2.34567), "2.35 ns");
        assert_eq!(duration(9.996), "10.0 ns");
        assert_eq!(duration(999.7), "1.00 µs");
        assert_eq!(duration(1_234_567.0), "1.23 ms");
        assert_eq!(duration(2e12), "2000 s");
        assert_eq!(duration(0.0), "0 ns");
        assert_eq!(Unit::OperationsPerSecond.show(12_345_678.0), "12.3 M/s");
        assert_eq!(Unit::Bytes.show(1023.0), "1023 B");
        assert_eq!(Unit::Bytes.show(65_536.0), "64 KiB");
        assert_eq!(Unit::Bytes.show(7.001 * 1024.0), "7.00 KiB");
        assert_eq!(Unit::BytesPerEntry.show(37.25), "37.2 B");
        assert_eq!(Unit::Plain.show(4.0), "4");
        assert_eq!(Unit::Ratio.show(1.5), "1.50 ×");
        assert_eq!(Unit::Ratio.show(0.001_26), "0.0013 ×");
    }

    #[test]
    fn counts_are_exact() {
        assert_eq!((entries(10_000), entries(1_000_000), entries(512)), ("10 k".into(), "1 M".into(), "512".into()));
        assert_eq!((entries(0), entries(1_234_567)), ("0".into(), "1,234,567".into()));
        assert_eq!(Unit::Count.show(99_999.0), "99,999");
        assert_eq!(Unit::Count.show(2.5), "2.50");
    }

    #[test]
    fn shares_keep_their_distance_from_all() {
        assert_eq!(Unit::Percent.show(0.05), "5 %");
        assert_eq!(Unit::Percent.show(0.333_333), "33.3 %");
        assert_eq!(Unit::Percent.show(0.9999), "99.99 %");
        assert_eq!(Unit::Percent.show(0.999_796_6), "99.98 %");
        assert_eq!(Unit::Percent.show(0.995), "99.5 %");
        assert_eq!(Unit::Percent.show(1.0), "100 %");
    }

    #[test]
    fn marks_are_short() {
        let marks = |unit: Unit, values: &[f64], shared| unit.show_marks(values, shared).join(" | ");
        assert_eq!(marks(Unit::Nanoseconds, &[0.0, 500.0, 1000.0, 1500.0], true), "0 | 0.5 µs | 1 µs | 1.5 µs");
        assert_eq!(marks(Unit::Nanoseconds, &[100.0, 1e3, 1e4], false), "100 ns | 1 µs | 10 µs");
        assert_eq!(marks(Unit::Count, &[0.0, 2e6, 4e6], true), "0 | 2 M | 4 M");
        assert_eq!(marks(Unit::Percent, &[0.9, 0.999_99], false), "90 % | 99.999 %");
    }

    #[test]
    fn the_unit_of_a_spread_is_given_once() {
        let show = |samples: &[f64]| Cell::spread(Summary::of(samples), Unit::Nanoseconds).show();
        assert_eq!(show(&[100.0, 200.0, 300.0]), "200 ns (150 .. 250)");
        assert_eq!(show(&[500.0, 900.0, 1500.0]), "900 ns (700 ns .. 1.20 µs)");
        assert_eq!(show(&[100.0]), "100 ns");
    }

    #[test]
    fn a_ratio_that_spreads_further_than_it_differs_is_not_a_number() {
        assert_eq!(ratio(&Summary::of(&[1.4, 1.5, 1.6])), "1.50 × (1.45 .. 1.55)");
        assert_eq!(ratio(&Summary::of(&[0.8, 1.05, 1.2])), "unclear (0.93 .. 1.12)");
        assert_eq!(ratio(&Summary::of(&[1.0, 1.0, 1.0])), "1.00 × (1.00 .. 1.00)");
        assert_eq!(ratio(&Summary::single(3.0)), "3.00 ×");
    }
}
