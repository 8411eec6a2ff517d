//! Documents for a terminal.

use super::{Cell, Document, Failure, Section, Table};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, TableStyle};
use std::fmt::{Display, Formatter, Result};

/// Columns of a table that is not written to a terminal.
const FILE_WIDTH: u16 = 200;

/// A line below the header is all the drawing a long table needs.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

impl Display for Document {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "{}", self.environment)?;
        for section in &self.sections {
            write!(f, "\n{section}")?;
        }
        for Failure { name, reason } in &self.failures {
            writeln!(f, "\n{name} failed: {reason}")?;
        }
        Ok(())
    }
}

impl Display for Section {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "# {} ({})\n\n{}\n\n$ {}", self.title, self.name, self.about, self.command)?;
        for note in &self.notes {
            writeln!(f, "- {note}")?;
        }
        for table in &self.tables {
            write!(f, "\n{table}")?;
        }
        match self.plots.iter().map(|plot| plot.title.as_str()).collect::<Vec<_>>() {
            plots if plots.is_empty() => Ok(()),
            plots => writeln!(f, "\nPictures, in the report: {}", plots.join("; ")),
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut table = comfy_table::Table::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
        if !table.is_tty() {
            table.set_width(FILE_WIDTH);
        }
        table.set_header(&self.columns);
        table.add_rows(self.rows.iter().map(|row| row.iter().map(Cell::show)));
        for (at, column) in table.column_iter_mut().enumerate() {
            if self.is_numeric(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        if !self.title.is_empty() {
            writeln!(f, "{}", self.title)?;
        }
        writeln!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Table, Unit};

    #[test]
    fn figures_are_aligned_to_the_right() {
        let mut table = Table::new("speed", ["map", "time"]);
        table.row(["short".into(), crate::document::Cell::figure(1.5, Unit::Nanoseconds)]);
        table.row(["a longer one".into(), crate::document::Cell::figure(150.0, Unit::Nanoseconds)]);
        assert!(!table.is_numeric(0) && table.is_numeric(1));
        let lines: Vec<String> = table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(lines[0], "speed");
        assert!(lines[3].ends_with("1.50 ns") && lines[4].ends_with("150 ns"), "{lines:?}");
        assert_eq!(lines[3].len(), lines[4].len(), "{lines:?}");
    }
}
