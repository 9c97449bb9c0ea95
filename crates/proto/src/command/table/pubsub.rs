//! Publish and subscribe.

use super::prelude::*;

const BASE: Spec = row(Group::PubSub);

/// What a command on shard channels does with them: they are routed like keys.
const SHARD_CHANNEL: &[KeyUse] = &[key_use(ONE, &["not_key"])];
const SHARD_CHANNELS: &[KeyUse] = &[key_use(ALL, &["not_key"])];

const fn channels(positions: KeySpec) -> ChannelUse {
    ChannelUse {
        positions,
        are_patterns: false,
    }
}

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Subscribe,
        name: "subscribe",
        arity: -2,
        flags: PUBSUB | NOSCRIPT | LOADING | STALE,
        extra_categories: category::PUBSUB,
        channels: channels(ALL),
        since: "2.0.0",
        complexity: "O(N), N being the channels",
        summary: "Hear from now on what anybody publishes to these channels, through whatever node",
        arguments: &[value("channel", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::Unsubscribe,
        name: "unsubscribe",
        arity: -1,
        flags: PUBSUB | NOSCRIPT | LOADING | STALE,
        extra_categories: category::PUBSUB,
        since: "2.0.0",
        complexity: "O(N), N being the channels",
        summary: "Take SUBSCRIBE back for these channels, or for all",
        arguments: &[value("channel", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::PSubscribe,
        name: "psubscribe",
        arity: -2,
        flags: PUBSUB | NOSCRIPT | LOADING | STALE,
        extra_categories: category::PUBSUB,
        channels: ChannelUse {
            positions: ALL,
            are_patterns: true,
        },
        since: "2.0.0",
        complexity: "O(N), N being the patterns",
        summary: "Hear what is published to any channel whose name fits one of these patterns",
        arguments: &[block("pattern", &[value("pattern", Pattern)]).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::PUnsubscribe,
        name: "punsubscribe",
        arity: -1,
        flags: PUBSUB | NOSCRIPT | LOADING | STALE,
        extra_categories: category::PUBSUB,
        since: "2.0.0",
        complexity: "O(N), N being the patterns",
        summary: "Take PSUBSCRIBE back for these patterns, or for all",
        arguments: &[value("pattern", Pattern).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::SSubscribe,
        name: "ssubscribe",
        arity: -2,
        flags: PUBSUB | NOSCRIPT | LOADING | STALE,
        extra_categories: category::PUBSUB,
        keys: ALL,
        key_uses: SHARD_CHANNELS,
        channels: channels(ALL),
        since: "7.0.0",
        complexity: "O(N), N being the channels",
        summary: "Hear what SPUBLISH sends to these channels, which are apart from those of PUBLISH",
        arguments: &[value("shardchannel", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::SUnsubscribe,
        name: "sunsubscribe",
        arity: -1,
        flags: PUBSUB | NOSCRIPT | LOADING | STALE,
        extra_categories: category::PUBSUB,
        keys: ALL,
        key_uses: SHARD_CHANNELS,
        since: "7.0.0",
        complexity: "O(N), N being the channels",
        summary: "Take SSUBSCRIBE back for these channels, or for all",
        arguments: &[value("shardchannel", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::Publish,
        name: "publish",
        arity: 3,
        flags: PUBSUB | LOADING | STALE | FAST,
        extra_categories: category::PUBSUB,
        channels: channels(ONE),
        since: "2.0.0",
        complexity: "O(N+M), N being the receivers and M the patterns of all clients",
        summary: "Send a message to whoever subscribes to the channel, on every node, once at most",
        arguments: &[value("channel", String), value("message", String)],
        ..BASE
    },
    Spec {
        id: CommandId::SPublish,
        name: "spublish",
        arity: 3,
        flags: PUBSUB | LOADING | STALE | FAST,
        extra_categories: category::PUBSUB,
        keys: ONE,
        key_uses: SHARD_CHANNEL,
        channels: channels(ONE),
        since: "7.0.0",
        complexity: "O(N), N being the receivers",
        summary: "Send a message to whoever said SSUBSCRIBE for the channel, on every node",
        arguments: &[value("shardchannel", String), value("message", String)],
        ..BASE
    },
    Spec {
        id: CommandId::PubSub,
        name: "pubsub",
        arity: -2,
        since: "2.8.0",
        complexity: "See the subcommands",
        summary: "Who subscribes to what",
        subcommands: PUBSUB_WORDS,
        ..BASE
    },
];

const PUBSUB_WORDS: &[Spec] = &[
    Spec {
        id: CommandId::PubSubChannels,
        name: "pubsub|channels",
        arity: -2,
        flags: PUBSUB | LOADING | STALE,
        extra_categories: category::PUBSUB,
        since: "2.8.0",
        complexity: "O(N), N being the channels",
        summary: "Name the channels that have a subscriber, those that fit a pattern or all",
        arguments: &[value("pattern", Pattern).optional()],
        ..BASE
    },
    Spec {
        id: CommandId::PubSubNumSub,
        name: "pubsub|numsub",
        arity: -2,
        flags: PUBSUB | LOADING | STALE,
        extra_categories: category::PUBSUB,
        since: "2.8.0",
        complexity: "O(N), N being the channels asked for",
        summary: "Count the subscribers of each of these channels; patterns do not count",
        arguments: &[value("channel", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::PubSubNumPat,
        name: "pubsub|numpat",
        arity: 2,
        flags: PUBSUB | LOADING | STALE,
        extra_categories: category::PUBSUB,
        since: "2.8.0",
        complexity: "O(1)",
        summary: "Count the different patterns that somebody subscribes to",
        ..BASE
    },
    Spec {
        id: CommandId::PubSubShardChannels,
        name: "pubsub|shardchannels",
        arity: -2,
        flags: PUBSUB | LOADING | STALE,
        extra_categories: category::PUBSUB,
        since: "7.0.0",
        complexity: "O(N), N being the channels",
        summary: "Name the channels of SSUBSCRIBE that have a subscriber",
        arguments: &[value("pattern", Pattern).optional()],
        ..BASE
    },
    Spec {
        id: CommandId::PubSubShardNumSub,
        name: "pubsub|shardnumsub",
        arity: -2,
        flags: PUBSUB | LOADING | STALE,
        extra_categories: category::PUBSUB,
        since: "7.0.0",
        complexity: "O(N), N being the channels asked for",
        summary: "Count the subscribers of each of these channels of SSUBSCRIBE",
        arguments: &[value("shardchannel", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::PubSubHelp,
        name: "pubsub|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "List the subcommands of PUBSUB",
        ..BASE
    },
];
