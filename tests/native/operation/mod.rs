//! Running the product.

mod flags;
mod metrics_push;
mod reseal;
mod secrets;
