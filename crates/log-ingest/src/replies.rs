//! What is still to be sent back on one connection.

use log_entry::Levels;
use serde_json::{Map, Value, json};

use crate::wire::frame::frame;

/// One frame on its way, and after it the newest of each kind. A peer that
/// does not read makes nothing grow.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    bytes: Vec<u8>,
    sent: usize,
    ack: Option<u64>,
    levels: Option<Levels>,
}

// === impl Replies ===

impl Replies {
    /// Acknowledges `seq`; an earlier number that was not sent yet is not needed.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        self.ack = Some(seq);
    }

    /// Says which levels are wanted.
    pub(crate) fn set_levels(&mut self, levels: Levels) {
        self.levels = Some(levels);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.ack.is_none() && self.levels.is_none()
    }

    /// The bytes to send next; none if there is nothing to say.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        if self.sent == self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            if let Some(levels) = self.levels.take() {
                self.bytes.extend(frame(levels_json(&levels).to_string().as_bytes()));
            }
            if let Some(seq) = self.ack.take() {
                self.bytes.extend(frame(json!({ "ack": seq }).to_string().as_bytes()));
            }
        }
        &self.bytes[self.sent..]
    }

    /// So many of the bytes are sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count;
    }
}

fn levels_json(levels: &Levels) -> Value {
    let mut by_logger = Map::new();
    by_logger.insert("root".to_owned(), json!(levels.global));
    for (logger, level) in &levels.loggers {
        by_logger.insert(logger.clone(), json!(level));
    }
    json!({ "levels": by_logger })
}

#[cfg(test)]
mod tests {
    use log_entry::Level;

    use super::*;

    #[test]
    fn only_the_newest_waits_behind_a_frame_on_its_way() {
        let mut replies = Replies::default();
        replies.acknowledge(1);
        assert_eq!(replies.bytes(), frame(br#"{"ack":1}"#));
        replies.sent(5);
        for seq in 2..1000 {
            replies.acknowledge(seq);
        }
        assert_eq!(replies.bytes(), &frame(br#"{"ack":1}"#)[5..]);
        replies.sent(8);
        assert_eq!(replies.bytes(), frame(br#"{"ack":999}"#));
        replies.sent(15);
        assert!(replies.is_empty());
    }

    #[test]
    fn levels_go_out_by_logger() {
        let mut replies = Replies::default();
        replies.set_levels(Levels::new(Level::Info).with("a.b", Level::Debug));
        let expected = frame(br#"{"levels":{"a.b":"DEBUG","root":"INFO"}}"#);
        assert_eq!(replies.bytes(), expected);
    }
}
