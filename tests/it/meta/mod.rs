//! Rules about the source that a compiler does not check.

mod direction;
mod settings_guide;
