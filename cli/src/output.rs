//! How answers are written.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: columns.
    Table,
    /// For programs: one JSON object a line.
    Json,
}

/// Writes one row after the other, so that a list of any length takes no more memory than one page.
pub(crate) struct Table<W: Write> {
    format: Format,
    columns: &'static [(&'static str, usize)],
    writer: W,
}

impl<W: Write> Table<W> {
    /// A table whose columns are fields of its objects, with a width each.
    pub(crate) fn begin(
        mut writer: W,
        format: Format,
        columns: &'static [(&'static str, usize)],
    ) -> io::Result<Self> {
        if format == Format::Table {
            let titles = columns.iter().map(|(name, _)| name.to_uppercase());
            write_row(&mut writer, titles, columns)?;
        }
        Ok(Self { format, columns, writer })
    }

    /// Writes an object.
    pub(crate) fn row(&mut self, object: &Value) -> io::Result<()> {
        match self.format {
            Format::Json => writeln!(self.writer, "{object}"),
            Format::Table => {
                let cells = self.columns.iter().map(|(name, _)| cell(object.get(name)));
                write_row(&mut self.writer, cells, self.columns)
            }
        }
    }

    /// Hands everything on.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Writes one object: a field a line, or as JSON.
pub(crate) fn record(
    mut writer: impl Write,
    format: Format,
    object: &Value,
    fields: &[&str],
) -> io::Result<()> {
    if format == Format::Json {
        writeln!(writer, "{object}")?;
        return writer.flush();
    }
    let width = fields.iter().map(|name| name.len()).max().unwrap_or_default();
    for name in fields {
        let Some(value) = object.get(name).filter(|value| !value.is_null()) else { continue };
        writeln!(writer, "{name:<width$}  {}", cell(Some(value)))?;
    }
    writer.flush()
}

fn write_row(
    writer: &mut impl Write,
    cells: impl Iterator<Item = String>,
    columns: &[(&str, usize)],
) -> io::Result<()> {
    let mut line = String::new();
    for (cell, (_, width)) in cells.zip(columns) {
        line.push_str(&format!("{cell:<width$}  "));
    }
    writeln!(writer, "{}", line.trim_end())
}

/// A value in one cell. What could steer a terminal is left out.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => {
            let values: Vec<_> = values.iter().map(|value| cell(Some(value))).collect();
            values.join(",")
        }
        Some(Value::Object(members)) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("{name}={}", cell(Some(value)))).collect();
            members.join(",")
        }
        Some(other) => other.to_string(),
    };
    let text: String = text.chars().filter(|character| !character.is_control()).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(format: Format) -> String {
        let mut bytes = Vec::new();
        let mut table = Table::begin(&mut bytes, format, &[("name", 6), ("roles", 4)]).unwrap();
        table.row(&json!({"name": "a\u{1b}[1m", "roles": ["x", "y"], "more": 1})).unwrap();
        table.row(&json!({"name": null, "roles": []})).unwrap();
        table.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn people_get_columns_and_programs_get_lines() {
        assert_eq!(written(Format::Table), "NAME    ROLES\na[1m    x,y\n-       -\n");
        let lines: Vec<Value> =
            written(Format::Json).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["more"], 1);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_record_is_a_field_a_line() {
        let object = json!({"name": "a\nb", "notes": {"x": "1", "y": "2"}, "gone": null, "more": 1});
        let mut bytes = Vec::new();
        record(&mut bytes, Format::Table, &object, &["name", "notes", "gone", "absent"]).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "name    ab\nnotes   x=1,y=2\n");
        let mut bytes = Vec::new();
        record(&mut bytes, Format::Json, &object, &["name"]).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), object);
    }
}
