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
    iam_tests::scenarios::operation::telemetry::arrives(&stage.deployment, &stage.collector).await;
}

#[tokio::test]
async fn the_host_layer_conforms() {
    iam_tests::conformance::spin().await;
}
