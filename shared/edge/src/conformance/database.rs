//! The database: values survive, batches are transactions, constraints are recognised.

use futures_util::future::join_all;
use iam_core::sql::{Rows, Statement, Value};

use super::{Check, Results, ensure, equal, text, unique_name};
use crate::{Db, DbError, Host};

/// A table of this run alone.
struct Scratch {
    db: Db,
    table: String,
}

pub(super) async fn run(host: &Host, results: &mut Results) {
    let scratch = match Scratch::create(host).await {
        Ok(scratch) => scratch,
        Err(error) => return results.add("database: a table can be created", Err(error)),
    };
    results.add("database: values come back as they were stored", scratch.values_come_back().await);
    results.add("database: what not every host carries is refused", scratch.foreign_values().await);
    results.add("database: statements without rows answer none", scratch.no_rows().await);
    results.add("database: RETURNING answers rows", scratch.returning().await);
    results.add("database: a batch answers in order", scratch.batch_order().await);
    results
        .add("database: a statement of a batch can ask what the one before changed", scratch.changes().await);
    results.add("database: a failing batch changes nothing", scratch.batch_is_atomic().await);
    results.add("database: a wrong statement in a batch changes nothing", scratch.batch_syntax().await);
    results.add("database: constraints are recognised", scratch.constraints().await);
    results.add("database: a trigger's refusal is a constraint", scratch.trigger().await);
    results.add("database: a wrong statement is no constraint", scratch.wrong_statement().await);
    results.add("database: one of many conditional updates wins", scratch.one_winner().await);
    results.add("database: batches at once are one after the other", scratch.concurrent_batches().await);
    results.add("database: round trips are counted", round_trips(host).await);
    results.add("database: a table can be dropped", scratch.drop_table().await);
}

impl Scratch {
    async fn create(host: &Host) -> Result<Self, String> {
        let scratch = Self { db: host.db("conformance"), table: unique_name("conformance_")? };
        scratch
            .run(
                "CREATE TABLE {} (id TEXT PRIMARY KEY, label TEXT, amount INTEGER NOT NULL DEFAULT 0 \
                 CHECK (amount > -9007199254740993))",
                &[],
            )
            .await?;
        Ok(scratch)
    }

    /// A statement about the scratch table, which is written `{}`.
    fn statement(&self, sql: &str, parameters: &[Value]) -> Statement {
        parameters.iter().cloned().fold(Statement::new(sql.replace("{}", &self.table)), Statement::bind)
    }

    async fn run(&self, sql: &str, parameters: &[Value]) -> Result<Rows, String> {
        self.db.run(self.statement(sql, parameters)).await.map_err(text)
    }

    async fn insert(&self, id: &str, label: Value, amount: Value) -> Result<Rows, String> {
        self.run("INSERT INTO {} (id, label, amount) VALUES (?1, ?2, ?3)", &[id.into(), label, amount]).await
    }

    async fn count(&self, id: &str) -> Result<i64, String> {
        let rows = self.run("SELECT COUNT(*) AS count FROM {} WHERE id = ?1", &[id.into()]).await?;
        rows.first().ok_or("COUNT answered no row")?.integer("count").map_err(text)
    }

    async fn values_come_back(&self) -> Check {
        let long = "é".repeat(50_000);
        let labels = [
            Value::Null,
            "".into(),
            "grüße, 日本, 🐎".into(),
            "one\0two".into(),
            "it's \"quoted\" \\ ?1".into(),
            long.as_str().into(),
        ];
        let amounts =
            [0, 1, -1, 1_737_023_400_000, 1 << 53, -(1 << 53)].map(|amount: i64| Value::from(amount));
        for (index, (label, amount)) in labels.into_iter().zip(amounts).enumerate() {
            let id = format!("value-{index}");
            self.insert(&id, label.clone(), amount.clone()).await?;
            let rows = self.run("SELECT label, amount FROM {} WHERE id = ?1", &[id.as_str().into()]).await?;
            let row = rows.first().ok_or_else(|| format!("{id} is gone"))?;
            let seen = row.optional_text("label").map_err(text)?.map(str::to_owned);
            ensure(Value::from(seen) == label, || format!("the label of {id} changed"))?;
            equal(Value::from(row.integer("amount").map_err(text)?), amount)?;
        }
        // As parameters they compare as what they are, too.
        let found = self
            .run(
                "SELECT id FROM {} WHERE label = ?1 AND amount = ?2",
                &["one\0two".into(), Value::Integer(1_737_023_400_000)],
            )
            .await?;
        equal(found.len(), 1)
    }

