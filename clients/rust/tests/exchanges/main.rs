//! Exchanges with a real TCP server that answers, fails and lies as a test says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test may fail

mod background;
mod breaker;
mod decide;
mod faults;
mod judgement;
mod service;
mod windows;
