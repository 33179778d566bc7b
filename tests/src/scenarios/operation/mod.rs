//! Running the product.

pub mod flags;
pub mod health;
pub mod hostile;
pub mod secrets;
pub mod telemetry;
pub mod vault;
