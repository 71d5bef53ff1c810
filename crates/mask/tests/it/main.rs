//! Masks as policies write them and clients meet them.

#[cfg(test)]
mod columns;
#[cfg(test)]
mod rows;
