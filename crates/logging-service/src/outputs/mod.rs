//! Where entries go: the files, and the bus. Each fails and stalls alone.

pub(crate) mod publish;
pub(crate) mod store;
