//! What needs no built module: the scenarios on the native host, and what a room is tested for besides.

mod house;
#[path = "../models/mod.rs"]
mod models;
mod scenarios;

mod directory;
mod keys;
mod oauth;
mod operation;
mod provisioning;
mod sign_in;
mod webhooks;
