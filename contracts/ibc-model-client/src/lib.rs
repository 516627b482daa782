//! Asks models on another chain for the contracts of this one.
