//! How people sign in: passwords, their policy and their change, lockout, sessions, emergency access.

pub mod acts;
pub mod break_glass;
pub mod device;
pub mod lockout;
pub mod password;
pub mod session;
