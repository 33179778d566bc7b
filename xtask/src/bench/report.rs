//! The table, the budgets and the same as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::measure::{Measured, Sample, median};
use super::server::{RoundTrips, RoundTripsByRoute};
use crate::build::write;
use crate::sizes;
use crate::workspace::Workspace;

/// Everything that was found out.
pub(super) struct Report {
    measured: Vec<Measured>,
    round_trips: RoundTripsByRoute,
    /// On Workers.
    sizes: Vec<FunctionSize>,
}

/// What a function weighs, in gzipped kilobytes, and what it may weigh.
struct FunctionSize {
    function: String,
    kilobytes: f64,
    budget: f64,
}

/// A limit, and whether it was kept.
struct Budget {
    what: String,
    value: f64,
    most: f64,
}

impl Report {
    pub(super) fn new(
        workspace: &Workspace,
        measured: Vec<Measured>,
        round_trips: RoundTripsByRoute,
    ) -> Result<Self> {
        let budgets = sizes::Budgets::read(workspace)?;
        let sizes = workspace
            .functions()
            .map(|module| {
                let function = module.name.clone();
                let size = sizes::size(&workspace.dist("cloudflare").join(&function))?;
                // A few hundred: exact.
                let budget = budgets.of("cloudflare", &function)? as f64;
                Ok(FunctionSize { function, kilobytes: sizes::kilobytes(size.gzipped), budget })
            })
            .collect::<Result<_>>()?;
        Ok(Self { measured, round_trips, sizes })
    }

    /// Prints the tables; gives the number of budgets that were exceeded.
    pub(super) fn print(&self) -> usize {
        let row = |name: &str, cells: [String; 5]| {
            let [cpu, bare, select, argon2id, round_trips] = cells;
            println!("{name:<26} {cpu:>7} {bare:>7} {select:>8} {argon2id:>10}   {round_trips}");
        };
        let heads = ["CPU ms", "× bare", "× select", "× argon2id", "round trips"];
        row("operation", heads.map(str::to_owned));
        for (name, value) in self.baselines() {
            row(name, [format!("{value:.3}"), String::new(), String::new(), String::new(), String::new()]);
        }
        for measured in &self.measured {
            let argon2id = measured.to_argon2id().map(ratio).unwrap_or_default();
            let cells = [
                format!("{:.3}", measured.milliseconds()),
                ratio(measured.to_bare()),
                ratio(measured.to_select()),
                argon2id,
                self.round_trips(measured).map(describe).unwrap_or_default(),
            ];
            row(measured.operation.name, cells);
        }
        println!("\n{:<26} {:>7}", "function", "gzip KB");
        for FunctionSize { function, kilobytes, .. } in &self.sizes {
            println!("{function:<26} {kilobytes:>7.1}");
        }
        println!();
        let budgets = self.budgets();
        for budget in &budgets {
            let verdict = if budget.is_held() { "held" } else { "exceeded" };
            println!("{verdict:<9} {} {:.2} of at most {:.2}", budget.what, budget.value, budget.most);
        }
        budgets.iter().filter(|budget| !budget.is_held()).count()
    }

    /// Writes everything as JSON, the single samples too.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let baselines: Value =
            self.baselines().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let sizes: BTreeMap<_, _> = self.sizes.iter().map(|size| (&size.function, size.kilobytes)).collect();
        let document = json!({
            "baselines": baselines,
            "operations": self.measured.iter().map(|measured| self.operation(measured)).collect::<Vec<_>>(),
            "gzip_kilobytes": sizes,
            "budgets": self.budgets().iter().map(Budget::to_json).collect::<Vec<_>>(),
        });
        write(path, format!("{document:#}\n").as_bytes())
            .with_context(|| format!("cannot save the figures in {}", path.display()))
    }

    fn operation(&self, measured: &Measured) -> Value {
        let sample = |sample: &Sample| {
            json!({
                "operation": sample.operation, "bare": sample.bare, "select": sample.select,
                "argon2id": sample.argon2id,
            })
        };
        let round_trips = self.round_trips(measured);
        json!({
            "name": measured.operation.name,
            "cpu_milliseconds": measured.milliseconds(),
            "to_bare": measured.to_bare(),
            "to_select": measured.to_select(),
            "to_argon2id": measured.to_argon2id(),
            "round_trips": round_trips.map(|round_trips| round_trips.usual),
            "round_trips_at_most": round_trips.map(|round_trips| round_trips.most),
            "samples": measured.samples.iter().map(sample).collect::<Vec<_>>(),
        })
    }

    fn baselines(&self) -> Vec<(&'static str, f64)> {
        let samples = || self.measured.iter().flat_map(|measured| &measured.samples);
        vec![
            ("bare", median(samples().map(|sample| sample.bare))),
            ("select by primary key", median(samples().map(|sample| sample.select))),
            ("argon2id", median(samples().filter_map(|sample| sample.argon2id))),
        ]
    }

    fn round_trips(&self, measured: &Measured) -> Option<RoundTrips> {
        self.round_trips.get(measured.operation.route).copied()
    }

    fn budgets(&self) -> Vec<Budget> {
        let mut budgets = Vec::new();
        for measured in &self.measured {
            let operation = &measured.operation;
            let mut add = |what: &str, value: f64, most: Option<f64>| {
                let what = format!("{}: {what}", operation.name);
                budgets.extend(most.map(|most| Budget { what, value, most }));
            };
            add("CPU × select", measured.to_select(), operation.select_budget);
            add("CPU × argon2id", measured.to_argon2id().unwrap_or(f64::NAN), operation.argon2id_budget);
            // Counts are small, and exact as fractions.
            let most = self.round_trips(measured).map_or(f64::NAN, |round_trips| round_trips.most as f64);
            add("round trips", most, operation.round_trip_budget.map(|budget| budget as f64));
        }
        let sizes = self.sizes.iter().map(|size| Budget {
            what: format!("{}: gzip KB", size.function),
            value: size.kilobytes,
            most: size.budget,
        });
        budgets.extend(sizes);
        budgets
    }
}

impl Budget {
    /// What could not be measured (not a number) is not held.
    fn is_held(&self) -> bool {
        self.value <= self.most
    }

    fn to_json(&self) -> Value {
        json!({ "what": self.what, "value": self.value, "most": self.most, "held": self.is_held() })
    }
}

fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

fn describe(round_trips: RoundTrips) -> String {
    if round_trips.usual == round_trips.most {
        round_trips.usual.to_string()
    } else {
        format!("{} (at first {})", round_trips.usual, round_trips.most)
    }
}
