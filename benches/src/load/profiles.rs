//! Latency in tables and pictures.

use super::{
    open::{Distribution, Profile, QUANTILES},
    player::Class,
    sheet::preempted,
};
use crate::{
    document::{Axis, Cell, Line, Plot, PlotKind, Point, Scale, Table, Unit},
    latency::Latencies,
    measure::{Series, Summary},
};

/// The names of [`QUANTILES`].
pub const COLUMNS: [&str; QUANTILES.len()] = ["P50", "P90", "P99", "P99.9", "P99.99", "max"];
/// The shares at which a curve has points, as long as there are enough operations.
const CURVE: [f64; 16] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 0.99995, 0.99999, 0.999_999];

/// The classes of which there were any operations.
fn classes(profiles: &[Profile]) -> impl Iterator<Item = Class> {
    let seen = |class: &Class| profiles.iter().any(|profile| !profile.latency[*class as usize].merged.is_empty());
    Class::ALL.into_iter().filter(seen)
}

/// The [`QUANTILES`] of a distribution, each the median over the rounds.
pub fn cells(distribution: &Distribution) -> impl Iterator<Item = Cell> {
    let cell = |quantile| {
        let samples = distribution.samples(quantile);
        samples.map_or(Cell::Missing, |samples| Cell::spread(Summary::of(samples), Unit::Nanoseconds))
    };
    (0..QUANTILES.len()).map(cell)
}

/// How the [`QUANTILES`] of one compare with those of another, round by round.
pub fn ratios(of: &Distribution, to: &Distribution) -> impl Iterator<Item = Cell> {
    let series = |distribution: &Distribution, quantile| {
        distribution.samples(quantile).map(|samples| Series { name: "", samples: samples.to_vec() })
    };
    let cell = move |quantile| {
        let both = series(of, quantile).zip(series(to, quantile));
        both.map_or(Cell::Missing, |(of, to)| Cell::Ratio(of.ratio_to(&to)))
    };
    (0..QUANTILES.len()).map(cell)
}

fn merged_row(latencies: &Latencies) -> Vec<Cell> {
    let cell = |quantile: f64| {
        let enough = quantile == 1.0 || latencies.len() as f64 * (1.0 - quantile) >= 1.0;
        if latencies.is_empty() || !enough {
            return Cell::Missing;
        }
        Cell::figure(latencies.quantile(quantile) as f64, Unit::Nanoseconds)
    };
    QUANTILES.into_iter().map(cell).collect()
}

/// Percentiles of every class of operations, and how the first contender's compare with the others'.
pub fn tables(title: &str, profiles: &[Profile]) -> Vec<Table> {
    let mut tables = Vec::new();
    for class in classes(profiles) {
        let of = format!("{title}: {}", class.plural());
        let mut table = Table::new(of.clone(), ["map", "time"].into_iter().chain(COLUMNS));
        for profile in profiles {
            let (latency, service) = (&profile.latency[class as usize], &profile.service[class as usize]);
            let mut add = |what: &str, cells: Vec<Cell>| {
                table.row([profile.name.into(), what.into()].into_iter().chain(cells));
            };
            if profile.paced {
                add("latency", cells(latency).collect());
                add("latency, all rounds", merged_row(&latency.merged));
                add("undisturbed", cells(&profile.undisturbed[class as usize]).collect());
            }
            add("service", cells(service).collect());
            if !profile.paced {
                add("service, all rounds", merged_row(&service.merged));
            }
        }
        tables.push(table);
        let kinds: &[(&str, Of)] = match profiles[0].paced {
            true => {
                &[("latency", |p, class| &p.latency[class]), ("undisturbed latency", |p, class| &p.undisturbed[class])]
            }
            false => &[("service time", |p, class| &p.service[class])],
        };
        tables.extend(kinds.iter().filter_map(|(time, figures)| comparison(&of, time, profiles, class, *figures)));
    }
    tables
}

/// One of the times of a class of operations.
type Of = fn(&Profile, usize) -> &Distribution;

fn comparison(of: &str, time: &str, profiles: &[Profile], class: Class, figures: Of) -> Option<Table> {
    let (first, others) = profiles.split_first().filter(|(_, others)| !others.is_empty())?;
    let title = format!("{of}, {time} of {} / the others'", first.name);
    let mut table = Table::new(title, ["against"].into_iter().chain(COLUMNS));
    for other in others {
        let ratios = ratios(figures(first, class as usize), figures(other, class as usize));
        table.row([Cell::from(other.name)].into_iter().chain(ratios));
    }
    Some(table)
}

/// Curves of the latencies of each class of operations, over all rounds: what was felt, and what was the map's.
pub fn plots(title: &str, profiles: &[Profile]) -> Vec<Plot> {
    let plot = |class: Class, word: &str, figures: Of| {
        let line = |profile: &Profile| Line {
            name: profile.name.to_owned(),
            points: curve(&figures(profile, class as usize).merged),
        };
        Plot {
            title: format!("{title}: {}{word}", class.plural()),
            x: Axis::new("share of operations", Scale::Percentile, Unit::Percent),
            y: Axis::new("latency", Scale::Log, Unit::Nanoseconds),
            kind: PlotKind::Lines,
            lines: profiles.iter().map(line).collect(),
        }
    };
    let paced = profiles.first().is_some_and(|profile| profile.paced);
    let of_class = |class| {
        let felt = plot(class, "", |profile, class| &profile.latency[class]);
        let own = paced.then(|| plot(class, ", undisturbed", |profile, class| &profile.undisturbed[class]));
        [felt].into_iter().chain(own)
    };
    classes(profiles).flat_map(of_class).collect()
}

/// The points of a percentile curve, the slowest at 1.
pub fn curve(latencies: &Latencies) -> Vec<Point> {
    if latencies.is_empty() {
        return Vec::new();
    }
    let shares = CURVE.into_iter().filter(|share| latencies.len() as f64 * (1.0 - share) >= 1.0).chain([1.0]);
    shares.map(|share| Point::new(share, latencies.quantile(share).max(1) as f64)).collect()
}

/// What a reader should know of the rounds.
pub fn notes(profiles: &[Profile]) -> Vec<String> {
    let mut notes = preempted(profiles.iter().flat_map(|profile| &profile.preemptions).copied());
    for profile in profiles.iter().filter(|profile| profile.given_up > 0) {
        let (name, given_up) = (profile.name, profile.given_up);
        notes
            .push(format!("{name} lagged so far behind that {given_up} operations were given up; they count as late."));
    }
    let rates: Vec<String> = profiles
        .iter()
        .filter_map(|profile| Some(format!("{} {}", profile.name, Unit::Percent.show(profile.hit_rate()?))))
        .collect();
    if !rates.is_empty() {
        notes.push(format!("Reads that hit: {}.", rates.join(", ")));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_with_the_slowest_and_has_no_points_without_operations_behind_them() {
        let mut latencies = Latencies::default();
        (1..=100).for_each(|ns| latencies.record(ns));
        let curve = curve(&latencies);
        assert_eq!(curve.iter().map(|point| point.x).collect::<Vec<_>>()[..3], [0.0, 0.25, 0.5]);
        let [.., last_but_one, last] = &curve[..] else { panic!("expected points") };
        assert_eq!((last_but_one.x, last_but_one.y), (0.99, 99.0));
        assert_eq!((last.x, last.y), (1.0, 100.0));
        assert!(super::curve(&Latencies::default()).is_empty());
    }
}
