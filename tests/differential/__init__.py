"""Replies of Repligo compared with those of redis-server 7.0.15, byte by byte."""
