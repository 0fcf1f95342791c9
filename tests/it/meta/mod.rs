//! Rules about the source that a compiler does not check.

mod direction;
mod ops;
mod settings_guide;
