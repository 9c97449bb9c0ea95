//! One database: the hash table.
