//! Documents as a web page that needs nothing but itself.

mod bars;
mod curves;
mod frame;
mod palette;
mod panels;
mod ruler;

use crate::{
    document::{Cell, Document, Failure, Plot, PlotKind, Section, Table},
    environment::Environment,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Texts in tables that are longer than this are broken.
const LONG: usize = 32;
const TITLE: &str = "readmostly: measurements";
const LEAD: &str = "Contenders take turns round by round in one process, with the same hasher, allocator and keys.";

/// A page with everything in `documents`.
pub fn page(documents: &[Document]) -> String {
    titled(TITLE, LEAD, documents)
}

/// The same under another title; `lead` says how the contenders were set against each other.
pub fn titled(title: &str, lead: &str, documents: &[Document]) -> String {
    let sections = || documents.iter().flat_map(|document| &document.sections);
    let numbers: Vec<usize> = documents
        .iter()
        .scan(1, |next, document| Some(std::mem::replace(next, *next + document.sections.len())))
        .collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p.lead {
                    (lead)
                    " A figure is the median over the rounds, with the quartiles in parentheses; a ratio is taken within "
                    "each round, and " em { "unclear" } " if it spreads further than it is away from 1. "
                    "Point at a line to see it alone."
                }
                nav {
                    h2 { "Contents" }
                    ol {
                        @for (at, section) in sections().enumerate() {
                            li { a href=(format!("#{}", anchor(at + 1, section))) { (section.title) } }
                        }
                    }
                }
                @for (document, first) in documents.iter().zip(numbers) {
                    (environment(&document.environment))
                    @if !document.failures.is_empty() { (failures(&document.failures)) }
                    @for (at, section) in document.sections.iter().enumerate() {
                        (self::section(section, &anchor(first + at, section)))
                    }
                }
            }
        }
    };
    page.into_string()
}

/// Where a section is on the page; names need not be unique.
fn anchor(number: usize, section: &Section) -> String {
    let name: String = section.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    format!("{number}-{name}")
}

fn environment(environment: &Environment) -> Markup {
    let Environment { processor, cores, system, load, date, command, versions } = environment;
    html! {
        dl.environment {
            dt { "Machine" }
            dd { (processor) ", " (cores) " cores, " (system) }
            dt { "Date" }
            dd { (date) }
            dt { "Versions" }
            dd { @for (name, version) in versions { span.version { (name) " " (version) } " " } }
            dt { "Command" }
            dd { code { (command) } }
            @if let (Some(load), true) = (load, environment.is_busy()) {
                dt { "Warning" }
                dd.warning { "The load was " (load) " at the start: other programs were running, the figures are doubtful." }
            }
        }
    }
}

fn failures(failures: &[Failure]) -> Markup {
    html! {
        ul.warning {
            @for Failure { name, reason } in failures {
                li { b { (name) } " could not be measured: " (reason) }
            }
        }
    }
}

fn section(section: &Section, anchor: &str) -> Markup {
    let Section { name, title, about, command, notes, plots, tables } = section;
    html! {
        section id=(anchor) {
            h2 { (title) " " a.name href=(format!("#{anchor}")) { (name) } }
            @for paragraph in about.split("\n\n") { p.about { (with_code(paragraph)) } }
            pre { code { (command) } }
            @if !notes.is_empty() {
                ul.notes { @for note in notes { li { (with_code(note)) } } }
            }
            @for plot in plots { (figure(plot)) }
            @for table in tables { (self::table(table)) }
        }
    }
}

/// Text in which backquotes surround code.
fn with_code(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn figure(plot: &Plot) -> Markup {
    html! {
        figure {
            figcaption { (plot.title) }
            @for size in frame::SIZES {
                @match picture(plot, size) {
                    Some(picture) => (picture),
                    None => p class=(size.class) { "Nothing to draw." },
                }
            }
        }
    }
}

fn picture(plot: &Plot, size: frame::Size) -> Option<Markup> {
    match plot.kind {
        PlotKind::Bars => bars::draw(plot, size),
        _ if panels::suits(plot) => panels::draw(plot, size),
        _ => curves::draw(plot, size),
    }
}

/// All that a vertical axis must have room for.
fn heights(plot: &Plot) -> Vec<f64> {
    let points = plot.lines.iter().flat_map(|line| &line.points);
    points.flat_map(|point| [Some(point.y), point.low, point.high]).flatten().collect()
}

fn table(table: &Table) -> Markup {
    let is_ours = |row: &[Cell]| matches!(row.first(), Some(Cell::Text(name)) if palette::is_our_name(name));
    html! {
        @if !table.title.is_empty() { h3 { (table.title) } }
        div.scroll {
            table {
                thead {
                    tr { @for (at, name) in table.columns.iter().enumerate() { th class=(column(table, at)) { (name) } } }
                }
                tbody {
                    @for row in &table.rows {
                        tr.ours[is_ours(row)] {
                            @for (at, cell) in row.iter().enumerate() {
                                td class=(column(table, at)) { (self::cell(cell)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The classes of a column's cells.
fn column(table: &Table, at: usize) -> String {
    let is_long = |row: &Vec<Cell>| matches!(row.get(at), Some(Cell::Text(text)) if text.len() > LONG);
    let kind = match table.is_numeric(at) {
        true => "number",
        false if table.rows.iter().any(is_long) => "long",
        false => "words",
    };
    let is_ours = table.columns.get(at).is_some_and(|name| palette::is_our_name(name));
    format!("{kind}{}", if is_ours { " ours" } else { "" })
}

/// A cell's text, with the spread less prominent than the median.
fn cell(cell: &Cell) -> Markup {
    let text = cell.show();
    match (cell, text.split_once(" (")) {
        (Cell::Text(_), _) | (_, None) => html! { (text) },
        (_, Some((figure, spread))) => html! { (figure) " " span.spread { "(" (spread) } },
    }
}

#[cfg(test)]
mod tests;
