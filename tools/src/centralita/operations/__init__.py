"""Operations on a running system: doctor, dead letters, following events, requests to the REST API."""
