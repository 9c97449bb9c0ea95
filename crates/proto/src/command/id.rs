//! The number of every command and subcommand, and the names by which executors match on some of them.

/// A command of the table, by a number that never changes: an op of the log names a command by it.
///
/// Commands that code matches on have a constant here, the name in camel case; a subcommand's starts with its
/// container's. A data command that is a row and a handler has none: its row says [`CommandId::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(u16);

impl CommandId {
    /// Numbers are below this.
    pub const COUNT: usize = 1024;

    /// The command of this number.
    ///
    /// # Panics
    /// If the number is not below [`CommandId::COUNT`]; for a row, when the table is compiled.
    pub const fn new(number: u16) -> Self {
        assert!(
            (number as usize) < Self::COUNT,
            "tables by number have no more places"
        );
        Self(number)
    }

    /// The number, as ops and statistics name the command.
    #[inline]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The number as a place in a table of [`CommandId::COUNT`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

macro_rules! numbers {
    ($($name:ident = $number:literal,)*) => {
        #[allow(
            missing_docs,
            non_upper_case_globals,
            reason = "each is matched on like a variant, and is the name of a command, documented in its row"
        )]
        impl CommandId {
            $(pub const $name: CommandId = CommandId::new($number);)*
        }
    };
}

numbers! {
    // Connection
    Hello = 0,
    Auth = 1,
    Ping = 2,
    Echo = 3,
    Select = 4,
    Quit = 5,
    Reset = 6,
    Client = 7,
    ClientKill = 8,
    ClientList = 9,
    ClientInfo = 10,
    ClientId = 11,
    ClientReply = 12,
    ClientGetName = 13,
    ClientSetName = 14,
    ClientNoEvict = 15,
    ClientHelp = 16,
    ClientSetInfo = 17,
    ClientNoTouch = 18,
    ReadOnly = 19,
    ReadWrite = 20,
    // Server
    Info = 21,
    DbSize = 22,
    FlushDb = 23,
    FlushAll = 24,
    SwapDb = 482,
    Time = 25,
    Role = 26,
    Config = 27,
    ConfigGet = 28,
    ConfigSet = 29,
    ConfigResetStat = 30,
    ConfigHelp = 31,
    Memory = 32,
    MemoryUsage = 33,
    MemoryHelp = 34,
    // Introspection
    Command = 35,
    CommandCount = 36,
    CommandGetKeys = 37,
    CommandList = 38,
    CommandDocs = 39,
    CommandInfo = 40,
    CommandGetKeysAndFlags = 41,
    CommandHelp = 42,
    SlowLog = 43,
    SlowLogGet = 44,
    SlowLogLen = 45,
    SlowLogReset = 46,
    SlowLogHelp = 47,
    Latency = 48,
    LatencyLatest = 49,
    LatencyHistogram = 50,
    LatencyReset = 51,
    LatencyHelp = 52,
    Module = 53,
    ModuleList = 54,
    ModuleHelp = 55,
    Acl = 56,
    AclWhoAmI = 57,
    AclHelp = 58,
    // Keys
    Del = 59,
    Unlink = 60,
    Exists = 61,
    Touch = 62,
    Type = 63,
    Keys = 64,
    Scan = 65,
    RandomKey = 66,
    Rename = 67,
    RenameNx = 68,
    Object = 69,
    ObjectEncoding = 70,
    ObjectRefCount = 71,
    ObjectIdleTime = 72,
    ObjectFreq = 73,
    ObjectHelp = 74,
    // Expiry
    Expire = 75,
    PExpire = 76,
    ExpireAt = 77,
    PExpireAt = 78,
    Ttl = 79,
    PTtl = 80,
    ExpireTime = 81,
    PExpireTime = 82,
    Persist = 83,
    // Strings
    Get = 84,
    Set = 85,
    SetEx = 86,
    PSetEx = 87,
    SetNx = 88,
    GetSet = 89,
    GetDel = 90,
    GetEx = 91,
    MGet = 92,
    MSet = 93,
    MSetNx = 94,
    Append = 95,
    StrLen = 96,
    GetRange = 97,
    SubStr = 98,
    SetRange = 99,
    // Counters
    Incr = 100,
    Decr = 101,
    IncrBy = 102,
    DecrBy = 103,
    IncrByFloat = 104,
    // Transactions
    Multi = 105,
    Exec = 106,
    Discard = 107,
    Watch = 108,
    Unwatch = 109,
    // Repligo
    RepligoStatus = 110,
    RepligoInvalidate = 111,
    RepligoCluster = 1000,
    RepligoBackup = 1023,
    RepligoConsistency = 112,
    RepligoSession = 113,
    // Users
    AclSetUser = 1001,
    AclGetUser = 1002,
    AclList = 1003,
    AclUsers = 1004,
    AclDelUser = 1005,
    AclCat = 1006,
    AclGenPass = 1007,
    AclDryRun = 1008,
    AclLoad = 1009,
    AclSave = 1010,
    AclLog = 1020,
    // Publish and subscribe
    Subscribe = 930,
    Unsubscribe = 931,
    PSubscribe = 932,
    PUnsubscribe = 933,
    SSubscribe = 934,
    SUnsubscribe = 935,
    Publish = 936,
    SPublish = 937,
    PubSub = 938,
    PubSubChannels = 939,
    PubSubNumSub = 940,
    PubSubNumPat = 941,
    PubSubShardChannels = 942,
    PubSubShardNumSub = 943,
    PubSubHelp = 944,
    // Tracking
    ClientTracking = 950,
    ClientCaching = 951,
    ClientTrackingInfo = 952,
    ClientGetRedir = 953,
    // Waiting
    ClientUnblock = 990,
    ClientPause = 993,
    ClientUnpause = 994,
    Monitor = 995,
    // Bits
    BitField = 445,
    // Whole values
    Copy = 460,
    Move = 461,
    // Scripts
    Eval = 420,
    EvalSha = 421,
    EvalRo = 422,
    EvalShaRo = 423,
    Script = 424,
    ScriptLoad = 425,
    ScriptExists = 426,
    ScriptFlush = 427,
    ScriptKill = 428,
    ScriptHelp = 429,
    FCall = 430,
    FCallRo = 431,
    Function = 432,
    FunctionLoad = 433,
    FunctionDelete = 434,
    FunctionFlush = 435,
    FunctionList = 436,
    FunctionDump = 437,
    FunctionRestore = 438,
    FunctionStats = 439,
    FunctionKill = 480,
    FunctionHelp = 481,
    // Streams
    XRead = 519,
    XReadGroup = 537,
}
