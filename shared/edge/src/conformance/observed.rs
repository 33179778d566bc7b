//! Clock, randomness, variables, log and deferred work.

use iam_core::sql::Statement;

use super::{Check, Results, ensure, equal, text, unique_name};
use crate::{Host, now, random};

pub(super) async fn run(host: &Host, results: &mut Results) {
    results.add("clock: it is today and time goes on", clock(host).await);
    results.add("randomness: it does not repeat", randomness());
    results.add("variables: present and absent ones", variables(host).await);
    results.add("secrets: present, absent and never printed", secrets(host).await);
    results.add("deferred work: it runs to its end", deferred(host).await);
    results.add("log: a line can be written", log(host));
}

async fn clock(host: &Host) -> Check {
    let before = now();
    // 2025 to 2100: a clock that counts seconds or stands at the epoch is outside.
    let today = 1_735_689_600_000..4_102_444_800_000;
    ensure(today.contains(&before.as_millis()), || format!("the clock says {before}"))?;
    host.sleep(60).await;
    let passed = now().as_millis() - before.as_millis();
    ensure((40..5_000).contains(&passed), || format!("60 ms took {passed} ms"))
}

fn randomness() -> Check {
    let (mut first, mut second) = ([0; 32], [0; 32]);
    random(&mut first).map_err(text)?;
    random(&mut second).map_err(text)?;
    ensure(first != second && first != [0; 32], || "the same bytes twice".to_owned())?;
    // More than a browser's generator gives at once.
    let mut large = vec![0; 100_000];
    random(&mut large).map_err(text)?;
    let last = large.rchunks(32).next().unwrap_or_default();
    ensure(last.iter().any(|byte| *byte != 0), || "the end of a large buffer was left empty".to_owned())
}

async fn variables(host: &Host) -> Check {
    equal(host.variable("CONFORMANCE_TEXT").await.map_err(text)?.as_deref(), Some("grüße"))?;
    equal(host.variable("CONFORMANCE_ABSENT").await.map_err(text)?, None)
}

async fn secrets(host: &Host) -> Check {
    let secret = host.secret("CONFORMANCE_SECRET").await.map_err(text)?.ok_or("the secret is absent")?;
    equal(secret.expose(), "do not print")?;
    ensure(!format!("{secret:?}").contains("print"), || "the secret prints itself".to_owned())?;
    ensure(host.secret("CONFORMANCE_ABSENT").await.map_err(text)?.is_none(), || "an absent secret".to_owned())
}

async fn deferred(host: &Host) -> Check {
    let table = unique_name("conformance_")?;
    let db = host.db("conformance");
    db.run(Statement::new(format!("CREATE TABLE {table} (done INTEGER)"))).await.map_err(text)?;
    let (deferred, insert) = (host.clone(), Statement::new(format!("INSERT INTO {table} VALUES (1)")));
    host.defer(async move {
        deferred.sleep(20).await;
        if let Err(error) = deferred.db("conformance").run(insert).await {
            deferred.log(&error.to_string());
        }
    });
    let mut seen = false;
    for _ in 0..50 {
        host.sleep(50).await;
        let rows = db.run(Statement::new(format!("SELECT done FROM {table}"))).await.map_err(text)?;
        seen = !rows.is_empty();
        if seen {
            break;
        }
    }
    db.run(Statement::new(format!("DROP TABLE {table}"))).await.map_err(text)?;
    ensure(seen, || "nothing happened within 2.5 seconds".to_owned())
}

fn log(host: &Host) -> Check {
    host.log(r#"{"message":"conformance: a line in the log"}"#);
    Ok(())
}
