//! D1's rows as JSON: an answer crosses into wasm as one string, where each name and value by itself takes
//! several calls of JavaScript and leaves wrappers to be collected.

use std::fmt;

use iam_core::sql::{Rows, Value};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::DbError;
use crate::database::unsupported_column;

/// Reads what `raw` answers: the names of the columns, then one array per row.
pub(crate) fn rows_of_arrays(json: &str) -> Result<Rows, DbError> {
    let mut lines = read::<Vec<Vec<Column>>>(json)?.into_iter();
    let names = lines.next().unwrap_or_default().into_iter().map(Column::name).collect::<Result<_, _>>()?;
    let rows = lines.map(|row| row.into_iter().map(Column::value).collect::<Result<Vec<_>, _>>());
    Ok(Rows::new(names, rows.collect::<Result<Vec<_>, _>>()?))
}

/// Reads what `batch` answers: for each statement an object, with one object per row in it. All rows of a
/// statement have the same keys in the same order.
pub(crate) fn rows_of_batch(json: &str) -> Result<Vec<Rows>, DbError> {
    read::<Vec<Answer>>(json)?.into_iter().map(|answer| rows_of_objects(answer.results)).collect()
}

/// What one statement answered, as far as it is read.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Record>,
}

fn rows_of_objects(records: Vec<Record>) -> Result<Rows, DbError> {
    let names = records.first().map(|Record(columns)| columns.iter().map(|(name, _)| name.clone()).collect());
    let rows = records
        .into_iter()
        .map(|Record(columns)| columns.into_iter().map(|(_, column)| column.value()).collect())
        .collect::<Result<Vec<Vec<Value>>, _>>()?;
    Ok(Rows::new(names.unwrap_or_default(), rows))
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, DbError> {
    serde_json::from_str(json).map_err(|error| DbError::Other(format!("D1 answered something else: {error}")))
}

/// One row's columns in their order.
struct Record(Vec<(String, Column)>);

/// One value, or the class of one that not every host carries.
enum Column {
    Carried(Value),
    Unsupported(&'static str),
}

impl Column {
    fn value(self) -> Result<Value, DbError> {
        match self {
            Self::Carried(value) => Ok(value),
            Self::Unsupported(class) => Err(unsupported_column(class)),
        }
    }

    fn name(self) -> Result<String, DbError> {
        match self {
            Self::Carried(Value::Text(name)) => Ok(name),
            _ => Err(DbError::Other("D1 answered no names of columns".to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnVisitor)
    }
}

struct ColumnVisitor;

impl<'de> Visitor<'de> for ColumnVisitor {
    type Value = Column;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the value of a column")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Column, E> {
        Ok(Column::Carried(Value::Text(text.to_owned())))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Column, E> {
        Ok(Column::Carried(Value::Text(text)))
    }

    fn visit_i64<E: de::Error>(self, integer: i64) -> Result<Column, E> {
        Ok(Column::Carried(Value::Integer(integer)))
    }

    fn visit_u64<E: de::Error>(self, integer: u64) -> Result<Column, E> {
        let integer = i64::try_from(integer).map(Value::Integer);
        Ok(integer.map_or(Column::Unsupported("real number"), Column::Carried))
    }

    // JavaScript writes a real number without a fraction as an integer: it is read as one.
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Column, E> {
        Ok(Column::Unsupported("real number"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Column, E> {
        Ok(Column::Carried(Value::Null))
    }

    // D1 shows a blob as an array of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Column, A::Error> {
        while bytes.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Column::Unsupported("blob"))
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Record, A::Error> {
        let mut columns = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            columns.push(entry);
        }
        Ok(Record(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rows: &Rows, integer: &'static str, text: &'static str) -> (Option<i64>, Option<String>) {
        let row = rows.first().unwrap();
        (row.optional_integer(integer).unwrap(), row.optional_text(text).unwrap().map(str::to_owned))
    }

    #[test]
    fn arrays_are_rows() {
        let rows = rows_of_arrays(r#"[["a","b","c"],[-3,"\u00e9\n",null],[9007199254740992,"",1]]"#).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(row(&rows, "a", "b"), (Some(-3), Some("é\n".to_owned())));
        assert_eq!(row(&rows, "c", "c"), (None, None));
        for empty in ["[]", r#"[["a"]]"#] {
            assert!(rows_of_arrays(empty).unwrap().is_empty());
        }
    }

    #[test]
    fn objects_are_rows() {
        let json = r#"[{"success":true,"results":[{"z":1,"a":"x"},{"z":2,"a":null}],"meta":{"duration":0.5}},
                       {"success":true,"results":[]},{"success":true}]"#;
        let answers = rows_of_batch(json).unwrap();
        assert_eq!(answers.iter().map(Rows::len).collect::<Vec<_>>(), [2, 0, 0]);
        assert_eq!(row(answers.first().unwrap(), "z", "a"), (Some(1), Some("x".to_owned())));
    }

    #[test]
    fn what_not_every_host_carries_is_refused() {
        for value in ["1.5", "1e30", "18446744073709551615", "[1,2]", "true", "{}"] {
            assert!(rows_of_arrays(&format!(r#"[["a"],[{value}]]"#)).is_err(), "{value}");
            assert!(rows_of_batch(&format!(r#"[{{"results":[{{"a":{value}}}]}}]"#)).is_err(), "{value}");
        }
        for broken in ["", "null", "{}", "[1]", r#"[[1],[2]]"#, r#"[{"results":1}]"#] {
            assert!(rows_of_arrays(broken).is_err(), "{broken}");
        }
    }
}
