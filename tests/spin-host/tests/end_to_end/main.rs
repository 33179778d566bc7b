//! A real component on the real host: what Spin gives, what it refuses, how its instances live.

#[cfg(test)]
mod enforcement;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod support;
