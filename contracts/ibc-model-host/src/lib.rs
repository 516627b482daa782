//! Answers questions that other chains ask models of this one.
