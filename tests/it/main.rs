//! The stories, one module each.

mod bad_input;
mod command_line;
mod flood;
mod loops;
mod python_to_everywhere;
