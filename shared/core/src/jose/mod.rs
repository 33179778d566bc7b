//! JSON Object Signing and Encryption: what is signed, encrypted and published as keys (RFC 7515 to 7519).

pub mod jwe;
pub mod jwk;
mod jws;
pub mod jwt;
