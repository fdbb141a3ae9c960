"""campaign_stats."""
