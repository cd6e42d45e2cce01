//! Which service a record belongs to, remembered per logger.

use std::collections::HashMap;

use log_entry::{Service, ServiceNames};

/// Names services by [`ServiceNames`], and remembers the answers.
#[derive(Debug)]
pub(crate) struct Naming {
    names: ServiceNames,
    known: HashMap<String, Service>,
}

/// Answers remembered. Logger names come from outside, so their number must
/// have a bound; when it is reached all are forgotten and found anew.
const KNOWN_MAX: usize = 4096;

impl Naming {
    pub(crate) fn new(names: ServiceNames) -> Self {
        Self { names, known: HashMap::new() }
    }

    pub(crate) fn of(&mut self, logger: &str) -> Service {
        if let Some(service) = self.known.get(logger) {
            return service.clone();
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let service = self.names.of(logger);
        self.known.insert(logger.to_owned(), service.clone());
        service
    }
}
