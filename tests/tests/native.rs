//! The scenarios on the native host.

use std::sync::OnceLock;

use iam_tests::Deployment;
use iam_tests::deployment::Setup;

async fn deployment() -> &'static Deployment {
    static DEPLOYMENT: OnceLock<Deployment> = OnceLock::new();
    DEPLOYMENT.get_or_init(|| iam_tests::native::start(Setup::new(&iam_tests::scenarios::configuration())).0)
}

iam_tests::scenarios!(deployment);
