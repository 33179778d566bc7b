use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use iam_core::sql::{Rows, Statement, Value};
use js_sys::futures::JsFuture;
use js_sys::{Array, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::send::{SendFuture, SendWrapper};

use super::javascript::{D1Database, D1PreparedStatement, describe};
use crate::DbError;
use crate::database::{check_integer, error_from_message};
use crate::json_rows::{rows_of_arrays, rows_of_batch};

/// The database of one organization.
#[derive(Clone)]
pub struct Db {
    pub(super) binding: Option<SendWrapper<JsValue>>,
    pub(super) round_trips: Arc<AtomicU32>,
}

thread_local! {
    /// Asks `raw` for the names of the columns. Made once per isolate, not once per query.
    static WITH_COLUMN_NAMES: JsValue = {
        let options = Object::new();
        // Setting a property of a fresh object cannot fail; without it the first row would be missing,
        // which the conformance suite would show.
        let _ = Reflect::set(&options, &JsValue::from_str("columnNames"), &JsValue::TRUE);
        options.into()
    };
}

impl Db {
    /// Runs one statement in one round trip.
    ///
    /// # Errors
    /// When a constraint refuses it, the database is busy, or it fails otherwise.
    pub async fn run(&self, statement: Statement) -> Result<Rows, DbError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        SendFuture::new(async move {
            let prepared = prepare(self.database()?, &statement)?;
            let promise = WITH_COLUMN_NAMES.with(|options| prepared.raw(options)).map_err(thrown)?;
            rows_of_arrays(&text(&settled(promise).await?)?)
        })
        .await
    }

    /// Runs the statements in one round trip and one transaction: all of them or none.
    ///
    /// # Errors
    /// The first statement's that fails; then nothing has changed.
    pub async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Rows>, DbError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        SendFuture::new(async move {
            let database = self.database()?;
            let prepared = Array::new();
            for statement in &statements {
                prepared.push(prepare(database, statement)?.as_ref());
            }
            let promise = database.batch(&prepared).map_err(thrown)?;
            rows_of_batch(&text(&settled(promise).await?)?)
        })
        .await
    }

    fn database(&self) -> Result<&D1Database, DbError> {
        match &self.binding {
            Some(binding) => Ok(binding.0.unchecked_ref()),
            None => Err(DbError::Other("binding `DB` is missing".to_owned())),
        }
    }
}

fn prepare(database: &D1Database, statement: &Statement) -> Result<D1PreparedStatement, DbError> {
    let prepared = database.prepare(statement.text()).map_err(thrown)?;
    if statement.parameters().is_empty() {
        return Ok(prepared);
    }
    let values = Array::new();
    for value in statement.parameters() {
        values.push(&match value {
            Value::Null => JsValue::NULL,
            Value::Integer(integer) => JsValue::from_f64(check_integer(*integer)? as f64),
            Value::Text(text) => JsValue::from_str(text),
        });
    }
    prepared.bind(&values).map_err(thrown)
}

async fn settled(promise: Promise) -> Result<JsValue, DbError> {
    JsFuture::from(promise).await.map_err(thrown)
}

/// What D1 answered, as one string.
fn text(answer: &JsValue) -> Result<String, DbError> {
    let json: JsValue = js_sys::JSON::stringify(answer).map_err(thrown)?.into();
    json.as_string().ok_or_else(|| DbError::Other("D1 answered nothing".to_owned()))
}

fn thrown(error: JsValue) -> DbError {
    error_from_message(describe(&error))
}
