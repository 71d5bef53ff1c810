//! Whether an admin's login can do what it must, and which statements mend it: for `gatepost check --connect`.

