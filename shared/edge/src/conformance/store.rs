//! The key-value cache.

use super::{Check, Results, equal, text, unique_name};
use crate::Host;

pub(super) async fn run(host: &Host, results: &mut Results) {
    results.add("key-value: a value is stored, replaced and deleted", lifecycle(host).await);
    results.add("key-value: a value ends with its life", expiry(host).await);
}

async fn lifecycle(host: &Host) -> Check {
    let (kv, key) = (host.kv(), unique_name("conformance:")?);
    equal(kv.get(&key).await.map_err(text)?, None)?;
    kv.put(&key, "first: grüße", 120).await.map_err(text)?;
    equal(kv.get(&key).await.map_err(text)?.as_deref(), Some("first: grüße"))?;
    kv.put(&key, "", 120).await.map_err(text)?;
    equal(kv.get(&key).await.map_err(text)?.as_deref(), Some(""))?;
    kv.delete(&key).await.map_err(text)?;
    equal(kv.get(&key).await.map_err(text)?, None)?;
    kv.delete(&key).await.map_err(text)
}

async fn expiry(host: &Host) -> Check {
    let (kv, key) = (host.kv(), unique_name("conformance:")?);
    kv.put(&key, "short", 1).await.map_err(text)?;
    host.sleep(1_100).await;
    let seen = kv.get(&key).await.map_err(text)?;
    kv.delete(&key).await.map_err(text)?;
    equal(seen, None)
}
