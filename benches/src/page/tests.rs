use super::*;
use crate::{
    document::{Axis, Line, Point, Scale, Unit},
    measure::Summary,
};
use std::collections::{BTreeMap, HashSet};

/// What would break a page if it were not escaped.
const NASTY: &str = r#"papaya <b title="x"> & 'co'"#;

fn line(name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Line {
    let point = |(x, y)| Point { x, y, low: Some(0.9 * y), high: Some(1.1 * y) };
    Line { name: name.to_owned(), points: points.into_iter().map(point).collect() }
}

fn plot(kind: PlotKind, x: Scale, points: &[(f64, f64)]) -> Plot {
    let lines = ["readmostly", "dashmap", NASTY].map(|name| line(name, points.iter().copied()));
    Plot {
        title: format!("{kind:?} of {NASTY}"),
        x: Axis::new(NASTY, x, Unit::Count),
        y: Axis::new("time", Scale::Log, Unit::Nanoseconds),
        kind,
        lines: lines.into(),
    }
}

fn plots() -> [Plot; 4] {
    [
        plot(PlotKind::Lines, Scale::Log, &[(1.0, 10.0), (2.0, 20.0), (128.0, 500.0)]),
        plot(PlotKind::Steps, Scale::Percentile, &[(0.0, 50.0), (0.9, 60.0), (0.999, 700.0), (1.0, 9e6)]),
        plot(PlotKind::Points, Scale::Linear, &[(0.0, 100.0), (1e6, 2e6), (8e6, 100.0), (9e6, f64::NAN)]),
        plot(PlotKind::Bars, Scale::Category(vec![NASTY.into(), "full".into()]), &[(0.0, 40.0), (1.0, 60.0)]),
    ]
}

fn document() -> Document {
    let mut table = Table::new("figures", ["map", "time", "against dashmap"]);
    let unclear = Cell::Ratio(Summary::of(&[0.5, 1.1, 1.5]));
    table.row(["readmostly".into(), Cell::spread(Summary::of(&[1.0, 2.0, 3.0]), Unit::Nanoseconds), unclear]);
    table.row([NASTY.into(), Cell::Missing, Cell::Ratio(Summary::single(2.0))]);
    let section = Section {
        name: NASTY.into(),
        title: NASTY.into(),
        about: "What `get` costs.\n\nLower is better.".into(),
        command: NASTY.into(),
        notes: vec![NASTY.into()],
        plots: plots().into(),
        tables: vec![table],
    };
    let environment = Environment {
        processor: NASTY.into(),
        cores: 2,
        system: "linux".into(),
        load: Some(7.0),
        date: "2026-01-02 03:04 UTC".into(),
        command: NASTY.into(),
        versions: BTreeMap::from([("papaya".to_owned(), "0.2.5".to_owned())]),
    };
    let failures = vec![Failure { name: NASTY.into(), reason: NASTY.into() }];
    Document { environment, sections: vec![section.clone(), section], failures }
}

#[test]
fn pictures_are_well_formed_and_name_their_lines() {
    for plot in plots() {
        for size in frame::SIZES {
            let svg = picture(&plot, size).unwrap().into_string();
            let svg =
                roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{:?}: {error}\n{svg}", plot.kind));
            let texts: Vec<&str> = svg.descendants().filter_map(|node| node.text()).collect();
            for Line { name, .. } in &plot.lines {
                assert!(texts.contains(&name.as_str()), "{:?} without {name}: {texts:?}", plot.kind);
            }
        }
    }
}

#[test]
fn coordinates_are_numbers_within_the_picture() {
    for plot in plots() {
        for size in frame::SIZES {
            let svg = picture(&plot, size).unwrap().into_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            let svg = roxmltree::Document::parse(&svg).unwrap();
            let height: f64 =
                svg.root_element().attribute("viewBox").unwrap().rsplit(' ').next().unwrap().parse().unwrap();
            for node in svg.descendants().filter(|node| node.has_tag_name("text")) {
                let [x, y] = ["x", "y"].map(|axis| node.attribute(axis).unwrap().parse::<f64>().unwrap());
                assert!((0.0..=size.width).contains(&x) && (0.0..=height).contains(&y), "{node:?} at {x}, {y}");
            }
        }
    }
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let page = page(&[document()]);
    for reference in ["http:", "https:", "src=", "@import", "url(", "<script", "<link", "<image", "<use"] {
        assert!(!page.contains(reference), "{reference}");
    }
    for (at, _) in page.match_indices("href=\"") {
        assert!(page[at..].starts_with("href=\"#"), "{}", &page[at..at + 40]);
    }
}

#[test]
fn all_text_is_escaped() {
    let page = page(&[document()]);
    assert!(!page.contains("<b title") && !page.contains("& '"), "expected {NASTY} to be escaped everywhere");
    assert!(page.contains("papaya &lt;b title=&quot;x&quot;&gt; &amp; 'co'"));
}

#[test]
fn contents_lead_to_every_section() {
    let page = page(&[document(), document()]);
    let ids: Vec<&str> = page.split("<section id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4, "{ids:?}");
    for id in ids {
        assert!(page.contains(&format!("<li><a href=\"#{id}\">")), "{id}");
    }
}

#[test]
fn what_is_doubtful_is_said() {
    let page = page(&[document()]);
    assert!(page.contains("unclear <span class=\"spread\">(0.80 .. 1.30)</span>"), "an unclear ratio");
    assert!(page.contains("The load was 7"), "a busy machine");
    assert!(page.contains("could not be measured"), "a failure");
    let nothing = plot(PlotKind::Lines, Scale::Linear, &[]);
    assert!(figure(&nothing).into_string().contains("Nothing to draw"));
}

#[test]
fn figures_are_aligned_to_the_right_and_ours_stand_out() {
    let page = page(&[document()]);
    assert!(page.contains("<tr class=\"ours\"><td class=\"words\">readmostly</td><td class=\"number\">2.00 ns "));
    assert!(page.contains("<td class=\"words\">papaya &lt;b"));
    assert_eq!(page.matches("<tr class=\"ours\">").count(), 2, "one in each section");
}

#[test]
fn paragraphs_and_code_are_kept_apart() {
    let page = page(&[document()]);
    assert!(
        page.contains("<p class=\"about\">What <code>get</code> costs.</p><p class=\"about\">Lower is better.</p>")
    );
}

#[test]
fn a_document_survives_json() {
    let mut document = document();
    document.sections[0].plots[2].lines.iter_mut().for_each(|line| line.points.truncate(3));
    document.sections.truncate(1);
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
}
