//! `spin:key-value`: a table of a SQLite database.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use crate::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use crate::database::Database;
use crate::instance::{InstanceState, SpinInterfaces};

/// Every key-value store of the application.
#[derive(Clone, Debug)]
pub(crate) struct KeyValueStores(Database);

/// A store that a component has opened.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenStore {
    stores: KeyValueStores,
    label: String,
}

impl KeyValueStores {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let database = Database::open_with_write_ahead_log(path)?;
        database.with(|connection| {
            connection.pragma_update(None, "synchronous", "normal")?;
            connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS key_value \
                 (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key)) \
                 WITHOUT ROWID, STRICT",
            )
        })?;
        Ok(Self(database))
    }
}

impl OpenStore {
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let Self { stores, label } = self;
        let outcome = stores.0.run(move |connection| work(connection, &label)).await.map_err(Error::Other)?;
        outcome.map_err(|error| Error::Other(error.to_string()))
    }
}

fn opened<T>(
    accessor: &Accessor<T, SpinInterfaces>,
    store: &Resource<OpenStore>,
) -> wasmtime::Result<OpenStore> {
    accessor.with(|mut access| Ok(access.get().table.get(store)?.clone()))
}

impl Host for InstanceState {}

impl HostStore for InstanceState {
    fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl<T: 'static> HostStoreWithStore<T> for SpinInterfaces {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<OpenStore>, Error>> {
        accessor.with(|mut access| {
            let state = access.get();
            if !state.component.key_value_stores.contains(&label) {
                return Ok(Err(Error::AccessDenied));
            }
            let stores = state.component.stores.key_value.clone();
            Ok(Ok(state.table.push(OpenStore { stores, label })?))
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let select = move |connection: &Connection, label: &str| {
            connection
                .prepare_cached("SELECT value FROM key_value WHERE store = ?1 AND key = ?2")?
                .query_row(params![label, key], |row| row.get(0))
                .optional()
        };
        Ok(opened(accessor, &store)?.run(select).await)
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let upsert = move |connection: &Connection, label: &str| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO key_value (store, key, value) VALUES (?1, ?2, ?3)")?
                .execute(params![label, key, value])
                .map(drop)
        };
        Ok(opened(accessor, &store)?.run(upsert).await)
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let delete = move |connection: &Connection, label: &str| {
            connection
                .prepare_cached("DELETE FROM key_value WHERE store = ?1 AND key = ?2")?
                .execute(params![label, key])
                .map(drop)
        };
        Ok(opened(accessor, &store)?.run(delete).await)
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        Ok(Self::get(accessor, store, key).await?.map(|value| value.is_some()))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let select = |connection: &Connection, label: &str| {
            let mut statement = connection.prepare_cached("SELECT key FROM key_value WHERE store = ?1")?;
            statement.query_map(params![label], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        let (keys, outcome) = match opened(accessor, &store)?.run(select).await {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let outcome =
                FutureReader::new(&mut access, std::future::ready(Ok::<_, wasmtime::Error>(outcome)))?;
            Ok((keys, outcome))
        })
    }
}
