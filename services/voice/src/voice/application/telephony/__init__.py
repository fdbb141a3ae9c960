"""What voice does at the telephone provider: dial, look up, hang up, and speak a turn's unplayed remainder."""
