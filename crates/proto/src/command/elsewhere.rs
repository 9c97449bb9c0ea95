//! Names of the commands of Redis, so that one which is not here yet can be told from a slip of the pen.
//!
//! They are looked at only where the table has no row, so a command that is added needs no change here.

use crate::words::{CLUSTER_FOLLOWERS_COMMAND, FOLLOW_COMMAND};

/// Commands and subcommands (`container|word`) of Redis 7.0 and, where clients ask for them, of later releases.
const NAMES: &str = "
    acl acl|cat acl|deluser acl|dryrun acl|genpass acl|getuser acl|help acl|list acl|load acl|log
    acl|save acl|setuser acl|users acl|whoami append asking auth bgrewriteaof bgsave bitcount bitfield
    bitfield_ro bitop bitpos blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin client
    client|caching client|getname client|getredir client|help client|id client|info client|kill
    client|list client|no-evict client|no-touch client|pause client|reply client|setinfo
    client|setname client|tracking client|trackinginfo client|unblock client|unpause cluster
    cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|count-failure-reports
    cluster|countkeysinslot cluster|delslots cluster|delslotsrange cluster|failover cluster|flushslots
    cluster|forget cluster|getkeysinslot cluster|help cluster|info cluster|keyslot cluster|links
    cluster|meet cluster|myid cluster|myshardid cluster|nodes cluster|replicas cluster|replicate
    cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot cluster|shards
    cluster|slots command command|count command|docs command|getkeys command|getkeysandflags
    command|help command|info command|list config config|get config|help config|resetstat
    config|rewrite config|set copy dbsize debug decr decrby del discard dump echo eval eval_ro evalsha
    evalsha_ro exec exists expire expireat expiretime failover fcall fcall_ro flushall flushdb
    function function|delete function|dump function|flush function|help function|kill function|list
    function|load function|restore function|stats geoadd geodist geohash geopos georadius georadius_ro
    georadiusbymember georadiusbymember_ro geosearch geosearchstore get getbit getdel getex getrange
    getset hdel hello hexists hexpire hexpireat hexpiretime hget hgetall hgetdel hgetex hincrby
    hincrbyfloat hkeys hlen hmget hmset hpersist hpexpire hpexpireat hpexpiretime hpttl hrandfield
    hscan hset hsetex hsetnx hstrlen httl hvals incr incrby incrbyfloat info keys lastsave latency
    latency|doctor latency|graph latency|help latency|histogram latency|history latency|latest
    latency|reset lcs lindex linsert llen lmove lmpop lolwut lpop lpos lpush lpushx lrange lrem lset
    ltrim memory memory|doctor memory|help memory|malloc-stats memory|purge memory|stats memory|usage
    mget migrate module module|help module|list module|load module|loadex module|unload monitor move
    mset msetnx multi object object|encoding object|freq object|help object|idletime object|refcount
    persist pexpire pexpireat pexpiretime pfadd pfcount pfdebug pfmerge pfselftest ping psetex
    psubscribe psync pttl publish pubsub pubsub|channels pubsub|help pubsub|numpat pubsub|numsub
    pubsub|shardchannels pubsub|shardnumsub punsubscribe quit randomkey readonly readwrite rename
    renamenx replconf replicaof reset restore restore-asking role rpop rpoplpush rpush rpushx sadd
    save scan scard script script|debug script|exists script|flush script|help script|kill script|load
    sdiff sdiffstore select set setbit setex setnx setrange shutdown sinter sintercard sinterstore
    sismember slowlog slowlog|get slowlog|help slowlog|len slowlog|reset smembers smismember smove
    sort sort_ro spop spublish srandmember srem sscan ssubscribe strlen subscribe substr sunion
    sunionstore sunsubscribe swapdb sync time touch ttl type unlink unsubscribe unwatch wait waitaof
    watch xack xadd xautoclaim xclaim xdel xgroup xgroup|create xgroup|createconsumer
    xgroup|delconsumer xgroup|destroy xgroup|help xgroup|setid xinfo xinfo|consumers xinfo|groups
    xinfo|help xinfo|stream xlen xpending xrange xread xreadgroup xrevrange xsetid xtrim zadd zcard
    zcount zdiff zdiffstore zincrby zinter zintercard zinterstore zlexcount zmpop zmscore zpopmax
    zpopmin zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem zremrangebylex
    zremrangebyrank zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore
    zunion zunionstore
";

/// Whether Redis has this command, or a container's subcommand, whatever its case.
pub fn is_known_elsewhere(container: Option<&str>, word: &[u8]) -> bool {
    let named = |name: &str| match (container, name.split_once('|')) {
        (None, None) => word.eq_ignore_ascii_case(name.as_bytes()),
        (Some(container), Some((first, second))) => {
            container.eq_ignore_ascii_case(first) && word.eq_ignore_ascii_case(second.as_bytes())
        }
        _ => false,
    };
    NAMES.split_ascii_whitespace().any(named) || named(FOLLOW_COMMAND) || named(CLUSTER_FOLLOWERS_COMMAND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_command_of_redis_is_known() {
        let recorded = include_str!("../../tests/redis-7.0.15-commands.txt");
        let lines = recorded.lines().filter(|line| !line.starts_with('#'));
        for name in lines.filter_map(|line| line.split(' ').next()) {
            let known = match name.split_once('|') {
                None => is_known_elsewhere(None, name.as_bytes()),
                Some((container, word)) => is_known_elsewhere(Some(container), word.as_bytes()),
            };
            assert!(known, "{name}");
        }
    }

    #[test]
    fn containers_words_and_slips_are_told_apart() {
        assert!(is_known_elsewhere(None, b"HSet") && is_known_elsewhere(None, FOLLOW_COMMAND.as_bytes()));
        assert!(is_known_elsewhere(Some("client"), b"PAUSE"));
        assert!(is_known_elsewhere(Some("CLUSTER"), b"slots"));
        for (container, word) in [
            (None, "hste"),
            (None, "pause"),
            (None, "client|pause"),
            (None, ""),
            (Some("client"), "slots"),
            (Some("client"), ""),
        ] {
            assert!(
                !is_known_elsewhere(container, word.as_bytes()),
                "{container:?} {word}"
            );
        }
    }
}
