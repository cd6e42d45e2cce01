//! Which events need not be given again.

use std::collections::VecDeque;

use log_entry::{Ticket, Written};

/// The events that one reader gave and that are not acknowledged, in order.
#[derive(Debug, Default)]
pub(super) struct Acks {
    pending: VecDeque<Pending>,
    /// The number of the latest event.
    last: u64,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    /// The record it became, if it became one.
    ticket: Option<Ticket>,
}

/// A record was lost after it was accepted, so its event has to come again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// Events that may be read and not acknowledged.
const PENDING_MAX: usize = 65_536;

// === impl Acks ===

impl Acks {
    /// Event `number` became the record with this ticket, or never will be one.
    pub(super) fn took(&mut self, number: u64, ticket: Option<Ticket>) {
        self.last = number;
        self.pending.push_back(Pending { number, ticket });
    }

    /// Whether event `number` is after all others. One that is not means that
    /// something is given again, or that numbers have begun anew.
    pub(super) fn is_next(&self, number: u64) -> bool {
        number > self.last
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether there is room for some hundred events more.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX
    }

    /// The number up to which all may be acknowledged now, if there is a new
    /// one.
    pub(super) fn settle(&mut self, written: Written) -> Result<Option<u64>, Lost> {
        let mut through = None;
        while let Some(first) = self.pending.front() {
            match first.ticket {
                // An earlier one may have been lost too: only the last loss is
                // known. What was settled before it is not forgotten.
                Some(ticket) if ticket <= written.lost && through.is_none() => return Err(Lost),
                Some(ticket) if ticket <= written.lost || ticket > written.through => break,
                _ => through = self.pending.pop_front().map(|done| done.number),
            }
        }
        Ok(through)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(through: u64, lost: u64) -> Written {
        Written { through: Ticket(through), lost: Ticket(lost) }
    }

    #[test]
    fn an_event_is_acknowledged_when_all_up_to_it_are_written() {
        let mut acks = Acks::default();
        for (number, ticket) in [(3, None), (5, Some(10)), (6, Some(14)), (9, None)] {
            assert!(acks.is_next(number));
            acks.took(number, ticket.map(Ticket));
        }
        assert!(!acks.is_next(9) && !acks.is_next(4));
        assert_eq!(acks.settle(written(9, 0)), Ok(Some(3)));
        assert_eq!(acks.settle(written(10, 0)), Ok(Some(5)));
        assert_eq!(acks.settle(written(10, 0)), Ok(None));
        assert_eq!(acks.settle(written(99, 0)), Ok(Some(9)));
        assert!(acks.is_empty());
    }

    #[test]
    fn a_lost_record_is_never_acknowledged() {
        let mut acks = Acks::default();
        acks.took(1, None);
        acks.took(2, Some(Ticket(11)));
        acks.took(3, None);
        assert_eq!(acks.settle(written(30, 25)), Ok(Some(1)), "what came before it");
        assert_eq!(acks.settle(written(30, 25)), Err(Lost));
        assert_eq!(acks.settle(written(99, 25)), Err(Lost));
    }

    #[test]
    fn there_is_a_bound() {
        let mut acks = Acks::default();
        (1..=PENDING_MAX as u64).for_each(|number| acks.took(number, Some(Ticket(number))));
        assert!(!acks.has_room());
        assert_eq!(acks.settle(written(1, 0)), Ok(Some(1)));
        assert!(acks.has_room());
    }

    proptest! {
        /// Against the sentence: all up to it are no records, or written and
        /// not possibly lost; and the next one is not.
        #[test]
        fn what_is_acknowledged_is_good_and_nothing_good_waits(
            events in prop::collection::vec((1..4_u64, any::<bool>()), 1..100),
            through in 0..120_u64,
            lost in 0..120_u64,
        ) {
            let (mut acks, mut model) = (Acks::default(), Vec::new());
            let (mut number, mut tickets) = (0, 0);
            for (step, is_record) in events {
                number += step;
                tickets += u64::from(is_record);
                let ticket = is_record.then_some(tickets);
                acks.took(number, ticket.map(Ticket));
                model.push((number, ticket));
            }
            let is_good = |ticket: Option<u64>| {
                ticket.is_none_or(|ticket| ticket <= through && ticket > lost)
            };
            let good = model.iter().take_while(|(_, ticket)| is_good(*ticket)).count();
            let is_lost = model.get(good).is_some_and(|(_, it)| it.is_some_and(|it| it <= lost));
            let expected = match good {
                0 if is_lost => Err(Lost),
                0 => Ok(None),
                _ => Ok(Some(model[good - 1].0)),
            };
            prop_assert_eq!(acks.settle(written(through, lost)), expected);
            prop_assert_eq!(acks.pending.len(), model.len() - good);
        }
    }
}
