//! Relays packets between chains.
