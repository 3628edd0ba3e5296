//! What is hidden and what is exchanged.
