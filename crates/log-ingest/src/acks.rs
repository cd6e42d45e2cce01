//! Which numbers of a connection may be acknowledged.

use std::collections::VecDeque;

use log_entry::{Ticket, Written};

/// Beyond this, the newest are acknowledged together.
const PENDING_MAX: usize = 1024;

/// Numbers that wait for their records to be written.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    pending: VecDeque<Pending>,
    /// The highest number whose record is written.
    settled: Option<u64>,
    /// The last number that was given out.
    given: Option<u64>,
    /// The newest ticket of this connection.
    newest: Ticket,
}

/// Records with consecutive places on this connection.
#[derive(Debug, Clone, Copy)]
struct Pending {
    first: Ticket,
    last: Ticket,
    low: u64,
    high: u64,
}

/// A record was lost after it was accepted, so the emitter must send again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost;

// === impl Acks ===

impl Acks {
    /// The record with number `seq` was accepted.
    pub(crate) fn accepted(&mut self, seq: u64, ticket: Ticket) {
        self.newest = ticket;
        self.push(Pending { first: ticket, last: ticket, low: seq, high: seq });
    }

    /// Number `seq` is no record and never will be. It is acknowledged once
    /// what came before it is.
    pub(crate) fn passed_over(&mut self, seq: u64) {
        let ticket = self.newest;
        self.push(Pending { first: ticket, last: ticket, low: seq, high: seq });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The number to acknowledge, if it has risen.
    pub(crate) fn settle(&mut self, written: Written) -> Result<Option<u64>, Lost> {
        // An earlier record may have been lost too: only the last loss is known.
        if self.pending.front().is_some_and(|oldest| oldest.first.max(Ticket(1)) <= written.lost) {
            return Err(Lost);
        }
        while let Some(done) = self.pending.pop_front_if(|oldest| oldest.last <= written.through) {
            self.settled = self.settled.max(Some(done.high));
        }
        // Should the numbers not rise, one that still waits holds back the
        // ones above it.
        let waiting = self.pending.iter().map(|pending| pending.low).min();
        let below = waiting.map_or(Some(u64::MAX), |low| low.checked_sub(1));
        let next = self.settled.min(below);
        if next <= self.given {
            return Ok(None);
        }
        self.given = next;
        Ok(next)
    }

    fn push(&mut self, new: Pending) {
        let is_full = self.pending.len() == PENDING_MAX;
        match self.pending.back_mut() {
            Some(back) if is_full || back.last == new.last => {
                back.last = new.last;
                back.low = back.low.min(new.low);
                back.high = back.high.max(new.high);
            }
            _ => self.pending.push_back(new),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through(ticket: u64) -> Written {
        Written { through: Ticket(ticket), ..Written::default() }
    }

    #[test]
    fn a_number_is_acknowledged_when_all_up_to_it_are_written() {
        let mut acks = Acks::default();
        for (seq, ticket) in [(1, 10), (2, 14), (3, 15)] {
            acks.accepted(seq, Ticket(ticket));
        }
        assert_eq!(acks.settle(through(9)), Ok(None));
        assert_eq!(acks.settle(through(14)), Ok(Some(2)));
        assert_eq!(acks.settle(through(14)), Ok(None));
        assert_eq!(acks.settle(through(99)), Ok(Some(3)));
        assert!(acks.is_empty());
    }

    #[test]
    fn a_lost_record_is_never_acknowledged() {
        let mut acks = Acks::default();
        acks.accepted(1, Ticket(10));
        acks.accepted(2, Ticket(20));
        assert_eq!(acks.settle(Written { through: Ticket(12), lost: Ticket(9) }), Ok(Some(1)));
        assert_eq!(acks.settle(Written { through: Ticket(30), lost: Ticket(25) }), Err(Lost));
    }

    #[test]
    fn what_is_no_record_is_passed_over_in_its_turn() {
        let mut acks = Acks::default();
        acks.passed_over(1);
        assert_eq!(acks.settle(Written::default()), Ok(Some(1)));
        acks.accepted(2, Ticket(5));
        acks.passed_over(3);
        assert_eq!(acks.settle(through(4)), Ok(None));
        assert_eq!(acks.settle(through(5)), Ok(Some(3)));
    }

    proptest! {
        /// Against the sentence of the contract, for numbers in any order.
        #[test]
        fn an_acknowledged_number_has_only_written_ones_below(
            seqs in prop::collection::vec(0..2000_u64, 1..1500),
            steps in prop::collection::vec(1..400_u64, 1..20),
        ) {
            let mut acks = Acks::default();
            for (ticket, seq) in (1..).zip(&seqs) {
                acks.accepted(*seq, Ticket(ticket));
            }
            let mut done = 0;
            for step in steps {
                done += step;
                if let Some(number) = acks.settle(through(done)).unwrap() {
                    let waiting = seqs.iter().skip(usize::try_from(done).unwrap());
                    prop_assert!(waiting.into_iter().all(|seq| *seq > number));
                }
            }
            let last = acks.settle(through(u64::MAX)).unwrap();
            prop_assert!(acks.is_empty() && acks.given == seqs.iter().max().copied(), "{last:?}");
        }
    }
}