    /// What an audit record is written by: a change with `RETURNING`, then an insert where it changed
    /// something.
    async fn changes(&self) -> Check {
        self.insert("changed", Value::Null, Value::Integer(0)).await?;
        for (at, wanted) in [("none", 0), ("changed", 1), ("none", 0)] {
            let id = format!("after-{at}");
            let batch = vec![
                self.statement("UPDATE {} SET amount = amount + 1 WHERE id = ?1 RETURNING id", &[at.into()]),
                self.statement(
                    "INSERT INTO {} (id) SELECT ?1 WHERE changes() > 0 ON CONFLICT DO NOTHING",
                    &[id.as_str().into()],
                ),
            ];
            self.db.batch(batch).await.map_err(text)?;
            equal(self.count(&id).await?, wanted)?;
        }
        Ok(())
    }

    async fn foreign_values(&self) -> Check {
        let beyond = self.insert("beyond", Value::Null, Value::Integer((1 << 53) + 1)).await;
        ensure(beyond.is_err(), || "2^53 + 1 was stored".to_owned())?;
        let real = self.run("SELECT 1.5 AS real", &[]).await;
        ensure(real.is_err(), || "1.5 was read".to_owned())
    }

    async fn no_rows(&self) -> Check {
        equal(self.insert("silent", Value::Null, 1.into()).await?.len(), 0)?;
        equal(self.run("UPDATE {} SET amount = 2 WHERE id = 'silent'", &[]).await?.len(), 0)?;
        equal(self.run("SELECT id FROM {} WHERE id = 'nobody'", &[]).await?.len(), 0)?;
        equal(self.run("DELETE FROM {} WHERE id = 'silent'", &[]).await?.len(), 0)
    }

    async fn returning(&self) -> Check {
        let rows = self
            .run(
                "INSERT INTO {} (id, amount) VALUES ('returned', ?1) RETURNING amount + 1 AS next, id",
                &[41.into()],
            )
            .await?;
        let row = rows.first().ok_or("RETURNING answered no row")?;
        equal(row.integer("next").map_err(text)?, 42)?;
        equal(row.text("id").map_err(text)?, "returned")
    }

    async fn batch_order(&self) -> Check {
        let answers = self
            .db
            .batch(vec![
                self.statement("INSERT INTO {} (id, amount) VALUES ('batched', ?1)", &[7.into()]),
                self.statement("SELECT amount, label FROM {} WHERE id = 'batched'", &[]),
                self.statement(
                    "UPDATE {} SET label = ?1 WHERE id = 'batched' RETURNING label",
                    &["new".into()],
                ),
                self.statement("SELECT id FROM {} WHERE id = 'nobody'", &[]),
            ])
            .await
            .map_err(text)?;
        let [inserted, selected, updated, nobody] = answers.as_slice() else {
            return Err(format!("four statements, {} answers", answers.len()));
        };
        equal(inserted.len() + nobody.len(), 0)?;
        let selected = selected.first().ok_or("the batch does not see its own insert")?;
        equal(selected.integer("amount").map_err(text)?, 7)?;
        equal(selected.optional_text("label").map_err(text)?, None)?;
        equal(updated.first().ok_or("RETURNING answered no row")?.text("label").map_err(text)?, "new")
    }

    async fn batch_is_atomic(&self) -> Check {
        let failed = self
            .db
            .batch(vec![
                self.statement("INSERT INTO {} (id) VALUES ('half')", &[]),
                self.statement("INSERT INTO {} (id) VALUES ('half')", &[]),
            ])
            .await;
        ensure(matches!(failed, Err(DbError::Constraint(_))), || format!("the batch ended with {failed:?}"))?;
        equal(self.count("half").await?, 0)?;
        // Nothing is left open either: the same connection works on.
        self.db
            .batch(vec![self.statement("INSERT INTO {} (id) VALUES ('half')", &[])])
            .await
            .map_err(text)?;
        equal(self.count("half").await?, 1)
    }

