//! From shards to examples.
