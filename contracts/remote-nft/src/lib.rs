//! A collection whose pictures follow a model on another chain.
