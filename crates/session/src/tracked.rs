//! What is to be told of a request that the core answers later.

/// In place of a command's number: an item of a block that the session answers.
pub const LOCAL_ITEM: u16 = u16::MAX;

/// What the slow log says of a request.
#[derive(Clone, Debug)]
pub struct Words {
    /// Address of the client.
    pub address: String,
    /// Name the client gave itself.
    pub name: Box<[u8]>,
    /// The arguments, as far as the log keeps them.
    pub arguments: Vec<Vec<u8>>,
}

/// A tracked request.
#[derive(Debug, Default)]
pub struct Tracked {
    /// For the slow log.
    pub words: Option<Words>,
    /// The commands of a block.
    pub items: Box<[u16]>,
    /// The time of its slices so far, nanoseconds; 0 if it had none.
    pub spent_ns: u64,
}
