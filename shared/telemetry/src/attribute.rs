//! Attributes: a dotted name and a value.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};

/// The longest text kept of one value, in bytes; what is beyond is cut off.
pub const MAX_TEXT_BYTES: usize = 1024;

/// The most attributes kept on one span, event or log record.
pub const MAX_ATTRIBUTES: usize = 32;

/// The value of an attribute or of a metric's label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Boolean(bool),
}

impl Value<'_> {
    /// The value with its own copy of a borrowed text.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Integer(number) => Value::Integer(number),
            Self::Float(number) => Value::Float(number),
            Self::Boolean(truth) => Value::Boolean(truth),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

/// A named value on a span, an event or a log record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// The dotted name, with its unit where it has one.
    pub key: Cow<'static, str>,
    /// What it is.
    pub value: Value<'static>,
}

impl Attribute {
    /// Names a value.
    #[must_use]
    pub fn new(key: &'static str, value: impl Into<Value<'static>>) -> Self {
        Self { key: Cow::Borrowed(key), value: value.into() }
    }
}

/// Cuts a text off at the last whole character within `limit` bytes.
pub(crate) fn truncate(text: &mut String, limit: usize) {
    text.truncate(text.floor_char_boundary(limit));
}

/// Text that takes no more than [`MAX_TEXT_BYTES`] and swallows the rest, so that a huge `Debug` output costs
/// no memory.
#[derive(Default)]
struct BoundedText(String);

impl Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT_BYTES.saturating_sub(self.0.len());
        let end = text.floor_char_boundary(room);
        self.0.push_str(text.get(..end).unwrap_or_default());
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The fields of a `tracing` span or event as they are read.
#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) message: String,
    pub(crate) client: bool,
    pub(crate) attributes: Vec<Attribute>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value<'static>) {
        if let Some(known) = self.attributes.iter_mut().find(|attribute| attribute.key == field.name()) {
            known.value = value;
        } else if self.attributes.len() < MAX_ATTRIBUTES {
            self.attributes.push(Attribute { key: Cow::Borrowed(field.name()), value });
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = BoundedText::default();
        // The one error there is says that the text is full, which is what was asked for.
        let _ = write!(text, "{value:?}");
        match field.name() {
            "message" => self.message = text.0,
            "otel.kind" => self.client = text.0 == "client",
            _ => self.set(field, text.0.into()),
        }
    }
}
