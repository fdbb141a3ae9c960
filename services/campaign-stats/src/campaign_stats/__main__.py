"""``python -m campaign_stats``."""

from campaign_stats.composition import build
from campaign_stats.settings import Settings
from chassis.serve import serve
from contracts import Service

if __name__ == "__main__":
    serve(Service.CAMPAIGN_STATS, Settings, build)
