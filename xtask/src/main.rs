//! Every verb of the project: build, check, test, demo.
fn main() {}
