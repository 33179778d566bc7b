//! The domain against vectors of others, in one program.

mod jws_vectors;
mod password_hashes;
mod sealed_columns;
mod webhook_vectors;
