"""Projects the log of calls into MongoDB: a document per call, a document of counters per campaign."""
