//! The format as readers and attackers meet it.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod events;
#[cfg(test)]
mod golden;
mod recordings;
#[cfg(test)]
mod tamper;
