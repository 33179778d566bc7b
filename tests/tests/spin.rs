//! The scenarios on the built functions, on a Spin-compatible host, with a real collector behind them.

use std::sync::OnceLock;

use iam_tests::deployment::Deployment;
use iam_tests::stage::Stage;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::start(iam_tests::hosts::spin))
}

async fn deployment() -> &'static Deployment {
    &stage().deployment
}

iam_tests::scenarios!(deployment);
iam_tests::host_scenarios!(iam_tests::hosts::spin);

#[tokio::test]
async fn telemetry_reaches_a_real_collector() {
    let stage = stage();
    iam_tests::scenarios::telemetry::arrives(&stage.deployment, &stage.collector).await;
}

#[tokio::test]
async fn the_host_layer_conforms() {
    iam_tests::conformance::spin().await;
}

/// Fewer at the same moment than elsewhere: the first requests of an instance lease in a transaction that writes, before they
/// know whether limits are enforced, and SQLite has one at a time.
#[tokio::test]
async fn a_revocation_is_seen_by_the_next() {
    let (deployment, _running) = iam_tests::hosts::spin(iam_tests::scenarios::limits::without_limits());
    iam_tests::scenarios::limits::a_revocation_is_seen_by_the_next(&deployment, 50).await;
}
