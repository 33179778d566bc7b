//! SCIM on the built functions as another's conformance test sees it.

use iam_tests::deployment::Setup;
use iam_tests::scim_tester::{configuration, finds_nothing};

#[tokio::test]
async fn the_conformance_tool_finds_nothing() {
    let (deployment, _running) = iam_tests::hosts::workerd(Setup::new(&configuration()));
    finds_nothing(&deployment).await;
}

#[tokio::test]
async fn the_conformance_tool_finds_nothing_on_spin() {
    let (deployment, _running) = iam_tests::hosts::spin(Setup::new(&configuration()));
    finds_nothing(&deployment).await;
}
