//! The host's log, without a request.

/// Writes one line to the host's log: the console on Workers, standard error elsewhere.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub fn log(line: &str) {
    worker::web_sys::console::log_1(&wasm_bindgen::JsValue::from_str(line));
}

/// Writes one line to the host's log: the console on Workers, standard error elsewhere.
#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
pub fn log(line: &str) {
    use std::io::Write as _;
    #[cfg(not(target_family = "wasm"))]
    crate::native::keep(line);
    // A log that can't be written to is no reason to fail a request.
    let _ = writeln!(std::io::stderr(), "{line}");
}
