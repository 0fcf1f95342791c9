//! Services on hyper without a framework: the example, and stacks of tower's own layers.

#[cfg(feature = "redis")]
mod example;
mod stacks;
