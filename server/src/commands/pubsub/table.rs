//! The rows of the publish/subscribe commands.

use crate::commands::pubsub;
use crate::commands::row::{Arg, ArgKind, Channels, Flags, Group, KeySpec, Row, check};

/// What all of them have: they work whatever the node is busy with.
const PUBSUB: Flags = Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE);
/// The same, for those that turn a connection into a subscriber and back.
const OWN: Flags = PUBSUB.and(Flags::NOSCRIPT);

const PATTERN: Arg = Arg::new("pattern", ArgKind::Pattern);
const CHANNEL: Arg = Arg::string("channel");
const SHARD_CHANNEL: Arg = Arg::string("shardchannel");

/// All rows.
pub const ROWS: &[Row] = &[
    Row::new("psubscribe", -2, pubsub::psubscribe)
        .channels(Channels::SubscribePatterns)
        .flag(OWN)
        .docs(
            Group::Pubsub,
            "2.0.0",
            "O(N) where N is the number of patterns to subscribe to.",
            "Listens to all channels whose names fit patterns.",
        )
        .args(&[PATTERN.multiple()]),
    Row::new("publish", 3, pubsub::publish)
        .channels(Channels::Publish)
        .flag(PUBSUB.and(Flags::MAY_REPLICATE))
        .fast()
        .docs(
            Group::Pubsub,
            "2.0.0",
            "O(N+M) for N subscribers of the channel and M patterns.",
            "Sends a message to all who listen to a channel.",
        )
        .args(&[CHANNEL, Arg::string("message")]),
    Row::container("pubsub", -2, INSPECT).docs(
        Group::Pubsub,
        "2.8.0",
        "That of the subcommand.",
        "Commands about channels and their subscribers.",
    ),
    Row::new("punsubscribe", -1, pubsub::punsubscribe)
        .flag(OWN)
        .docs(
            Group::Pubsub,
            "2.0.0",
            "O(N) where N is the number of patterns to unsubscribe.",
            "Listens no more to channels whose names fit patterns.",
        )
        .args(&[PATTERN.optional().multiple()]),
    Row::new("spublish", 3, pubsub::spublish)
        .channels(Channels::Publish)
        .flag(PUBSUB.and(Flags::MAY_REPLICATE))
        .fast()
        .keys(&[KeySpec::channels(1, 0)])
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N) for N subscribers of the channel.",
            "Sends a message to all who listen to a shard channel.",
        )
        .args(&[SHARD_CHANNEL, Arg::string("message")]),
    Row::new("ssubscribe", -2, pubsub::ssubscribe)
        .channels(Channels::Subscribe)
        .flag(OWN)
        .keys(&[KeySpec::channels(1, -1)])
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N) where N is the number of shard channels to subscribe to.",
            "Listens to shard channels.",
        )
        .args(&[SHARD_CHANNEL.multiple()]),
    Row::new("subscribe", -2, pubsub::subscribe)
        .channels(Channels::Subscribe)
        .flag(OWN)
        .docs(
            Group::Pubsub,
            "2.0.0",
            "O(N) where N is the number of channels to subscribe to.",
            "Listens to channels.",
        )
        .args(&[CHANNEL.multiple()]),
    Row::new("sunsubscribe", -1, pubsub::sunsubscribe)
        .flag(OWN)
        .keys(&[KeySpec::channels(1, -1)])
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N) where N is the number of shard channels to unsubscribe.",
            "Listens no more to shard channels.",
        )
        .args(&[SHARD_CHANNEL.optional().multiple()]),
    Row::new("unsubscribe", -1, pubsub::unsubscribe)
        .flag(OWN)
        .docs(
            Group::Pubsub,
            "2.0.0",
            "O(N) where N is the number of channels to unsubscribe.",
            "Listens no more to channels.",
        )
        .args(&[CHANNEL.optional().multiple()]),
];

const _: () = check(ROWS);

const INSPECT: &[Row] = &[
    Row::new("channels", -2, pubsub::channels)
        .flag(PUBSUB)
        .docs(
            Group::Pubsub,
            "2.8.0",
            "O(N) for N channels that have subscribers.",
            "Names the channels that somebody listens to.",
        )
        .args(&[PATTERN.optional()]),
    Row::new("help", 2, pubsub::help).flag(Flags::LOADING.and(Flags::STALE)).docs(
        Group::Pubsub,
        "6.2.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    Row::new("numpat", 2, pubsub::numpat).flag(PUBSUB).docs(
        Group::Pubsub,
        "2.8.0",
        "O(1)",
        "Counts the patterns that somebody listens to.",
    ),
    Row::new("numsub", -2, pubsub::numsub)
        .flag(PUBSUB)
        .docs(
            Group::Pubsub,
            "2.8.0",
            "O(N) for N named channels.",
            "Counts the subscribers of channels.",
        )
        .args(&[CHANNEL.optional().multiple()]),
    Row::new("shardchannels", -2, pubsub::shardchannels)
        .flag(PUBSUB)
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N) for N shard channels that have subscribers.",
            "Names the shard channels that somebody listens to.",
        )
        .args(&[PATTERN.optional()]),
    Row::new("shardnumsub", -2, pubsub::shardnumsub)
        .flag(PUBSUB)
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N) for N named shard channels.",
            "Counts the subscribers of shard channels.",
        )
        .args(&[SHARD_CHANNEL.optional().multiple()]),
];
