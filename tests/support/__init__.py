"""What all process tests share: processes that never outlive the tests, servers, clusters, and raw RESP."""
