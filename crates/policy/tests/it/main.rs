//! The crate from outside: bundles from folders, decisions as tables, mistakes as texts.

#[cfg(test)]
mod decisions;
#[cfg(test)]
mod grants;
mod limits;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod support;
