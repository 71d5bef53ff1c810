//! Tickets for records on their way to the journal, and receipts for those that arrived.

use std::marker::PhantomData;

/// Numbers the records of one session, from 1, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// The record has left the process.
pub enum Written {}
/// The record is on disk.
pub enum Durable {}

/// Proof that a record was kept as strongly as `K` says. Made only here.
pub struct Receipt<K> {
    kind: PhantomData<K>,
}

/// What has been appended and acknowledged.
#[derive(Default)]
pub(crate) struct Ledger {
    issued: u64,
    written: u64,
    durable: u64,
}

impl Ledger {
    /// Makes the next ticket.
    pub(crate) fn issue(&mut self) -> Ticket {
        self.issued += 1;
        Ticket(self.issued)
    }

    pub(crate) fn note_written(&mut self, ticket: Ticket) {
        self.written = self.written.max(ticket.0.min(self.issued));
    }

    pub(crate) fn note_durable(&mut self, ticket: Ticket) {
        self.note_written(ticket);
        self.durable = self.durable.max(ticket.0.min(self.issued));
    }

    /// Returns the proof if the record has left the process.
    pub(crate) fn written(&self, ticket: Ticket) -> Option<Receipt<Written>> {
        (ticket.0 <= self.written).then_some(Receipt { kind: PhantomData })
    }

    /// Returns the proof if the record is on disk.
    pub(crate) fn durable(&self, ticket: Ticket) -> Option<Receipt<Durable>> {
        (ticket.0 <= self.durable).then_some(Receipt { kind: PhantomData })
    }
}

impl Receipt<Durable> {
    /// What is on disk has left the process.
    pub fn weaken(self) -> Receipt<Written> {
        Receipt { kind: PhantomData }
    }
}
