//! The place for models of `readmostly` under loom. There are none yet.