    async fn batch_syntax(&self) -> Check {
        let failed = self
            .db
            .batch(vec![
                self.statement("INSERT INTO {} (id) VALUES ('quarter')", &[]),
                self.statement("SELECT nothing FROM nowhere", &[]),
            ])
            .await;
        ensure(matches!(failed, Err(DbError::Other(_))), || format!("the batch ended with {failed:?}"))?;
        equal(self.count("quarter").await?, 0)
    }

    async fn constraints(&self) -> Check {
        self.run("INSERT INTO {} (id) VALUES ('taken')", &[]).await?;
        for (what, sql) in [
            ("PRIMARY KEY", "INSERT INTO {} (id) VALUES ('taken')"),
            ("NOT NULL", "INSERT INTO {} (id, amount) VALUES ('null', NULL)"),
            ("CHECK", "INSERT INTO {} (id, amount) VALUES ('low', -9007199254740993)"),
        ] {
            let refused = self.db.run(self.statement(sql, &[])).await;
            ensure(matches!(refused, Err(DbError::Constraint(_))), || format!("{what}: {refused:?}"))?;
        }
        Ok(())
    }

    async fn trigger(&self) -> Check {
        self.run(
            "CREATE TRIGGER {}_guard BEFORE DELETE ON {} WHEN old.id = 'guarded' \
             BEGIN SELECT RAISE(ABORT, 'constraint: guarded rows stay'); END",
            &[],
        )
        .await?;
        self.run("INSERT INTO {} (id) VALUES ('guarded')", &[]).await?;
        let refused = self.db.run(self.statement("DELETE FROM {} WHERE id = 'guarded'", &[])).await;
        self.run("DROP TRIGGER {}_guard", &[]).await?;
        ensure(matches!(refused, Err(DbError::Constraint(_))), || {
            format!("the deletion ended with {refused:?}")
        })?;
        equal(self.count("guarded").await?, 1)
    }

    async fn wrong_statement(&self) -> Check {
        let failed = self.db.run(Statement::new("SELECT nothing FROM nowhere")).await;
        ensure(matches!(failed, Err(DbError::Other(_))), || format!("it ended with {failed:?}"))
    }

    async fn one_winner(&self) -> Check {
        self.run("INSERT INTO {} (id, label) VALUES ('once', 'free')", &[]).await?;
        let attempts = (0..16).map(|number: i32| {
            self.db.run(self.statement(
                "UPDATE {} SET label = 'taken', amount = ?1 WHERE id = 'once' AND label = 'free' RETURNING \
                 amount",
                &[number.into()],
            ))
        });
        let mut winners = 0;
        for attempt in join_all(attempts).await {
            winners += attempt.map_err(text)?.len();
        }
        equal(winners, 1)
    }

    async fn concurrent_batches(&self) -> Check {
        self.run("INSERT INTO {} (id) VALUES ('sum')", &[]).await?;
        let attempts = (0..8).map(|_| {
            self.db.batch(vec![
                self.statement("UPDATE {} SET amount = amount + 1 WHERE id = 'sum'", &[]),
                self.statement("UPDATE {} SET amount = amount * 1 WHERE id = 'sum' RETURNING amount", &[]),
            ])
        });
        for attempt in join_all(attempts).await {
            attempt.map_err(text)?;
        }
        let rows = self.run("SELECT amount FROM {} WHERE id = 'sum'", &[]).await?;
        equal(rows.first().ok_or("the row is gone")?.integer("amount").map_err(text)?, 8)
    }

    async fn drop_table(&self) -> Check {
        self.run("DROP TABLE {}", &[]).await.map(drop)
    }
}

async fn round_trips(host: &Host) -> Check {
    let before = host.round_trips();
    let select = || Statement::new("SELECT 1 AS one");
    host.db("conformance").run(select()).await.map_err(text)?;
    host.clone().db("conformance").batch(vec![select(), select(), select()]).await.map_err(text)?;
    equal(host.round_trips() - before, 2)
}
