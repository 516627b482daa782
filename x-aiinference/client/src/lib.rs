//! A chain over RPC: keys, transactions, uploads in shards, queries.
