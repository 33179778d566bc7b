//! A SQLite connection that asynchronous code can use.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

/// A connection shared by whoever holds a clone; its work runs on the blocking threads, one call at a time.
#[derive(Clone, Debug)]
pub(crate) struct Database(Arc<Mutex<Connection>>);

impl Database {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Connection::open(path)?))))
    }

    /// Opens the database for good: in WAL mode, which stays with the file.
    pub(crate) fn open_with_write_ahead_log(path: &Path) -> rusqlite::Result<Self> {
        let database = Self::open(path)?;
        database.with(|connection| connection.pragma_update(None, "journal_mode", "wal"))?;
        Ok(database)
    }

    /// Runs `work` here and now.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `work` on a blocking thread; the error is the thread's, not the work's.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> Result<T, String> {
        let database = self.clone();
        tokio::task::spawn_blocking(move || database.with(work)).await.map_err(|error| error.to_string())
    }
}
