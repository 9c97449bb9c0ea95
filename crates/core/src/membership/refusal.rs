//! Why a change of the membership is refused, and what to do then.

/// Why a change of the membership is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// One change at a time.
    InProgress {
        /// Who is on its way to become a voter; empty while the last change is being committed.
        name: String,
        /// Whom it replaces.
        replaces: Option<String>,
    },
    /// This node does not lead.
    NotLeader,
    /// A leader that does not serve yet.
    NotServing,
    /// There is no such member.
    NoSuchMember,
    /// The name is taken.
    AlreadyMember {
        /// The name.
        name: String,
    },
    /// Another member is reached there.
    AddressTaken {
        /// The address.
        address: String,
        /// Whose it is.
        name: String,
    },
    /// The only voter cannot go.
    LastVoter,
    /// There are as many voters as there can be.
    TooManyVoters,
    /// Too few of the voters that would remain are alive.
    NoMajority {
        /// Voters that would remain and are alive.
        alive: usize,
        /// As many are needed.
        needed: usize,
    },
    /// The leader itself: it hands over first.
    IsLeader,
    /// Still alive: another directory cannot take its name.
    StillAlive {
        /// Its name.
        name: String,
    },
    /// Nothing that the change could end.
    NotPending,
    /// No name for a node.
    BadName,
    /// No address of a node.
    BadAddress,
    /// This mode keeps no log that others could get.
    Volatile,
    /// The node has no address at which others reach it.
    Unreachable,
    /// Leadership goes only to a voter that is connected.
    NotTransferable {
        /// Its name.
        name: String,
    },
}

impl Refusal {
    /// One sentence and the remedy.
    pub fn explain(&self) -> String {
        match self {
            Self::InProgress { name, .. } if name.is_empty() => {
                "a change is in progress: wait until it is committed, and try again".to_owned()
            }
            Self::InProgress { name, replaces } => {
                let whom = match replaces {
                    Some(old) => format!("{name} is on its way to replace {old}"),
                    None => format!("{name} is on its way to become a voter"),
                };
                format!(
                    "a change is in progress: {whom}. Wait for it, or end it with \
                     `repligo cluster remove {name}`"
                )
            }
            Self::NotLeader => "this node does not lead: ask the leader".to_owned(),
            Self::NotServing => "the leader is new and does not serve yet: try again in a second".to_owned(),
            Self::NoSuchMember => {
                "there is no such member: see `repligo cluster nodes` for the names".to_owned()
            }
            Self::AlreadyMember { name } => format!(
                "{name} is already a member: choose another name, or use \
                 `repligo cluster replace {name} NEW=HOST:PORT`"
            ),
            Self::AddressTaken { address, name } => format!(
                "{address} is the peer address of {name}: give that of the new node, or use \
                 `repligo cluster replace {name} NEW={address}`"
            ),
            Self::LastVoter => {
                "it would leave no majority: this is the only voter. Add another node first".to_owned()
            }
            Self::TooManyVoters => format!(
                "there are {} voters, and no more are possible: remove or replace one",
                crate::limits::VOTERS_MAX
            ),
            Self::NoMajority { alive, needed } => format!(
                "it would leave no majority: {alive} of the voters that remain are alive, and {needed} are \
                 needed. Start the others first, or replace them with `repligo cluster replace`"
            ),
            Self::IsLeader => "it leads: leadership is being handed over, try again in a second".to_owned(),
            Self::StillAlive { name } => format!(
                "{name} is alive: a second node with its name gets no place. Stop it first, or start this one \
                 under another --name"
            ),
            Self::NotPending => "nothing of that kind is in progress".to_owned(),
            Self::BadName => {
                "no name for a node: use 1 to 255 letters, digits, dots, dashes or underscores".to_owned()
            }
            Self::BadAddress => "no address of a node: give HOST:PORT of its peer listener".to_owned(),
            Self::Volatile => {
                "durability `none` keeps no log for others: start the node with --durability os \
                               or fsync"
                    .to_owned()
            }
            Self::Unreachable => "this node has no peer address: start it with --cluster NAME=HOST:PORT, so \
                                  that others reach it"
                .to_owned(),
            Self::NotTransferable { name } => format!(
                "{name} cannot lead: it is no voter, or is not connected. See `repligo cluster nodes`"
            ),
        }
    }

    /// The same request may succeed soon, without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::NotLeader | Self::NotServing | Self::IsLeader)
    }
}
