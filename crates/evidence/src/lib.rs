//! Evidence for audits: what the journal's records say of a period, in tables, as one HTML page and CSV files.
//!
//! Pure: records in, tables and texts out. Knows what the journal's records look like, and which controls of which framework a table is
//! about; no files, no clock, no policy (which columns have tags is asked of the caller). It claims no compliance.

mod csv;
mod figures;
mod framework;
mod page;
mod record;
mod table;

pub use csv::csv;
pub use figures::{Figures, Scope};
pub use framework::{Framework, Part};
pub use page::{Page, page};
pub use table::Table;

#[cfg(test)]
mod tests;
