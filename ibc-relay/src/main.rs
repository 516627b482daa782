//! The relayer's command line.

fn main() {}
