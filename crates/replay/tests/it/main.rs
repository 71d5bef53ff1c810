//! What is printed, against stock psql on real servers.

#![cfg(test)]

mod page;
mod psql;
mod sample;
