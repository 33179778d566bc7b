//! Running the product.

mod flags;
mod metrics_push;
mod secrets;
