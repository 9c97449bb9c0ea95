//! RESP codec, command table, peer frames and wire words of Repligo.
