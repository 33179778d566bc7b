//! Rounds: short runs of everything, one after the other, so that what else the machine does falls on all
//! alike.

use anyhow::{Context, Result};

use super::operations::{Baseline, Operation, Send};
use super::server::Server;

/// Rounds before those that count. The baselines run beside each operation, so they are optimised long before
/// any of them is; an operation takes about a thousand requests.
const WARM_UP: u32 = 5;

/// CPU milliseconds of workerd per request, as one round measured them next to each other.
pub(super) struct Sample {
    pub(super) operation: f64,
    pub(super) bare: f64,
    pub(super) select: f64,
    pub(super) argon2id: Option<f64>,
}

/// What was measured of one operation.
pub(super) struct Measured {
    pub(super) operation: Operation,
    pub(super) samples: Vec<Sample>,
}

/// Warms everything up, then measures.
pub(super) fn rounds(
    server: &Server,
    baseline: &mut Baseline,
    operations: Vec<Operation>,
    requests: u32,
    rounds: u32,
) -> Result<Vec<Measured>> {
    let mut all: Vec<Measured> =
        operations.into_iter().map(|operation| Measured { operation, samples: Vec::new() }).collect();
    for round in 0..WARM_UP.saturating_add(rounds) {
        for Measured { operation, samples } in &mut all {
            let sample = sample(server, baseline, operation, requests)
                .with_context(|| format!("cannot measure {}", operation.name))?;
            if round >= WARM_UP {
                samples.push(sample);
            }
        }
        match round.checked_sub(WARM_UP) {
            None => eprintln!("  warming up"),
            Some(round) => eprintln!("  round {}", round.saturating_add(1)),
        }
    }
    Ok(all)
}

fn sample(
    server: &Server,
    baseline: &mut Baseline,
    operation: &mut Operation,
    requests: u32,
) -> Result<Sample> {
    let some = requests.div_ceil(operation.divisor);
    Ok(Sample {
        bare: spent(server, &mut baseline.bare, requests)?,
        select: spent(server, &mut baseline.select, requests)?,
        argon2id: operation
            .argon2id_budget
            .map(|_| spent(server, &mut baseline.argon2id, some))
            .transpose()?,
        operation: spent(server, &mut operation.send, some)?,
    })
}

/// CPU milliseconds per request.
pub(super) fn spent(server: &Server, send: &mut Send, requests: u32) -> Result<f64> {
    let before = server.processor_time()?;
    for _ in 0..requests {
        send()?;
    }
    let after = server.processor_time()?;
    Ok(after.saturating_sub(before).as_secs_f64() * 1000.0 / f64::from(requests))
}

impl Measured {
    pub(super) fn milliseconds(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.operation))
    }

    pub(super) fn to_bare(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.operation / sample.bare))
    }

    pub(super) fn to_select(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.operation / sample.select))
    }

    pub(super) fn to_argon2id(&self) -> Option<f64> {
        let ratios: Option<Vec<f64>> =
            self.samples.iter().map(|sample| Some(sample.operation / sample.argon2id?)).collect();
        ratios.map(|ratios| median(ratios.into_iter()))
    }
}

/// The middle one; of an even number the mean of the middle two.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|index| values.get(index)).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([9.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 2.0, 9.0].into_iter()) - 3.0).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).is_nan());
    }
}
