//! A deployment of the built functions, with a real collector behind it.

use crate::collector::Collector;
use crate::deployment::{Deployment, Setup};
use crate::process::Attached;

/// What the tests of one host share.
pub struct Stage {
    /// The product.
    pub deployment: Deployment,
    /// Where its telemetry goes.
    pub collector: Collector,
    _running: Attached,
}

impl Stage {
    /// Starts both.
    pub fn start(host: fn(Setup) -> (Deployment, Attached)) -> Self {
        let collector = Collector::start();
        let configuration = crate::scenarios::traced_configuration(&collector.endpoint);
        let (deployment, running) = host(Setup::new(&configuration));
        Self { deployment, collector, _running: running }
    }
}
