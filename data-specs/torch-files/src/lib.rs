//! PyTorch archives and pickles as plain data.
