//! The order in which operations run: what one refers to comes before it, and otherwise they stay as they
//! were sent.

use std::collections::HashMap;

use iam_provisioning::ScimError;

use super::operation::{Method, Operation};

/// The places of the operations, in order. Where references go in a circle, the one that was sent first goes
/// first.
pub(super) fn of(operations: &[Result<Operation, ScimError>]) -> Vec<usize> {
    let creations: HashMap<&str, usize> = operations
        .iter()
        .enumerate()
        .filter_map(|(index, operation)| {
            let operation = operation.as_ref().ok().filter(|operation| operation.method == Method::Post)?;
            Some((operation.bulk_id.as_deref()?, index))
        })
        .collect();
    let needs = |index: usize| -> Vec<usize> {
        let operation = operations.get(index).and_then(|operation| operation.as_ref().ok());
        let references = operation.map(Operation::references).unwrap_or_default();
        let mut needed: Vec<usize> =
            references.into_iter().filter_map(|reference| creations.get(reference).copied()).collect();
        needed.sort_unstable();
        needed
    };
    let mut order = Vec::with_capacity(operations.len());
    let mut is_begun = vec![false; operations.len()];
    for first in 0..operations.len() {
        // A stack of our own: a chain of references is as long as the request.
        let mut stack = vec![(first, false)];
        while let Some((index, is_ready)) = stack.pop() {
            if is_ready {
                order.push(index);
                continue;
            }
            match is_begun.get_mut(index) {
                Some(begun) if !*begun => *begun = true,
                _ => continue,
            }
            stack.push((index, true));
            stack.extend(needs(index).into_iter().rev().map(|needed| (needed, false)));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(references: &[(&str, &[&str])]) -> Vec<usize> {
        let operations: Vec<_> = references
            .iter()
            .map(|(bulk_id, needed)| {
                let needed: Vec<_> = needed.iter().map(|needed| format!("bulkId:{needed}")).collect();
                Operation::read(
                    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": {"x": needed}}),
                )
            })
            .collect();
        of(&operations)
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        assert_eq!(order(&[("a", &[]), ("b", &[]), ("c", &[])]), [0, 1, 2]);
        assert_eq!(order(&[("a", &["c"]), ("b", &[]), ("c", &["b"])]), [1, 2, 0]);
        assert_eq!(order(&[("a", &["nobody"]), ("b", &["a"])]), [0, 1]);
    }

    #[test]
    fn circles_end() {
        assert_eq!(order(&[("a", &["b"]), ("b", &["a"])]), [1, 0]);
        assert_eq!(order(&[("a", &["a"])]), [0]);
        let chain: Vec<(String, String)> =
            (0..100).map(|number| (number.to_string(), ((number + 1) % 100).to_string())).collect();
        let references: Vec<[&str; 1]> = chain.iter().map(|(_, next)| [next.as_str()]).collect();
        let chain: Vec<(&str, &[&str])> =
            chain.iter().zip(&references).map(|((id, _), next)| (id.as_str(), next.as_slice())).collect();
        assert_eq!(order(&chain).len(), 100);
    }
}
