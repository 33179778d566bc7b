//! Running the product.

mod clock;
mod flags;
mod metrics_push;
mod reseal;
mod secrets;
